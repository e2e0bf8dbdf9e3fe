"""Rewiring a layer that stores nothing but its weights.

The same choice as from dense scores, to the entry: what is kept and grown is decided by
the scores, ties by the rank of a position under one keyed bijection, whose ranks growth
at random walks. The dense gradient is never stored: it is made in panels from the
layer's input and its output's gradient, and what can be among the steepest is kept of
each.

Without the native kernel the layer is made dense, exchanged there, and compressed.
"""

from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

from sparse_search.keys import subkey
from sparse_search.masks import bijection, counting, topk
from sparse_search.masks.patterns import UNSTRUCTURED
from sparse_search.sparse import formats, native
from sparse_search.sparse.formats import Tiled
from sparse_search.sparse.products import Taps
from sparse_search.sparse.tiles import tiles
from sparse_search.types import Array, Bool, Float, Int, Key, Scalar

Growth = Literal["random", "gradient", "sampled_gradient"]

_NUMBERS: dict[Growth, int] = {"random": 0, "gradient": 1, "sampled_gradient": 2}


class Factors(NamedTuple):
    """A dense gradient that is not made: ∂L/∂W = x gᵀ.

    Attributes:
        x: the layer's input, [inputs, batch].
        g: the gradient of its output before the ReLU, [neurons, batch].
    """

    x: Float[Array, "inputs batch"]
    g: Float[Array, "neurons batch"]


def factors(tapped: Taps) -> Factors:
    """Of what `products.Taps` became."""
    if len(tapped) == 2:
        return Factors(*tapped)
    return Factors(tapped[0], jnp.eye(tapped[0].shape[1], dtype=tapped[0].dtype))


class Rewired(NamedTuple):
    """What became of a layer.

    Attributes:
        topology: its new one.
        source: of every weight, its place in the old one; −1 where it is new.
        dropped: how many weights are gone.
        grown: how many are new.
    """

    topology: Tiled
    source: Int[Array, " capacity"]
    dropped: Int[Array, ""]
    grown: Int[Array, ""]


def random_topology(
    key: Key, kernel: tuple[int, ...], count: Scalar, capacity: int
) -> Tiled:
    """Exactly `count` weights at random: the positions of the smallest ranks.

    Args:
        key: as `masks.topk.select_random` takes it, for the same mask.
        kernel: the shape of the layer's dense array.
        count: may be traced.
        capacity: room for them.
    """
    nothing = formats.empty(kernel, capacity)
    scores = jnp.zeros(capacity, jnp.float32)
    zero = jnp.int32(0)
    if native.usable():
        keys = (key, key, key)
        made = _native(keys, nothing, scores, zero, count, "random", None, zero)
        return made.topology
    mask = topk.select_random(key, count, jnp.ones(nothing.shape, bool))
    return compress(mask, nothing)


def exchange(
    key: Key,
    topology: Tiled,
    keep: Float[Array, " capacity"],
    kept: Scalar,
    count: Scalar,
    growth: Growth,
    factors: Factors | None = None,
    candidates: Scalar | None = None,
) -> Rewired:
    """Keep the weights of the largest scores, and grow others.

    Args:
        key: as `masks.patterns.unstructured.exchange` takes it, for the same masks.
        topology: before.
        keep: a score of every weight.
        kept: how many are kept.
        count: how many there are afterwards; at most the capacity.
        growth: at random; by the magnitude of the gradient over all entries; or over
            entries that are drawn.
        factors: of the gradient, where growth looks at it.
        candidates: how many entries are drawn.
    """
    kept, count = (jnp.asarray(n, jnp.int32) for n in (kept, count))
    drawn = jnp.asarray(0 if candidates is None else candidates, jnp.int32)
    if native.usable():
        keys = tuple(subkey(key, number) for number in (0, 1, 3))
        return _native(keys, topology, keep, kept, count, growth, factors, drawn)
    return _dense(key, topology, keep, kept, count, growth, factors, drawn)


def static(topology: Tiled) -> dict[str, int]:
    """What the kernel is told of a layer to find the ranks of its positions."""
    over = bijection.domain(topology.shape)
    return {
        "in": topology.shape[0],
        "out": topology.shape[1],
        "tile_in": topology.tile.inputs,
        "tile_out": topology.tile.neurons,
        "half": over.half,
        "column_bits": over.column,
    }


