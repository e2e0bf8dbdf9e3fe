"""Products with the weights that exist, and their gradients.

    y = relu?(Wᵀ x + b),   activations as [features, batch]

In the native kernel a weight costs one multiply-add over a row of activations forward
and two backward. Without it, or on another device, the layer is made dense for the
product: always right, never small.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sparse_search.sparse import formats, native
from sparse_search.sparse.formats import Tiled
from sparse_search.types import Array, Float

Taps = tuple[Array, Array]
"""Zeros like a layer's input and output, whose cotangents are the factors of the
gradient of all its entries: x and g with ∂L/∂W = x gᵀ."""


def product(
    topology: Tiled,
    values: Float[Array, " capacity"],
    bias: Float[Array, " neurons"],
    x: Float[Array, "inputs batch"],
    *,
    relu: bool = False,
    taps: Taps | None = None,
) -> Float[Array, "neurons batch"]:
    """Wᵀ x + b, with ReLU if asked for.

    Args:
        topology: where the weights of W [inputs, neurons] are.
        values: of the weights, float32 or float64.
        bias: of the same type.
        x: of the same type, or bfloat16 with float32 weights; sums are in the weights'
            type, and the output has the type of `x`.
        relu: whether max(·, 0) follows.
        taps: see `Taps`.

    Raises:
        ValueError: shapes or types do not fit.
    """
    _check(topology, values, bias, x)
    return _product(relu, topology, values, bias, x, taps)


def transposed(
    topology: Tiled, values: Float[Array, " capacity"], g: Float[Array, "neurons batch"]
) -> Float[Array, "inputs batch"]:
    """W g, which no gradient is taken of."""
    x = jnp.zeros((topology.shape[0], g.shape[1]), g.dtype)
    backward = _native_backward if native.usable() else _dense_backward
    return backward(False, True, topology, values, x, None, g)[0]


def _check(topology: Tiled, values: Array, bias: Array, x: Array) -> None:
    inputs, neurons = topology.shape
    if values.shape != (topology.capacity,) or bias.shape != (neurons,):
        raise ValueError(
            f"a layer with room for {topology.capacity} weights and {neurons} neurons "
            f"takes as many values and biases, not {values.shape} and {bias.shape}"
        )
    if x.ndim != 2 or x.shape[0] != inputs:
        raise ValueError(f"x must be of {inputs} inputs × batch, not {x.shape}")
    kinds = {"float32": ("float32", "bfloat16"), "float64": ("float64",)}
    if values.dtype != bias.dtype or x.dtype not in kinds.get(values.dtype.name, ()):
        raise ValueError(
            f"weights, biases and activations are {values.dtype}, {bias.dtype} and "
            f"{x.dtype}; they must all be float32 or all float64, and the activations "
            "of float32 weights may be bfloat16"
        )


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _product(
    relu: bool, topology: Tiled, values: Array, bias: Array, x: Array, taps: Any
) -> Array:
    del taps
    return _forward(relu, topology, values, bias, x)


def _remember(relu: bool, topology: Any, values: Any, bias: Any, x: Any, taps: Any):
    topology = jax.tree.map(
        lambda leaf: leaf.value, topology, is_leaf=lambda leaf: hasattr(leaf, "value")
    )
    y = _forward(relu, topology, values.value, bias.value, x.value)
    # Whether a tree has something is static: residuals carry it as their structure.
    need = () if x.perturbed else None
    tapped = None if taps is None else ()
    kept = y if relu else None
    return y, (topology, values.value, x.value, kept, need, tapped)


def _transpose(relu: bool, saved: Any, dy: Any) -> Any:
    topology, values, x, y, need, tapped = saved
    need_dx = need is not None
    backward = _native_backward if native.usable() else _dense_backward
    dx, dw, db, g = backward(relu, need_dx, topology, values, x, y, dy)
    taps = None if tapped is None else (x, g)
    return None, dw, db, dx if need_dx else None, taps


_product.defvjp(_remember, _transpose, symbolic_zeros=True)


def _forward(
    relu: bool, topology: Tiled, values: Array, bias: Array, x: Array
) -> Array:
    if not native.usable():
        return _dense_forward(relu, topology, values, bias, x)
    out = jax.ShapeDtypeStruct((topology.shape[1], x.shape[1]), x.dtype)
    call = jax.ffi.ffi_call("SparseSearchForward", out, vmap_method="sequential")
    made = call(
        topology.out_ptr,
        topology.ins,
        topology.perm,
        values,
        bias,
        x,
        relu=np.bool_(relu),
        **_tile(topology),
    )
    assert isinstance(made, jax.Array)
    return made


def _native_backward(
    relu: bool,
    need_dx: bool,
    topology: Tiled,
    values: Array,
    x: Array,
    y: Array | None,
    dy: Array,
) -> Any:
    dx = x.shape if need_dx else (1, 1)
    call = jax.ffi.ffi_call(
        "SparseSearchBackward",
        (
            jax.ShapeDtypeStruct(dx, x.dtype),
            jax.ShapeDtypeStruct(values.shape, values.dtype),
            jax.ShapeDtypeStruct((topology.shape[1],), values.dtype),
            jax.ShapeDtypeStruct(dy.shape, dy.dtype),
        ),
        vmap_method="sequential",
        input_output_aliases={5: 3},
    )
    return call(
        topology.in_ptr,
        topology.outs,
        values,
        x,
        dy if y is None else y,
        dy,
        relu=np.bool_(relu),
        need_dx=np.bool_(need_dx),
        **_tile(topology),
    )


def _tile(topology: Tiled) -> dict[str, Any]:
    return {
        "tile_in": np.int64(topology.tile.inputs),
        "tile_out": np.int64(topology.tile.neurons),
    }


def _dense_forward(
    relu: bool, topology: Tiled, values: Array, bias: Array, x: Array
) -> Array:
    weights = formats.to_dense(topology, values)
    y = _matmul(weights.T, x, values.dtype) + bias[:, None]
    return (jax.nn.relu(y) if relu else y).astype(x.dtype)


def _dense_backward(
    relu: bool,
    need_dx: bool,
    topology: Tiled,
    values: Array,
    x: Array,
    y: Array | None,
    dy: Array,
) -> Any:
    g = dy if y is None else jnp.where(y > 0, dy, jnp.zeros_like(dy))
    at = formats.positions(topology)
    dw = _matmul(x, g.T, values.dtype).at[at].get(mode="fill", fill_value=0)
    db = jnp.sum(g.astype(values.dtype), axis=1)
    dx = None
    if need_dx:
        dx = _matmul(formats.to_dense(topology, values), g, values.dtype)
        dx = dx.astype(x.dtype)
    return dx, dw, db, g


def _matmul(a: Array, b: Array, kind: Any) -> Array:
    """With sums in the type of the weights."""
    return jnp.matmul(a.astype(kind), b.astype(kind), preferred_element_type=kind)
