"""Layers whose weights are dense and masked, or stored alone.

`Dense` is flax's, in whose place it can stand, with the ReLU that follows. Where a
topology is given for its kernel (the collection "topology"), its parameter is the
vector of the weights that exist, and it computes with those only.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from sparse_search.sparse import initializers
from sparse_search.sparse.formats import Tiled
from sparse_search.sparse.products import Layer, chain, features_first
from sparse_search.types import Array, Float

TOPOLOGY, TAPS = "topology", "taps"


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
    """

    relu: bool = False

    @nn.compact
    def __call__(self, inputs: Array | Pending, *, wait: bool = False) -> Any:
        """The neurons' outputs.

        Args:
            inputs: [..., inputs], or what a layer before returned that waits.
            wait: return `Pending` where that makes one operation of this layer and the
                next: for outputs that go to another `Dense` and nowhere else.
        """
        if not self.has_variable(TOPOLOGY, "kernel"):
            y = super().__call__(_resolved(inputs))
            return nn.relu(y) if self.relu else y
        kind = self.param_dtype
        if not isinstance(inputs, Pending):
            half = inputs.dtype == jnp.bfloat16 and kind == jnp.float32
            x = inputs.astype(self.dtype or (inputs.dtype if half else kind))
            x = x.reshape(-1, inputs.shape[-1])
            inputs = Pending(x, (), inputs.shape[:-1])
        topology: Tiled = self.get_variable(TOPOLOGY, "kernel")
        values = self.param(
            "kernel", lambda key: initializers.at(self.kernel_init, key, topology, kind)
        )
        bias = jnp.zeros(self.features, kind)
        if self.use_bias:
            bias = self.param("bias", self.bias_init, (self.features,), kind)
            bias = bias.astype(kind)
        taps = None
        if self.has_variable(TAPS, "kernel"):
            taps = self.get_variable(TAPS, "kernel")
        layer = Layer(topology, values, bias, taps)
        inputs = inputs._replace(layers=(*inputs.layers, layer))
        return inputs if wait and self.relu else _resolved(inputs, relu=self.relu)


def _resolved(inputs: Array | Pending, *, relu: bool = True) -> Array:
    if not isinstance(inputs, Pending):
        return inputs
    y = chain(inputs.layers, features_first(inputs.x), relu=relu).T
    return y.reshape(*inputs.shape, y.shape[-1])


def with_taps(
    variables: dict[str, Any], apply: Callable[[dict[str, Any]], Any]
) -> dict[str, Any]:
    """With zeros whose gradients are the factors of the layers' dense gradients.

    Args:
        variables: of a model.
        apply: the forward pass on a batch, of variables; it is traced, not run.
    """
    given: dict[tuple[str, ...], jax.ShapeDtypeStruct] = {}

    def note(call: Callable[..., Any], args: Any, kwargs: Any, context: Any) -> Any:
        layer, x = context.module, args[0]
        if isinstance(layer, Dense) and context.method_name == "__call__":
            if isinstance(x, Pending):
                x = x.x
            given[layer.path] = jax.ShapeDtypeStruct((x.size // x.shape[-1],), x.dtype)
        return call(*args, **kwargs)

    with nn.intercept_methods(note):
        jax.eval_shape(apply, variables)

    def zeros(path: tuple[Any, ...], topology: Tiled) -> tuple[Array, Array]:
        rows = given[tuple(part.key for part in path[:-1])]
        of_input, of_output = (
            jnp.zeros((size, *rows.shape), rows.dtype) for size in topology.shape
        )
        return of_input, of_output

    taps = jax.tree_util.tree_map_with_path(
        zeros, variables[TOPOLOGY], is_leaf=lambda x: isinstance(x, Tiled)
    )
    return {**variables, TAPS: taps}
