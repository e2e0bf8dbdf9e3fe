"""Patterns with the same number of entries in every group: N:M and constant fan-in.

A layout cuts an array into groups: it reshapes it so that some axes run over the
entries of a group and the others over groups. The k-th largest score of every group is
found by bisection over its bits, all groups at once; ties follow the rank of their
position, as in `masks.topk`.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from sparse_search.keys import subkey
from sparse_search.masks import bijection, topk
from sparse_search.masks.patterns import unstructured
from sparse_search.masks.patterns.base import Count, Scores
from sparse_search.types import Array, Bool, Int, Key, UInt

_SMALL = 16  # members of a group up to which they are compared with each other


class Layout(NamedTuple):
    """How an array is cut into groups.

    Attributes:
        split: the shape in which groups have axes of their own.
        axes: those that run over the entries of a group.
    """

    split: tuple[int, ...]
    axes: tuple[int, ...]

    @property
    def groups(self) -> int:
        """How many groups there are."""
        members = math.prod(self.split[axis] for axis in self.axes)
        return math.prod(self.split) // members


def select(
    key: Key,
    scores: Scores,
    quota: Int[Array, "*groups"] | Count,
    where: Bool[Array, "*s"],
    layout: Layout,
) -> Bool[Array, "*s"]:
    """Select in every group the `quota` candidates of the largest scores.

    Args:
        key: resolves ties, or makes the random choice.
        scores: what to rank by; None selects at random.
        quota: how many; broadcast against the groups. A group with fewer candidates
            gives all it has.
        where: the candidates.
        layout: the groups.
    """
    if scores is None:
        return _random(key, jnp.asarray(quota, jnp.int32), where, layout)
    return _select(key, scores, jnp.asarray(quota, jnp.int32), where, layout)


def exchange(
    key: Key,
    mask: Bool[Array, "*s"],
    keep: Scores,
    kept: Count,
    grow: Scores,
    quota: Int[Array, "*groups"] | Count,
    layout: Layout,
) -> Bool[Array, "*s"]:
    """Keep the best `kept` entries of a mask, and fill every group up to its quota.

    What is kept is chosen over the whole array, so that groups lose different numbers;
    but no group keeps more than its quota.
    """
    quota = jnp.asarray(quota, jnp.int32)
    within = _at_most(subkey(key, 2), keep, quota, mask, layout)
    rest = unstructured.select(subkey(key, 0), keep, kept, within)
    missing = quota - numbers(rest, layout)
    return rest | select(subkey(key, 1), grow, missing, ~rest, layout)


def numbers(mask: Bool[Array, "*s"], layout: Layout) -> Int[Array, "*groups"]:
    """How many entries every group has."""
    mask = mask.reshape(layout.split)
    return jnp.sum(mask, axis=layout.axes, keepdims=True, dtype=jnp.int32)


def _at_most(
    key: Key, scores: Scores, quota: Array, mask: Bool[Array, "*s"], layout: Layout
) -> Bool[Array, "*s"]:
    """A mask whose groups are cut down to their quota, where they have more."""

    def cut(key: Key, scores: Array, quota: Array, mask: Array) -> Array:
        return jax.lax.cond(
            jnp.any(numbers(mask, layout) > quota),
            lambda: _largest(key, scores, quota, mask, layout),
            lambda: mask,
        )

    scores = jnp.zeros(mask.shape, jnp.float32) if scores is None else scores
    return topk.looped_over_batch(cut)(key, scores, quota, mask)


def _select(
    key: Key, scores: Array, quota: Array, where: Bool[Array, "*s"], layout: Layout
) -> Bool[Array, "*s"]:
    def run(key: Key, scores: Array, quota: Array, where: Array) -> Array:
        return _largest(key, scores, quota, where, layout)

    return topk.looped_over_batch(run)(key, scores, quota, where)


def _largest(
    key: Key, scores: Array, quota: Array, where: Bool[Array, "*s"], layout: Layout
) -> Bool[Array, "*s"]:
    quota = jnp.minimum(quota, numbers(where, layout))
    word = topk.sortable(scores)
    values = word.values.reshape(layout.split)
    candidates = where.reshape(layout.split)
    members = math.prod(layout.split[axis] for axis in layout.axes)
    if len(layout.axes) == 1 and members <= _SMALL:
        above, ties = _compared(values, quota, candidates, layout)
    else:
        least = _kth(values, word.bits, quota, candidates, layout)
        above = candidates & (values > least)
        ties = candidates & (values == least)
    remaining = quota - jnp.sum(above, layout.axes, jnp.int32, keepdims=True)
    equal = jnp.sum(ties, layout.axes, jnp.int32, keepdims=True)
    chosen = jax.lax.cond(
        jnp.any((equal > remaining) & (remaining > 0)),
        lambda: _smallest_ranks(key, remaining, ties, where.shape, layout),
        lambda: ties & (remaining > 0),
    )
    return (above | chosen).reshape(where.shape)


def _random(
    key: Key, quota: Array, where: Bool[Array, "*s"], layout: Layout
) -> Bool[Array, "*s"]:
    def run(key: Key, quota: Array, where: Array) -> Array:
        number = jnp.minimum(quota, numbers(where, layout))
        candidates = where.reshape(layout.split)
        found = _smallest_ranks(key, number, candidates, where.shape, layout)
        return found.reshape(where.shape)

    return topk.looped_over_batch(run)(key, quota, where)


def _smallest_ranks(
    key: Key,
    quota: Array,
    candidates: Bool[Array, "*split"],
    shape: tuple[int, ...],
    layout: Layout,
) -> Bool[Array, "*split"]:
    """In every group the candidates of the smallest ranks, as many as its quota."""
    half = bijection.domain(shape).half
    nothing = jnp.zeros(layout.split, jnp.uint32)

    def ranks() -> tuple[Array, Array]:
        high, low = bijection.ranks(key, shape)
        return high.reshape(layout.split), low.reshape(layout.split)

    # Under a condition for the reason that `topk` has.
    words = jax.lax.cond(jnp.any(quota > 0), ranks, lambda: (nothing, nothing))
    chosen = jnp.zeros(layout.split, bool)
    for values in words:  # the high words first, the low ones among equals
        values = ~values & np.uint32((1 << half) - 1)
        least = _kth(values, half, quota, candidates, layout)
        above = candidates & (values > least)
        chosen = chosen | (above & (quota > 0))
        candidates = candidates & (values == least)
        quota = quota - jnp.sum(above, layout.axes, jnp.int32, keepdims=True)
    return chosen | (candidates & (quota > 0))


def _compared(
    values: UInt[Array, "*split"],
    quota: Array,
    candidates: Bool[Array, "*split"],
    layout: Layout,
) -> tuple[Bool[Array, "*split"], Bool[Array, "*split"]]:
    """What is above every group's quota-th largest word, and equal to it.

    By comparing the members of a group with each other: for small groups.
    """
    (axis,) = layout.axes
    greater = equal = jnp.zeros(layout.split, jnp.int32)
    for number in range(layout.split[axis]):
        other = jax.lax.slice_in_dim(values, number, number + 1, axis=axis)
        counts = jax.lax.slice_in_dim(candidates, number, number + 1, axis=axis)
        greater += counts & (other > values)
        equal += counts & (other == values)
    above = candidates & (greater + equal <= quota)
    return above, candidates & (greater < quota) & ~above


def _kth(
    values: UInt[Array, "*split"],
    bits: int,
    quota: Array,
    candidates: Bool[Array, "*split"],
    layout: Layout,
) -> UInt[Array, "*groups"]:
    """Every group's quota-th largest word, bit by bit."""
    dtype = values.dtype
    keepdims = jax.eval_shape(lambda m: numbers(m, layout), candidates).shape

    def one(number: Array, least: Array) -> Array:
        bit = jnp.asarray(bits - 1 - number, dtype)
        tried = least | (np.array(1, dtype) << bit)
        reached = jnp.sum(
            candidates & (values >= tried), layout.axes, jnp.int32, keepdims=True
        )
        return jnp.where(reached >= quota, tried, least)

    return jax.lax.fori_loop(0, bits, one, jnp.zeros(keepdims, dtype))
