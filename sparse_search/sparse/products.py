"""Products with the weights that exist, and their gradients.

    y = relu?(Wᵀ x + b),   activations as [features, batch]

In the native kernel a weight costs one multiply-add over a row of activations forward
and two backward. Layers that follow each other are one operation (`chain`), so that
what the ReLU of one lets through of the gradient is decided where the next one makes
it, and summed up for the bias there. Without the kernel, or on another device, a layer
is made dense for the product; for a very sparse one, a row of the batch is gathered for
every weight.
"""

import functools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from sparse_search.sparse import formats, native
from sparse_search.sparse.formats import Tiled
from sparse_search.types import Array, Float

Taps = tuple[Array, Array] | tuple[Array]
"""Zeros whose cotangents tell the gradient of all entries of a layer, stored or not.

Like its input and output: the factors x and g with ∂L/∂W = x gᵀ. Where those are larger
than the gradient, since the batch has more rows than the layer has neurons, zeros like
the gradient, whose cotangent it is. `zero_taps` makes them."""

_PARTS = 16
_LONG = 4096  # rows of a batch
_DENSE_FROM = 64  # entries a weight, below which dense arrays are faster (layer.py)


class Layer(NamedTuple):
    """A layer to multiply with.

    Attributes:
        topology: where the weights of W [inputs, neurons] are.
        values: of the weights, float32 or float64.
        bias: of the same type.
        taps: see `Taps`.
    """

    topology: Tiled
    values: Float[Array, " capacity"]
    bias: Float[Array, " neurons"]
    taps: Taps | None = None


def zero_taps(topology: Tiled, rows: float, activations: Any, weights: Any) -> Taps:
    """The zeros whose cotangents tell a layer's gradient.

    Args:
        topology: of the layer.
        rows: of its batch; infinite for the places of a convolution's window, and where
            batches follow each other.
        activations: their type.
        weights: their type.
    """
    inputs, neurons = topology.shape
    if rows > neurons:
        return (jnp.zeros((inputs, neurons), weights),)
    x, g = (jnp.zeros((size, int(rows)), activations) for size in topology.shape)
    return x, g


def product(
    topology: Tiled,
    values: Float[Array, " capacity"],
    bias: Float[Array, " neurons"],
    x: Float[Array, "inputs batch"],
    *,
    relu: bool = False,
    taps: Taps | None = None,
) -> Float[Array, "neurons batch"]:
    """Wᵀ x + b, with ReLU if asked for; see `chain`."""
    return chain([Layer(topology, values, bias, taps)], x, relu=relu)


def chain(
    layers: Sequence[Layer], x: Float[Array, "inputs batch"], *, relu: bool
) -> Float[Array, "neurons batch"]:
    """Layers that follow each other, each but the last with ReLU.

    Args:
        layers: the neurons of one are the inputs of the next.
        x: of the type of the weights, or bfloat16 with float32 weights; sums are in the
            weights' type, and every output has the type of `x`.
        relu: whether max(·, 0) follows the last one too.

    Raises:
        ValueError: shapes or types do not fit.
    """
    inputs = x.shape[0]
    for layer in layers:
        check(layer, x.dtype)
        if x.ndim != 2 or inputs != layer.topology.shape[0]:
            raise ValueError(
                f"a layer of {layer.topology.shape[0]} inputs is given {inputs}, of "
                f"{x.shape}"
            )
        inputs = layer.topology.shape[1]
    return _chain(relu, tuple(layers), x)


@jax.custom_vjp
def features_first(x: Float[Array, "batch features"]) -> Float[Array, "features batch"]:
    """The transpose, several times as fast as XLA's on a CPU."""
    if not native.usable() or x.dtype not in ("float32", "float64", "bfloat16"):
        return x.T
    return native.call(
        "SparseSearchTranspose", jax.ShapeDtypeStruct(x.T.shape, x.dtype), x
    )


features_first.defvjp(
    lambda x: (features_first(x), None), lambda _, g: (features_first(g),)
)


