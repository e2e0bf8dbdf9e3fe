"""Layers whose weights are dense and masked, or stored alone.

`Dense` and `Conv` are flax's, in whose place they can stand; `Dense` with the ReLU that
follows. Where a topology is given for the kernel (the collection "topology"), the
parameter is the vector of the weights that exist, and they compute with those only.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from sparse_search import trees
from sparse_search.sparse import dense_conv, formats, initializers, native
from sparse_search.sparse.conv_gradients import sides
from sparse_search.sparse.formats import Tiled
from sparse_search.sparse.pooling import halved
from sparse_search.sparse.products import Layer, Taps, chain, features_first, zero_taps
from sparse_search.sparse.windows import Window, convolution
from sparse_search.types import Array, Float

_MANY = 1024  # rows of a batch
_FEW = 16  # neurons

TOPOLOGY, TAPS = "topology", "taps"
BROADCAST = ("params", TOPOLOGY, TAPS)
"""The collections that a scan over a layer's inputs broadcasts."""


class Pending(NamedTuple):
    """Compressed layers that wait for those that follow, to be one operation.

    Attributes:
        x: what the first of them is given: [rows, inputs].
        layers: each with ReLU.
        shape: of the batch that the rows are.
    """

    x: Float[Array, "rows inputs"]
    layers: tuple[Layer, ...]
    shape: tuple[int, ...]


class Dense(nn.Dense):
    """A fully connected layer.

    Attributes:
        relu: whether max(·, 0) follows.
        repeated: whether it has many inputs, one after the other, within a scan that
            broadcasts `BROADCAST`: then its dense gradient is a sum over them.
    """

    relu: bool = False
    repeated: bool = False

    @nn.compact
    def __call__(self, inputs: Array | Pending, *, wait: bool = False) -> Any:
        """The neurons' outputs.

        Args:
            inputs: [..., inputs], or what a layer before returned that waits.
            wait: return `Pending` where that makes one operation of this layer and the
                next: for outputs that go to another `Dense` and nowhere else.
        """
        if self.has_variable(TOPOLOGY, "kernel"):
            layer = _stored(self)
        elif isinstance(inputs, Pending) and self._has_few(inputs.x.dtype):
            layer = self._whole(inputs.layers[-1])
        else:
            y = super().__call__(_resolved(inputs))
            return nn.relu(y) if self.relu else y
        if not isinstance(inputs, Pending):
            x = _activations(self, inputs).reshape(-1, inputs.shape[-1])
            inputs = Pending(x, (), inputs.shape[:-1])
        inputs = inputs._replace(layers=(*inputs.layers, layer))
        return inputs if wait and self.relu else _resolved(inputs, relu=self.relu)

    def _has_few(self, activations: Any) -> bool:
        """Whether it has few neurons, all of whose weights the kernel takes faster."""
        own = self.dot_general, self.dot_general_cls, self.dtype
        kernel = self.get_variable("params", "kernel")  # none yet in an initialisation
        same = kernel is not None and kernel.dtype == activations
        return self.features <= _FEW and same and not any(own) and native.usable()

    def _whole(self, before: Layer) -> Layer:
        """A dense layer after a compressed one: a topology of all weights."""
        kind = before.values.dtype
        shape = before.topology.shape[1], self.features
        kernel = self.param("kernel", self.kernel_init, shape, self.param_dtype)
        with jax.ensure_compile_time_eval():
            topology = formats.full(shape)
        return Layer(topology, kernel.astype(kind).reshape(-1), _bias(self, kind))


class Conv(nn.Conv):
    """A convolution.

    Attributes:
        halved: whether max pooling of 2×2 places and max(·, 0) follow. Max pooling is
            first, since the largest of some numbers is the same before and after ReLU,
            and so are gradients, but there are four times fewer.
    """

    halved: bool = False
    conv_general_dilated: Any = dense_conv.convolve

    @nn.compact
    def __call__(self, inputs: Array) -> Array:
        """The neurons' outputs at every place: [..., rows, columns, neurons].

        Args:
            inputs: [..., rows, columns, channels].

        Raises:
            ValueError: there is a topology, and `window_of` has no window.
        """
        if not self.has_variable(TOPOLOGY, "kernel"):
            y = super().__call__(inputs)
            return nn.relu(halved(y)) if self.halved else y
        window = window_of(self, inputs.shape[-3:-1])
        if window is None:
            raise ValueError("this kind of convolution has no compressed form")
        x = _activations(self, inputs)
        x = x.reshape(-1, *inputs.shape[-3:])
        layer = _stored(self)
        if _is_product(window):
            rows, columns = window.strides
            x = x[:, ::rows, ::columns]
            y = _rows_first(chain([layer], _features(x), relu=False))
            y = y.reshape(*x.shape[:-1], -1)
            y = nn.relu(halved(y)) if self.halved else y
        else:
            y = convolution(layer, x, window, halved=self.halved)
        return y.reshape(*inputs.shape[:-3], *y.shape[1:])


