"""How the weights that exist are stored.

`Tiled` is the topology of a layer [inputs, neurons] without its zeros: where the
weights are, not what they are. A kernel of a convolution [rows, columns, channels,
neurons] is seen as a layer whose inputs are the places of its window, each with all
channels. The values are one vector beside it, a leaf of the
parameters like any other, so that optimizers see nothing new. A layer is cut into tiles
so that the rows of activations that a tile touches stay in cache, and so that an
index within a tile is short:

    tile           indices of a weight        bytes
    up to 256²     uint8, uint8, uint16       4
    larger         uint16, uint16, int32      8

and pointers, one a row and tile in either direction.

Vectors may be longer than the number of weights (`capacity`): what is beyond it holds
zeros and is never read. Programs are compiled for a capacity, not for a number.
"""

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse

from sparse_search.errors import UserError
from sparse_search.sparse.tiles import Tile, tile_of, tiles
from sparse_search.types import Array, Bool, Float, Int, UInt

_LARGEST = 2**31 - 1
_SMALLEST_ROOM = 2048


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Tiled:
    """Which entries of a layer are stored, tile by tile.

    Tiles are in rows; a tile's weights are in the order of their inputs, then neurons.

    Attributes:
        in_ptr: of every tile and input of it, where its weights begin, and of every
            tile where they end.
        outs: of every weight, its neuron, from the tile's first.
        out_ptr: like `in_ptr`, for the weights in the order of neurons, then inputs.
        ins: of every weight in that order, its input.
        perm: and its place in the other order, from the tile's first.
        shape: of the layer: inputs, neurons.
        tile: of its tiles.
        window: places of a convolution along each axis; () of a fully connected layer.
    """

    in_ptr: Int[Array, "tiles inputs"]
    outs: UInt[Array, " capacity"]
    out_ptr: Int[Array, "tiles neurons"]
    ins: UInt[Array, " capacity"]
    perm: UInt[Array, " capacity"] | Int[Array, " capacity"]
    shape: tuple[int, int] = field(metadata={"static": True})
    tile: Tile = field(metadata={"static": True})
    window: tuple[int, ...] = field(default=(), metadata={"static": True})

    @property
    def kernel(self) -> tuple[int, ...]:
        """The shape of the dense array that this is a form of."""
        channels = self.shape[0] // math.prod(self.window)
        return *self.window, channels, self.shape[1]

    @property
    def capacity(self) -> int:
        """How many weights there is room for."""
        return self.outs.shape[-1]

    @property
    def nnz(self) -> Int[Array, ""]:
        """How many weights there are."""
        return self.in_ptr[..., -1, -1]

    @property
    def size(self) -> int:
        """How many entries the layer has, stored or not."""
        return math.prod(self.shape)

    @property
    def stored(self) -> Bool[Array, " capacity"]:
        """The mask of the values: what lies within the number of weights."""
        return jnp.arange(self.capacity) < self.nnz[..., None]


def matrix(kernel: tuple[int, ...]) -> tuple[int, int]:
    """The inputs and neurons of a dense array's shape: its last axis is neurons."""
    return math.prod(kernel[:-1]), kernel[-1]


def rounded(nnz: int, size: int) -> int:
    """A number of weights, up to the next of eight steps to its double.

    Layers of equal rounded numbers are about equally fast.

    Args:
        nnz: of the layer.
        size: of the layer, which is never exceeded.
    """
    step = max(2 ** max((nnz - 1).bit_length() - 4, 0), 16)
    return min(-(-nnz // step) * step, size)


def room(nnz: int, size: int) -> int:
    """The capacity for a number of weights.

    Few capacities, so that a sweep over densities compiles few programs; small ones are
    all the same, since compiling for another takes longer than training with the room.

    Args:
        nnz: of the layer.
        size: of the layer, which is never exceeded.
    """
    return min(max(rounded(nnz, size), _SMALLEST_ROOM), size)


def index_types(tile: Tile) -> tuple[Any, Any]:
    """Of indices within a tile, and of places within one."""
    return (np.uint8, np.uint16) if tile.narrow else (np.uint16, np.int32)


def like(kernel: tuple[int, ...], capacity: int, tile: Tile | None = None) -> Tiled:
    """Shapes and types of a topology."""
    shape = matrix(kernel)
    tile = tile or tile_of(shape, capacity)
    number = math.prod(tiles(shape, tile))
    index, place = index_types(tile)

    def vector(kind: Any) -> Any:
        return jax.ShapeDtypeStruct((capacity,), kind)

    def pointers(rows: int) -> Any:
        return jax.ShapeDtypeStruct((number, rows + 1), np.int32)

    return Tiled(
        in_ptr=pointers(tile.inputs),
        outs=vector(index),
        out_ptr=pointers(tile.neurons),
        ins=vector(index),
        perm=vector(place),
        shape=shape,
        tile=tile,
        window=kernel[:-2],
    )


def empty(kernel: tuple[int, ...], capacity: int) -> Tiled:
    """A topology without weights."""
    return jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), like(kernel, capacity))


