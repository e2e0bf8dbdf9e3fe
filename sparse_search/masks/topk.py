"""Exact selection of k entries, with k traced.

The k-th largest score is found by bisection over its bits: 32 passes for float32, 16
for bfloat16, each as fast as the scores can be read (`masks.counting`). That needs no
sort and no gather, and takes a traced k. Ties at the threshold are resolved by the rank
of their position (`masks.bijection`), in a second selection that runs only when there
are ties to resolve.

Under `vmap` a selection becomes a loop over the batch: vectorised, its conditional
would turn into a select and the second selection would run always.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from sparse_search.masks import bijection, counting
from sparse_search.types import Array, Bool, Float, Int, Key, UInt

_DIGIT = 16
_FEW = 64  # rows with ties, up to which they are resolved apart
_LARGE = 1 << 20
_SAMPLED = 64  # rows that it looks at


class Word(NamedTuple):
    """Unsigned integers of which only the lowest `bits` bits are used."""

    values: UInt[Array, "*s"]
    bits: int


class _Bounds(NamedTuple):
    low: Array  # at least k candidates are at least that large
    reached: Array  # how many they are
    high: Array  # fewer than k candidates are at least that large
    above: Array  # how many they are


class _Threshold(NamedTuple):
    value: Array  # the k-th largest word
    above: Array  # how many candidates are larger
    equal: Array  # how many candidates are equal to it


def looped_over_batch(f: Callable[..., Any]) -> Callable[..., Any]:
    """Make `vmap` of `f` a `lax.map`."""
    f = jax.custom_batching.custom_vmap(f)

    @f.def_vmap
    def rule(axis_size: int, in_batched: list[bool], *args: Any) -> Any:
        def one(mapped: list[Any]) -> Any:
            rest = iter(mapped)
            full = (
                next(rest) if b else a for a, b in zip(args, in_batched, strict=True)
            )
            return f(*full)

        mapped = [a for a, b in zip(args, in_batched, strict=True) if b]
        return jax.lax.map(one, mapped), True

    return f


def sortable(scores: Float[Array, "*s"]) -> Word:
    """Map floats to unsigned integers of the same order, NaN lowest and −0 = 0."""
    bits = scores.dtype.itemsize * 8
    unsigned = jnp.dtype(f"uint{bits}")
    sign = np.array(1 << (bits - 1), unsigned)
    raw = jax.lax.bitcast_convert_type(scores, unsigned)
    # By bits: comparing floats may flush denormal scores to zero, or not.
    raw = jnp.where(raw == sign, jnp.zeros_like(raw), raw)
    ordered = jnp.where(raw < sign, raw | sign, ~raw)
    ordered = jnp.where(jnp.isnan(scores), jnp.zeros_like(raw), ordered)
    # At least 32 bits, so that a shift by a whole digit is always defined.
    return Word(ordered.astype(jnp.promote_types(unsigned, jnp.uint32)), bits)


def _kth_largest(word: Word, number: Array, k: Array) -> _Threshold:
    """The k-th largest of `number` words, for 0 <= k <= number; all others are 0.

    By bisection, with the upper half of the bits first, by itself, since shorter words
    are counted faster.
    """
    dtype = word.values.dtype
    value = jnp.zeros((), dtype)
    reached, above = number, jnp.int32(0)
    for shift in reversed(range(0, word.bits, _DIGIT)):
        digits = word.values >> np.array(shift, dtype)
        if shift + _DIGIT < word.bits:
            upper = np.array(_DIGIT, dtype)
            same = (digits >> upper) == (value >> np.array(shift, dtype) >> upper)
            digits = jnp.where(same, digits & np.array(2**_DIGIT - 1, dtype), 0)
        bits = min(_DIGIT, word.bits - shift)
        start = _Bounds(jnp.int32(0), reached, jnp.int32(1 << bits), above)
        at = _bisect(digits.astype(jnp.uint16), start, k)
        value = value | (at.low.astype(dtype) << np.array(shift, dtype))
        reached, above = at.reached, at.above
    return _Threshold(value, above, reached - above)


def _bisect(digits: UInt[Array, "*s"], start: _Bounds, k: Array) -> _Bounds:
    """One digit of the k-th largest word."""

    def halve(at: _Bounds) -> _Bounds:
        tried = (at.low + at.high) // 2
        found = start.above + counting.at_least(digits, tried.astype(jnp.uint16))
        return jax.tree.map(
            lambda yes, no: jnp.where(found >= k, yes, no),
            _Bounds(tried, found, at.high, at.above),
            _Bounds(at.low, at.reached, tried, found),
        )

    return jax.lax.while_loop(lambda at: at.high - at.low > 1, halve, start)


def _complement(values: Array, bits: int, candidates: Array) -> Word:
    """Words in reversed order, so that the smallest ranks become the largest words."""
    return Word(jnp.where(candidates, ~values & np.uint32((1 << bits) - 1), 0), bits)


def _smallest(
    ranks: Callable[[], tuple[Array, Array]],
    half: int,
    k: Array,
    candidates: Bool[Array, "*s"],
    number: Array,
) -> Bool[Array, "*s"]:
    """The k candidates, of `number`, with the smallest ranks, pairs of `half` bits."""
    nothing = jnp.zeros(candidates.shape, jnp.uint32)
    # Under a condition they are computed once; XLA would compute them again wherever
    # they are looked at, and LLVM takes minutes over some of the loops that it makes.
    high, low = jax.lax.cond(k > 0, ranks, lambda: (nothing, nothing))
    if 2 * half <= 32:
        word = _complement((high << np.uint32(half)) | low, 2 * half, candidates)
        at = _kth_largest(word, number, k)
        return candidates & (word.values >= at.value) & (k > 0)
    first = _complement(high, half, candidates)
    at = _kth_largest(first, number, k)
    ties = candidates & (first.values == at.value)
    remaining = k - at.above
    second = _complement(low, half, ties)
    among = _kth_largest(second, at.equal, remaining)
    return (candidates & (first.values > at.value)) | (
        ties & (second.values >= among.value) & (remaining > 0)
    )


def _smallest_ranks(
    key: Key, k: Array, candidates: Bool[Array, "*s"], number: Array
) -> Bool[Array, "*s"]:
    shape = candidates.shape
    half = bijection.domain(shape).half
    return _smallest(lambda: bijection.ranks(key, shape), half, k, candidates, number)


def _resolve(
    key: Key, k: Array, ties: Bool[Array, "*s"], number: Array
) -> Bool[Array, "*s"]:
    """The same for ties, which often lie in few rows: only those are looked at."""
    columns = ties.shape[-1]
    rows = ties.size // columns
    if rows < 4 * _FEW or not counting.unsharded():
        return _smallest_ranks(key, k, ties, number)
    matrix = ties.reshape(rows, columns)
    some = jnp.any(matrix, axis=1)

    def few() -> Array:
        chosen = jnp.nonzero(some, size=_FEW, fill_value=rows)[0]
        part = matrix.at[chosen].get(mode="fill", fill_value=False)
        over = bijection.domain(ties.shape)

        def ranks() -> tuple[Array, Array]:
            row = jnp.broadcast_to(chosen.astype(jnp.uint32)[:, None], part.shape)
            column = jax.lax.broadcasted_iota(jnp.uint32, part.shape, 1)
            return bijection.rank(key, row, column, over)

        found = _smallest(ranks, over.half, k, part, number)
        empty = jnp.zeros_like(matrix)
        return empty.at[chosen].set(found, mode="drop").reshape(ties.shape)

    return jax.lax.cond(
        jnp.sum(some) <= _FEW, few, lambda: _smallest_ranks(key, k, ties, number)
    )


@jax.jit
@looped_over_batch
def _select(
    key: Key, scores: Float[Array, "*s"], k: Array, where: Bool[Array, "*s"]
) -> Bool[Array, "*s"]:
    number = counting.count(where)
    k = jnp.minimum(jnp.int32(k), number)
    word = sortable(scores)
    word = word._replace(values=jnp.where(where, word.values, 0))
    at = _kth_largest(word, number, k)
    ties = where & (word.values == at.value)
    remaining = k - at.above
    chosen = jax.lax.cond(
        at.equal > remaining,
        lambda: _resolve(key, remaining, ties, at.equal),
        lambda: ties & (remaining > 0),
    )
    return (word.values > at.value) | chosen


@jax.jit
@looped_over_batch
def _select_random(key: Key, k: Array, where: Bool[Array, "*s"]) -> Bool[Array, "*s"]:
    number = counting.count(where)
    return _smallest_ranks(key, jnp.minimum(jnp.int32(k), number), where, number)


def select(
    key: Key,
    scores: Float[Array, "*s"],
    k: Int[Array, ""] | int,
    where: Bool[Array, "*s"],
) -> Bool[Array, "*s"]:
    """Select exactly the k candidates with the largest scores.

    Args:
        key: selects the bijection whose ranks decide between equal scores.
        scores: any shape with at least one axis, any floating type. NaN counts as
            lower than everything; -0 equals 0.
        k: how many to select, may be traced; if there are fewer candidates than k,
            all of them are selected.
        where: the candidates.

    Returns:
        A bool array with min(k, number of candidates) True entries, all in `where`.
    """
    if not where.size:
        return where
    return _select(key, scores, jnp.asarray(k, jnp.int32), where)


def select_random(
    key: Key, k: Int[Array, ""] | int, where: Bool[Array, "*s"]
) -> Bool[Array, "*s"]:
    """Select exactly k candidates uniformly at random: those of the smallest ranks.

    The same as `select` with equal scores, without looking at them.
    """
    return _select_random(key, jnp.asarray(k, jnp.int32), where)
