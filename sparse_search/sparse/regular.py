"""Formats of regular patterns: constant fan-in, blocks, N:M.

Values and indices only, as arrays without gaps, so that products are plain JAX on any
device: gathers for constant fan-in and N:M (the condensed form of Lasby et al. 2023,
arXiv:2305.02299), small matrix products for blocks. Layers are [inputs, neurons] and
activations [features, batch], as in `products`.
"""

from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse

from sparse_search.errors import UserError
from sparse_search.types import Array, Bool, Float, Int, UInt


def _static(**options: Any) -> Any:
    return field(metadata={"static": True}, **options)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class FanIn:
    """As many weights for every neuron.

    Attributes:
        values: of the k-th weight of every neuron.
        inputs: that it comes from, ascending.
        shape: of the layer.
    """

    values: Float[Array, "fan_in neurons"]
    inputs: Int[Array, "fan_in neurons"]
    shape: tuple[int, int] = _static()


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Blocks:
    """Blocks of weights, which divide the layer.

    Attributes:
        values: of every block.
        rows: of blocks, where it is along the inputs.
        columns: likewise along the neurons.
        shape: of the layer.
    """

    values: Float[Array, "blocks inputs neurons"]
    rows: Int[Array, " blocks"]
    columns: Int[Array, " blocks"]
    shape: tuple[int, int] = _static()


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class NM:
    """N weights in every M inputs that follow each other, of every neuron.

    Attributes:
        values: of the weights of every group and neuron.
        index: of the weight in its group, ascending.
        m: inputs of a group, at most 256.
        shape: of the layer.
    """

    values: Float[Array, "groups n neurons"]
    index: UInt[Array, "groups n neurons"]
    m: int = _static()
    shape: tuple[int, int] = _static()


Regular = FanIn | Blocks | NM


def fan_in(weights: np.ndarray, mask: Bool[np.ndarray, "inputs neurons"]) -> FanIn:
    """A layer whose neurons have equally many inputs.

    Raises:
        UserError: they have not.
    """
    counts = mask.sum(axis=0)
    if counts.min() != counts.max():
        raise UserError(
            f"The neurons have between {counts.min()} and {counts.max()} inputs; the "
            "format of constant fan-in needs as many for every one."
        )
    inputs = np.argsort(~mask, axis=0, kind="stable")[: counts[0]]
    values = np.take_along_axis(weights, inputs, axis=0)
    return FanIn(jnp.asarray(values), jnp.asarray(inputs, jnp.int32), _shape(mask))


def blocks(
    weights: np.ndarray,
    mask: Bool[np.ndarray, "inputs neurons"],
    size: tuple[int, int],
) -> Blocks:
    """A layer of blocks that are stored whole or not at all.

    Raises:
        UserError: blocks of this size do not divide the layer, or some are cut.
    """
    if mask.shape[0] % size[0] or mask.shape[1] % size[1]:
        raise UserError(
            f"Blocks of {size[0]}×{size[1]} do not divide a layer of "
            f"{mask.shape[0]}×{mask.shape[1]}."
        )

    def cut(x: np.ndarray) -> np.ndarray:
        across, down = mask.shape[0] // size[0], mask.shape[1] // size[1]
        return x.reshape(across, size[0], down, size[1]).swapaxes(1, 2)

    some, every = cut(mask).any(axis=(2, 3)), cut(mask).all(axis=(2, 3))
    if (some != every).any():
        raise UserError(
            f"{(some != every).sum()} blocks of {size[0]}×{size[1]} are stored in "
            "part; the format of blocks stores them whole."
        )
    rows, columns = np.nonzero(some)
    return Blocks(
        jnp.asarray(cut(weights)[rows, columns]),
        jnp.asarray(rows, jnp.int32),
        jnp.asarray(columns, jnp.int32),
        _shape(mask),
    )