def _native(
    keys: tuple[Key, ...],
    topology: Tiled,
    keep: Array,
    kept: Array,
    count: Scalar,
    growth: Growth,
    factors: Factors | None,
    drawn: Array,
) -> Rewired:
    over = bijection.domain(topology.shape)
    new = formats.like(topology.shape, topology.capacity, topology.tile)
    integer = jax.ShapeDtypeStruct
    nothing = jnp.zeros((1, 1), keep.dtype)
    x, g = (nothing, nothing) if factors is None else factors
    in_ptr, outs, out_ptr, ins, perm, source, info = native.call(
        "SparseSearchRewire",
        (
            new.in_ptr,
            new.outs,
            new.out_ptr,
            new.ins,
            new.perm,
            integer((topology.capacity,), jnp.int32),
            integer((2,), jnp.int32),
        ),
        topology.in_ptr,
        topology.outs,
        keep,
        jnp.stack([kept, jnp.asarray(count, jnp.int32), drawn]),
        jnp.concatenate([bijection.round_keys(key, over) for key in keys]),
        x,
        g,
        growth=_NUMBERS[growth],
        **static(topology),
    )
    made = Tiled(
        in_ptr,
        outs,
        out_ptr,
        ins,
        perm,
        topology.shape,
        topology.tile,
        topology.window,
    )
    return Rewired(made, source, info[0], info[1])


def _dense(
    key: Key,
    topology: Tiled,
    keep: Array,
    kept: Array,
    count: Array,
    growth: Growth,
    factors: Factors | None,
    drawn: Array,
) -> Rewired:
    mask = formats.to_mask(topology)
    scores = None
    if factors is not None and growth != "random":
        scores = jnp.abs(jnp.matmul(factors.x, factors.g.T).astype(keep.dtype))
    if scores is not None and growth == "sampled_gradient":
        looked_at = topk.select_random(subkey(key, 3), drawn, ~mask)
        scores = jnp.where(looked_at, scores, -jnp.inf)
    dense = formats.to_dense(topology, keep)
    new = UNSTRUCTURED.exchange(key, mask, dense, kept, scores, count)
    made = compress(new, topology)
    dropped = jnp.sum(mask & ~new, dtype=jnp.int32)
    grown = jnp.sum(new & ~mask, dtype=jnp.int32)
    return Rewired(made, sources(topology, made), dropped, grown)


def sources(old: Tiled, new: Tiled) -> Int[Array, " capacity"]:
    """Of every weight of a topology, its place in another; −1 where it has none."""
    places = jnp.arange(old.capacity, dtype=jnp.int32)
    matrix = jnp.full(old.shape, -1, jnp.int32)
    matrix = matrix.at[formats.positions(old)].set(places, mode="drop")
    return matrix.at[formats.positions(new)].get(mode="fill", fill_value=-1)


def compress(mask: Bool[Array, "inputs neurons"], like: Tiled) -> Tiled:
    """The topology of a mask in a program, with the capacity and tiles of another.

    A mask of more weights than it has room for has broken a promise: nothing of it is
    stored, which whoever counts the weights of a trained network sees.
    """
    mask &= counting.count(mask) <= like.capacity
    tile, shape, capacity = like.tile, like.shape, like.capacity
    rows, columns = tiles(shape, tile)
    beyond = rows * tile.inputs - shape[0], columns * tile.neurons - shape[1]
    tiled = jnp.pad(mask, ((0, beyond[0]), (0, beyond[1])))
    tiled = tiled.reshape(rows, tile.inputs, columns, tile.neurons).swapaxes(1, 2)
    tiled = tiled.reshape(rows * columns, tile.inputs, tile.neurons)

    def pointers(axis: int) -> Array:
        counts = jnp.sum(tiled, axis, dtype=jnp.int32)
        counts = jnp.pad(counts, ((0, 0), (1, 0)))
        return jnp.cumsum(counts.ravel(), dtype=jnp.int32).reshape(counts.shape)

    in_ptr, out_ptr = pointers(2), pointers(1)
    at, j, i = jnp.nonzero(tiled, size=capacity, fill_value=0)
    places = jnp.arange(capacity, dtype=jnp.int32)
    stored = places < in_ptr[-1, -1]
    # Where the same weights are, sorted by neurons; no sorting, which takes longer.
    before = jnp.cumsum(tiled, axis=1, dtype=jnp.int32)[at, j, i] - 1
    other = jnp.where(stored, out_ptr[at, i] + before, capacity)

    def by_neurons(values: Array, kind: Any) -> Array:
        empty = jnp.zeros(capacity, kind)
        return empty.at[other].set(values.astype(kind), mode="drop")

    return Tiled(
        in_ptr=in_ptr,
        outs=jnp.where(stored, i, 0).astype(like.outs.dtype),
        out_ptr=out_ptr,
        ins=by_neurons(j, like.ins.dtype),
        perm=by_neurons(places - in_ptr[at, 0], like.perm.dtype),
        shape=shape,
        tile=tile,
        window=like.window,
    )