def transposed(
    topology: Tiled, values: Float[Array, " capacity"], g: Float[Array, "neurons batch"]
) -> Float[Array, "inputs batch"]:
    """W g, which no gradient is taken of."""
    x = jnp.zeros((topology.shape[0], g.shape[1]), g.dtype)
    return _backward(topology, values, x, g, need_dx=True, gated=False)[0]


def parts(numbers: int, capacity: int) -> int:
    """How many parts of a long batch have gradients of their own, to be summed up.

    A function of shapes, not of threads, so that results are the same on any number;
    and few enough for these gradients to be no larger than the activations.
    """
    return max(min(_PARTS, numbers // max(capacity, 1)), 1)


def check(layer: Layer, activations: Any) -> None:
    """Whether a layer's arrays fit each other, and the type of its activations.

    Raises:
        ValueError: they do not.
    """
    topology, values, bias = layer.topology, layer.values, layer.bias
    neurons = topology.shape[1]
    if values.shape != (topology.capacity,) or bias.shape != (neurons,):
        raise ValueError(
            f"a layer with room for {topology.capacity} weights and {neurons} neurons "
            f"takes as many values and biases, not {values.shape} and {bias.shape}"
        )
    kinds = {"float32": ("float32", "bfloat16"), "float64": ("float64",)}
    fitting = kinds.get(values.dtype.name, ())
    if values.dtype != bias.dtype or activations not in fitting:
        raise ValueError(
            f"weights, biases and activations are {values.dtype}, {bias.dtype} and "
            f"{activations}; they must all be float32 or all float64, and the "
            "activations of float32 weights may be bfloat16"
        )


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _chain(relu: bool, layers: tuple[Layer, ...], x: Array) -> Array:
    return _outputs(relu, layers, x)[-1]


def _outputs(relu: bool, layers: tuple[Layer, ...], x: Array) -> list[Array]:
    """The input and the output of every layer."""
    out = [x]
    for number, layer in enumerate(layers, 1):
        last = number == len(layers)
        out.append(_forward(layer, out[-1], relu=relu or not last))
    return out


def _remember(relu: bool, layers: Any, x: Any) -> Any:
    tapped = [layer.taps and tuple(() for _ in layer.taps) for layer in layers]
    plain = tuple(
        Layer(*jax.tree.map(lambda p: p.value, tuple(layer)[:3], is_leaf=_is_primal))
        for layer in layers
    )
    out = _outputs(relu, plain, x.value)
    # What is static goes as the structure of the residuals.
    flags = [() if x.perturbed else None, *tapped]
    return out[-1], (plain, out if relu else [*out[:-1], None], flags)


def _is_primal(leaf: Any) -> bool:
    return hasattr(leaf, "perturbed")


def _transpose(relu: bool, saved: Any, dy: Array) -> Any:
    layers, out, (need_first, *tapped) = saved
    g, db = _gate(layers[-1], out[-1], dy, relu=relu)
    made: list[Any] = []
    for number in reversed(range(len(layers))):
        layer, x = layers[number], out[number]
        need_dx = number > 0 or need_first is not None
        dx, dw, sums = _backward(
            layer.topology, layer.values, x, g, need_dx=need_dx, gated=number > 0
        )
        taps = None
        if tapped[number] is not None:
            whole = len(tapped[number]) == 1
            taps = (_matmul(x, g.T, layer.values.dtype),) if whole else (x, g)
        made.insert(0, Layer(None, dw, db, taps))  # type: ignore[arg-type]
        g, db = dx, sums
    return tuple(made), g if need_first is not None else None


_chain.defvjp(_remember, _transpose, symbolic_zeros=True)


def _forward(layer: Layer, x: Array, *, relu: bool) -> Array:
    topology = layer.topology
    if not native.usable():
        kind = layer.values.dtype
        if _gathers(topology):
            inputs, neurons = formats.positions(topology)
            each = layer.values[:, None] * _rows(x, inputs, kind)
            y = jax.ops.segment_sum(each, neurons, topology.shape[1])
        else:
            y = _matmul(formats.to_dense(topology, layer.values).T, x, kind)
        y = y + layer.bias[:, None]
        return (jax.nn.relu(y) if relu else y).astype(x.dtype)
    return native.call(
        "SparseSearchForward",
        jax.ShapeDtypeStruct((topology.shape[1], x.shape[1]), x.dtype),
        topology.out_ptr,
        topology.ins,
        topology.perm,
        layer.values,
        layer.bias,
        x,
        relu=relu,
        **_tile(topology),
    )


def _gate(
    layer: Layer, y: Array | None, dy: Array, *, relu: bool
) -> tuple[Array, Array]:
    """The gradient before the ReLU of the last layer, and that of its bias."""
    kind = layer.values.dtype
    if not native.usable():
        g = jnp.where(y > 0, dy, jnp.zeros_like(dy)) if relu else dy  # type: ignore
        return g, jnp.sum(g.astype(kind), axis=1)
    return native.call(
        "SparseSearchGate",
        (
            jax.ShapeDtypeStruct(dy.shape, dy.dtype),
            jax.ShapeDtypeStruct((dy.shape[0],), kind),
        ),
        dy if y is None else y,
        dy,
        aliases={1: 0},
        relu=relu,
    )


def _backward(
    topology: Tiled, values: Array, x: Array, g: Array, *, need_dx: bool, gated: bool
) -> tuple[Array, Array, Array]:
    """The gradients of a layer's input and weights.

    With `gated`, that of the input is zero where the input is not positive, and its
    sums over the batch come third.
    """
    if not native.usable():
        return _jax_backward(topology, values, x, g, need_dx, gated)
    inputs = topology.shape[0]
    long = x.shape[1] >= _LONG and not gated
    several = parts(x.size + g.size, topology.capacity) if long else 1
    room = topology.capacity if several > 1 else 1
    return native.call(
        "SparseSearchBackward",
        (
            jax.ShapeDtypeStruct(x.shape if need_dx else (1, 1), x.dtype),
            jax.ShapeDtypeStruct(values.shape, values.dtype),
            jax.ShapeDtypeStruct((inputs if gated else 1,), values.dtype),
            jax.ShapeDtypeStruct((several, room), values.dtype),
        ),
        topology.in_ptr,
        topology.outs,
        values,
        x,
        g,
        need_dx=need_dx,
        gated=gated,
        **_tile(topology),
    )[:3]


def _jax_backward(
    topology: Tiled, values: Array, x: Array, g: Array, need_dx: bool, gated: bool
) -> tuple[Array, Array, Array]:
    kind = values.dtype
    inputs, neurons = at = formats.positions(topology)
    if _gathers(topology):
        rows = _rows(g, neurons, kind)
        dw = jnp.sum(_rows(x, inputs, kind) * rows, axis=1)
    else:
        dw = _matmul(x, g.T, kind).at[at].get(mode="fill", fill_value=0)
    if not need_dx:
        return x, dw, dw
    if _gathers(topology):
        dx = jax.ops.segment_sum(values[:, None] * rows, inputs, topology.shape[0])
    else:
        dx = _matmul(formats.to_dense(topology, values), g, kind)
    if gated:
        dx = jnp.where(x > 0, dx, jnp.zeros_like(dx))
    return dx.astype(x.dtype), dw, jnp.sum(dx, axis=1)


def _gathers(topology: Tiled) -> bool:
    """Whether JAX alone is faster, and smaller, with a row of the batch a weight."""
    return topology.capacity * _DENSE_FROM < math.prod(topology.shape)


def _rows(x: Array, places: Array, kind: Any) -> Array:
    """Rows by number, zero for numbers beyond the last."""
    return x.astype(kind).at[places].get(mode="fill", fill_value=0)


def _tile(topology: Tiled) -> dict[str, int]:
    return {"tile_in": topology.tile.inputs, "tile_out": topology.tile.neurons}


def _matmul(a: Array, b: Array, kind: Any) -> Array:
    """With sums in the type of the weights."""
    return jnp.matmul(a.astype(kind), b.astype(kind), preferred_element_type=kind)