def n_m(weights: np.ndarray, mask: Bool[np.ndarray, "inputs neurons"], m: int) -> NM:
    """A layer of as many weights in every group of M inputs.

    Raises:
        UserError: groups do not divide the inputs, or have different numbers.
    """
    if not 1 <= m <= 256 or mask.shape[0] % m:
        raise UserError(
            f"Groups of {m} do not divide {mask.shape[0]} inputs; they have at most "
            "256."
        )
    groups = mask.reshape(-1, m, mask.shape[1])
    counts = groups.sum(axis=1)
    if counts.min() != counts.max():
        raise UserError(
            f"Groups of {m} inputs have between {counts.min()} and {counts.max()} "
            "weights; the format N:M needs as many in every one."
        )
    index = np.argsort(~groups, axis=1, kind="stable")[:, : counts.flat[0]]
    values = np.take_along_axis(weights.reshape(groups.shape), index, axis=1)
    return NM(jnp.asarray(values), jnp.asarray(index, jnp.uint8), m, _shape(mask))


def positions(layer: Regular) -> tuple[Int[Array, " nnz"], Int[Array, " nnz"]]:
    """The input and the neuron of every value, in the order of `values.ravel()`."""
    if isinstance(layer, Blocks):
        a, b = layer.values.shape[1:]
        rows = layer.rows[:, None, None] * a + jnp.arange(a)[:, None]
        columns = layer.columns[:, None, None] * b + jnp.arange(b)
    else:
        rows = _inputs(layer)
        columns = jnp.arange(layer.shape[1])
    shape = layer.values.shape
    return tuple(jnp.broadcast_to(x, shape).ravel() for x in (rows, columns))  # type: ignore


def to_dense(layer: Regular) -> Float[Array, "inputs neurons"]:
    """The layer with its zeros."""
    zeros = jnp.zeros(layer.shape, layer.values.dtype)
    return zeros.at[positions(layer)].set(layer.values.ravel())


def to_mask(layer: Regular) -> Bool[Array, "inputs neurons"]:
    """Where its weights are."""
    return jnp.zeros(layer.shape, bool).at[positions(layer)].set(True)


def to_csr(layer: Regular) -> scipy.sparse.csr_array:
    """The layer as a SciPy matrix [inputs, neurons], its weights in order."""
    at = tuple(np.asarray(index) for index in positions(layer))
    matrix = scipy.sparse.csr_array(
        (np.asarray(layer.values).ravel(), at), shape=layer.shape
    )
    matrix.sort_indices()
    return matrix


def product(
    layer: Regular, x: Float[Array, "inputs batch"]
) -> Float[Array, "neurons batch"]:
    """Wᵀ x, differentiable in the values and in x."""
    if isinstance(layer, Blocks):
        a, b = layer.values.shape[1:]
        parts = x.reshape(-1, a, x.shape[1])[layer.rows]
        made = jnp.einsum("nab,nax->nbx", layer.values, parts)
        zeros = jnp.zeros((layer.shape[1] // b, b, x.shape[1]), made.dtype)
        return zeros.at[layer.columns].add(made).reshape(layer.shape[1], -1)
    inputs = _inputs(layer).reshape(-1, layer.shape[1])
    values = layer.values.reshape(-1, layer.shape[1])

    def add(y: Array, one: tuple[Array, Array]) -> tuple[Array, None]:
        rows, weights = one
        return y + weights[:, None] * x[rows], None

    zeros = jnp.zeros((layer.shape[1], x.shape[1]), jnp.result_type(x, values))
    return jax.lax.scan(add, zeros, (inputs, values))[0]


def _inputs(layer: FanIn | NM) -> Int[Array, "... neurons"]:
    if isinstance(layer, FanIn):
        return layer.inputs
    first = layer.m * jnp.arange(layer.index.shape[0], dtype=jnp.int32)
    return first[:, None, None] + layer.index


def _shape(mask: np.ndarray) -> tuple[int, int]:
    return int(mask.shape[0]), int(mask.shape[1])