def window_of(layer: nn.Conv, places: tuple[int, ...]) -> Window | None:
    """What a convolution looks at; None where it has no compressed form.

    That is where channels are in groups, images have other than two axes, they are
    padded by other than zeros or cut, inputs are spread, or the product is the user's
    own.

    Args:
        layer: the convolution.
        places: the size of its inputs.
    """
    size = layer.kernel_size
    other = (
        layer.feature_group_count != 1
        or isinstance(size, int)
        or len(size) != 2
        or _pair(layer.input_dilation) != (1, 1)
        or layer.mask is not None
        or layer.conv_general_dilated not in (None, dense_conv.convolve)
        or layer.conv_general_dilated_cls is not None
    )
    if other:
        return None
    strides, dilation = _pair(layer.strides), _pair(layer.kernel_dilation)
    padding: Any = layer.padding
    if isinstance(padding, str):
        if padding not in ("SAME", "VALID"):
            return None
        padding = sides(padding, places, _pair(size), strides, dilation)
    pads = [_pair(n) for n in _pair(padding)]
    if min(map(min, pads)) < 0:
        return None
    return Window(_pair(size), strides, (pads[0], pads[1]), dilation)


def _is_product(window: Window) -> bool:
    """Whether a convolution is a fully connected layer at every place."""
    return window.size == (1, 1) and not any(map(any, window.padding))


def _pair(given: Any) -> tuple[Any, Any]:
    """One number for both axes, or one for each; flax takes None for 1."""
    if given is None or isinstance(given, int):
        return (1, 1) if given is None else (given, given)
    first, second = given
    return first, second


def _stored(layer: nn.Dense | nn.Conv) -> Layer:
    """A layer's weights that exist, and its bias; called in its `__call__`."""
    kind = jnp.dtype(layer.param_dtype)
    topology: Tiled = layer.get_variable(TOPOLOGY, "kernel")
    values = layer.param(
        "kernel", lambda key: initializers.at(layer.kernel_init, key, topology, kind)
    )
    taps = None
    if layer.has_variable(TAPS, "kernel"):
        taps = layer.get_variable(TAPS, "kernel")
    return Layer(topology, values, _bias(layer, kind), taps)


def _bias(layer: nn.Dense | nn.Conv, kind: Any) -> Array:
    """A layer's bias in the type of its weights, zero where it has none."""
    if not layer.use_bias:
        return jnp.zeros(layer.features, kind)
    shape = (layer.features,)
    return layer.param("bias", layer.bias_init, shape, layer.param_dtype).astype(kind)


def _activations(layer: nn.Dense | nn.Conv, inputs: Array) -> Array:
    """Inputs in the type that the products take."""
    kind = jnp.dtype(layer.param_dtype)
    half = inputs.dtype == jnp.bfloat16 and kind == jnp.float32
    return inputs.astype(layer.dtype or (inputs.dtype if half else kind))


def _features(x: Array) -> Array:
    """[..., features] as [features, rows]."""
    return features_first(x.reshape(-1, x.shape[-1]))


def _resolved(inputs: Array | Pending, *, relu: bool = True) -> Array:
    if not isinstance(inputs, Pending):
        return inputs
    y = _rows_first(chain(inputs.layers, features_first(inputs.x), relu=relu))
    return y.reshape(*inputs.shape, y.shape[-1])


def _rows_first(y: Array) -> Array:
    """The transpose, by the faster of two."""
    return features_first(y) if y.shape[1] >= _MANY else y.T


def with_taps(
    variables: dict[str, Any], apply: Callable[[dict[str, Any]], Any]
) -> dict[str, Any]:
    """With zeros whose gradients tell the layers' dense gradients.

    Args:
        variables: of a model.
        apply: the forward pass on a batch, of variables; it is traced, not run.
    """
    given: dict[tuple[str, ...], tuple[float, Any]] = {}

    def note(call: Callable[..., Any], args: Any, kwargs: Any, context: Any) -> Any:
        layer, out = context.module, call(*args, **kwargs)
        if isinstance(layer, Dense | Conv) and context.method_name == "__call__":
            x = args[0].x if isinstance(args[0], Pending) else args[0]
            rows: float = x.size // x.shape[-1]
            if isinstance(layer, Dense):
                rows = math.inf if layer.repeated else rows
            else:
                window = window_of(layer, x.shape[-3:-1])
                if window is None:
                    return out
                places = window.outputs(x.shape[-3:-1])
                rows = math.prod((*x.shape[:-3], *places))
                rows = rows if _is_product(window) else math.inf
            given[layer.path] = (rows, x.dtype)
        return out

    with nn.intercept_methods(note):
        jax.eval_shape(apply, variables)
    values = trees.named_leaves({"params": variables["params"]})

    def zeros(path: tuple[Any, ...], topology: Tiled) -> Taps:
        rows, kind = given[tuple(part.key for part in path[:-1])]
        of = values["params/" + trees.name(path)]
        return zero_taps(topology, rows, kind, of.dtype)

    taps = jax.tree_util.tree_map_with_path(
        zeros, variables[TOPOLOGY], is_leaf=lambda x: isinstance(x, Tiled)
    )
    return {**variables, TAPS: taps}