def from_positions(
    inputs: np.ndarray,
    neurons: np.ndarray,
    shape: tuple[int, int],
    capacity: int | None = None,
) -> tuple[Tiled, np.ndarray]:
    """The topology of some positions, and their order in it.

    Args:
        inputs: rows of the positions, in any order.
        neurons: their columns.
        shape: of the layer.
        capacity: room for weights; as many as there are if None.

    Returns:
        The topology, and `order`: its k-th weight is at the `order[k]`-th position.

    Raises:
        UserError: a position is outside of the layer or there twice, or there is no
            room for all.
    """
    rows, columns = np.asarray(inputs, np.int64), np.asarray(neurons, np.int64)
    nnz = len(rows)
    capacity = nnz if capacity is None else capacity
    if nnz > capacity:
        raise UserError(f"{nnz:,} weights do not fit into room for {capacity:,}.")
    if capacity > _LARGEST:
        raise UserError(
            f"A compressed layer holds at most {_LARGEST:,} weights, not {capacity:,}."
        )
    for what, index, size in (("input", rows, shape[0]), ("neuron", columns, shape[1])):
        wrong = (index < 0) | (index >= size)
        if wrong.any():
            raise UserError(
                f"There is no {what} {index[wrong][0]} in a layer of {shape[0]:,} "
                f"inputs and {shape[1]:,} neurons."
            )
    tile = tile_of(shape, max(capacity, 1))
    number, per_row = math.prod(tiles(shape, tile)), tiles(shape, tile)[1]
    at = (rows // tile.inputs) * per_row + columns // tile.neurons
    j, i = rows % tile.inputs, columns % tile.neurons
    order = np.lexsort((i, j, at))
    at, j, i = at[order], j[order], i[order]
    same = (np.diff(at) == 0) & (np.diff(j) == 0) & (np.diff(i) == 0)
    if same.any():
        k = order[np.flatnonzero(same)[0]]
        raise UserError(
            f"The position {(int(rows[k]), int(columns[k]))} is there twice."
        )
    other = np.lexsort((j, i, at))
    begin = np.searchsorted(at, np.arange(number))
    index, place = index_types(tile)

    def pointers(row: np.ndarray, size: int) -> np.ndarray:
        counts = np.bincount(at * (size + 1) + row + 1, minlength=number * (size + 1))
        return np.cumsum(counts).astype(np.int32).reshape(number, size + 1)

    def vector(values: np.ndarray, kind: Any) -> Array:
        return jnp.asarray(np.pad(values.astype(kind), (0, capacity - nnz)))

    topology = Tiled(
        in_ptr=jnp.asarray(pointers(j, tile.inputs)),
        outs=vector(i, index),
        out_ptr=jnp.asarray(pointers(i, tile.neurons)),
        ins=vector(j[other], index),
        perm=vector(other - begin[at[other]], place),
        shape=(int(shape[0]), int(shape[1])),
        tile=tile,
    )
    return topology, order


def full(kernel: tuple[int, ...]) -> Tiled:
    """A layer that has all weights, of at most 256 neurons: in the order of its array.

    It is one row of tiles, so a weight's place is that in the array.
    """
    return from_mask(np.ones(kernel, bool))


def from_mask(mask: np.ndarray, capacity: int | None = None) -> Tiled:
    """The topology of a mask [..., inputs, neurons]."""
    mask = np.asarray(mask, bool)
    shape = matrix(mask.shape)
    rows, columns = np.nonzero(mask.reshape(shape))
    made = from_positions(rows, columns, shape, capacity)[0]
    return dataclasses.replace(made, window=mask.shape[:-2])


def from_csr(
    matrix: scipy.sparse.csr_array, capacity: int | None = None
) -> tuple[Tiled, np.ndarray]:
    """The topology of a SciPy matrix [inputs, neurons], and its values in order.

    Entries that are stored are weights, zeros too.
    """
    entries: Any = matrix.tocoo()
    rows, columns = entries.coords
    topology, order = from_positions(
        rows, columns, (entries.shape[0], entries.shape[1]), capacity
    )
    values = np.pad(entries.data[order], (0, topology.capacity - len(order)))
    return topology, values


def positions(
    topology: Tiled,
) -> tuple[Int[Array, " capacity"], Int[Array, " capacity"]]:
    """The input and the neuron of every weight; beyond the last, none of the layer."""
    number, rows = topology.in_ptr.shape
    # A weight's row is the last that starts at its place or before.
    begun = jnp.zeros(topology.capacity, jnp.int32)
    begun = begun.at[topology.in_ptr.ravel()].add(1, mode="drop")
    at = jnp.cumsum(begun, dtype=jnp.int32) - 1
    at = jnp.clip(at, 0, number * rows - 1).astype(jnp.int32)
    tile, j = at // rows, at % rows
    per_row = tiles(topology.shape, topology.tile)[1]
    inputs = tile // per_row * topology.tile.inputs + j
    neurons = tile % per_row * topology.tile.neurons + topology.outs.astype(jnp.int32)
    stored = topology.stored
    return (
        jnp.where(stored, inputs, topology.shape[0]),
        jnp.where(stored, neurons, topology.shape[1]),
    )


def fan_in(topology: Tiled) -> Int[Array, " neurons"]:
    """How many inputs every neuron has."""
    rows, columns = tiles(topology.shape, topology.tile)
    counts = jnp.diff(topology.out_ptr, axis=1).reshape(rows, columns, -1)
    return jnp.sum(counts, axis=0).reshape(-1)[: topology.shape[1]]


def fan_out(topology: Tiled) -> Int[Array, " inputs"]:
    """How many neurons every input goes to."""
    rows, columns = tiles(topology.shape, topology.tile)
    counts = jnp.diff(topology.in_ptr, axis=1).reshape(rows, columns, -1)
    return jnp.sum(counts, axis=1).reshape(-1)[: topology.shape[0]]


def to_dense(topology: Tiled, values: Array) -> Array:
    """The layer [inputs, neurons] with its zeros."""
    return (
        jnp.zeros(topology.shape, values.dtype)
        .at[positions(topology)]
        .set(values, mode="drop", unique_indices=True)
    )


def values_at(topology: Tiled, kernel: Array) -> Float[Array, " capacity"]:
    """What a dense layer has where a topology has weights, zero beyond the last."""
    at = positions(topology)
    return kernel.reshape(topology.shape).at[at].get(mode="fill", fill_value=0)


def to_mask(topology: Tiled) -> Bool[Array, "inputs neurons"]:
    """Where the weights are."""
    return to_dense(topology, jnp.ones(topology.capacity, bool))


def to_csr(topology: Tiled, values: np.ndarray) -> scipy.sparse.csr_array:
    """The layer as a SciPy matrix [inputs, neurons], its weights in order."""
    nnz = int(topology.nnz)
    at = tuple(np.asarray(index)[:nnz] for index in host_positions(topology))
    matrix = scipy.sparse.csr_array(
        (np.asarray(values)[:nnz], at), shape=topology.shape
    )
    matrix.sort_indices()
    return matrix


def host_positions(topology: Tiled) -> tuple[np.ndarray, np.ndarray]:
    """`positions` of the weights alone, in NumPy."""
    in_ptr, nnz = np.asarray(topology.in_ptr), int(topology.nnz)
    number, rows = in_ptr.shape
    counts = np.diff(np.append(in_ptr.ravel(), nnz))
    at = np.repeat(np.arange(number * rows), counts)
    tile, j = np.divmod(at, rows)
    per_row = tiles(topology.shape, topology.tile)[1]
    return (
        tile // per_row * topology.tile.inputs + j,
        tile % per_row * topology.tile.neurons + np.asarray(topology.outs)[:nnz],
    )
