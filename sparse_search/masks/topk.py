"""Exact selection of k entries, with k traced.

The k-th largest score is found by a radix histogram over the bits of the scores, 16
bits a pass: two passes for float32, one for bfloat16. That needs counts only, so it
costs a few nanoseconds per entry, shards without a gather, and takes a traced k. Ties
at the threshold are resolved by the rank of their position (`masks.bijection`), in a
second selection that runs only when there are ties to resolve.

Under `vmap` a selection becomes a loop over the batch: vectorised, its conditional
would turn into a select and the second selection would run always.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from sparse_search.masks import bijection
from sparse_search.types import Array, Bool, Float, Int, Key, UInt

_LARGE = 1 << 17  # entries from which fewer passes are worth more counters


class _Word(NamedTuple):
    """Unsigned integers of which only the lowest `bits` bits are used."""

    values: UInt[Array, "*s"]
    bits: int


class _Threshold(NamedTuple):
    value: Array  # the k-th largest word
    above: Array  # how many candidates are larger
    equal: Array  # how many candidates are equal to it


def _looped_over_batch(f: Callable[..., Any]) -> Callable[..., Any]:
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


def _sortable(scores: Float[Array, "*s"]) -> _Word:
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
    return _Word(ordered.astype(jnp.promote_types(unsigned, jnp.uint32)), bits)


def _kth_largest(word: _Word, candidates: Bool[Array, "*s"], k: Array) -> _Threshold:
    """The k-th largest word among the candidates, for 0 <= k <= their number."""
    values, dtype = word.values, word.values.dtype
    digit_bits = 16 if values.size >= _LARGE else 8
    bins = 1 << digit_bits
    passes = -(-word.bits // digit_bits)

    def one(number: Array, at: _Threshold) -> _Threshold:
        shift = jnp.asarray((passes - 1 - number) * digit_bits, dtype)
        shifted = values >> shift
        digit = (shifted & np.array(bins - 1, dtype)).astype(jnp.int32)
        inside = candidates & ((shifted >> np.array(digit_bits, dtype)) == at.value)
        counts = jnp.zeros(bins, jnp.int32).at[digit].add(inside.astype(jnp.int32))
        found, above, equal = _find(counts, at.above, k)
        value = (at.value << np.array(digit_bits, dtype)) | found.astype(dtype)
        return _Threshold(value, above, equal)

    zero = jnp.int32(0)
    start = _Threshold(jnp.zeros((), dtype), zero, zero)
    return jax.lax.fori_loop(0, passes, one, start)


def _find(counts: Array, above: Array, k: Array) -> tuple[Array, Array, Array]:
    """The largest bin at or above which there are still k entries.

    Returns the bin, how many entries lie above it, and how many in it.
    """
    if counts.size > 256:  # first among rows of bins, then within one
        rows = counts.reshape(-1, 256)
        row, above, _ = _find(jnp.sum(rows, axis=1), above, k)
        column, above, equal = _find(rows[row], above, k)
        return row * 256 + column, above, equal
    # A sum over a triangle: a cumulative sum takes far longer to compile.
    bins = jnp.arange(counts.size)
    at_or_above = above + jnp.sum(
        jnp.where(bins[:, None] <= bins, counts, 0), axis=1, dtype=jnp.int32
    )
    found = jnp.maximum(jnp.sum(at_or_above >= k, dtype=jnp.int32) - 1, 0)
    equal = jnp.sum(jnp.where(bins == found, counts, 0), dtype=jnp.int32)
    above = above + jnp.sum(jnp.where(bins > found, counts, 0), dtype=jnp.int32)
    return found, above, equal


def _complement(values: Array, bits: int) -> _Word:
    """Words in reversed order, so that the smallest ranks become the largest words."""
    return _Word(~values & np.uint32((1 << bits) - 1), bits)


def _smallest_ranks(
    key: Key, k: Array, candidates: Bool[Array, "*s"]
) -> Bool[Array, "*s"]:
    shape = candidates.shape
    high, low = bijection.ranks(key, shape)
    half = bijection.domain(shape).half
    if 2 * half <= 32:
        word = _complement((high << np.uint32(half)) | low, 2 * half)
        at = _kth_largest(word, candidates, k)
        return candidates & (word.values >= at.value) & (k > 0)
    first, second = _complement(high, half), _complement(low, half)
    at = _kth_largest(first, candidates, k)
    ties = candidates & (first.values == at.value)
    remaining = k - at.above
    among = _kth_largest(second, ties, remaining)
    return (candidates & (first.values > at.value)) | (
        ties & (second.values >= among.value) & (remaining > 0)
    )


@_looped_over_batch
def _select(
    key: Key, scores: Float[Array, "*s"], k: Array, where: Bool[Array, "*s"]
) -> Bool[Array, "*s"]:
    k = jnp.minimum(jnp.int32(k), jnp.sum(where, dtype=jnp.int32))
    word = _sortable(scores)
    at = _kth_largest(word, where, k)
    ties = where & (word.values == at.value)
    remaining = k - at.above
    chosen = jax.lax.cond(
        at.equal > remaining,
        lambda: _smallest_ranks(key, remaining, ties),
        lambda: ties & (remaining > 0),
    )
    return (where & (word.values > at.value)) | chosen


@_looped_over_batch
def _select_random(key: Key, k: Array, where: Bool[Array, "*s"]) -> Bool[Array, "*s"]:
    k = jnp.minimum(jnp.int32(k), jnp.sum(where, dtype=jnp.int32))
    return _smallest_ranks(key, k, where)


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
    return _select(key, scores, jnp.asarray(k, jnp.int32), where)


def select_random(
    key: Key, k: Int[Array, ""] | int, where: Bool[Array, "*s"]
) -> Bool[Array, "*s"]:
    """Select exactly k candidates uniformly at random: those of the smallest ranks.

    The same as `select` with equal scores, without looking at them.
    """
    return _select_random(key, jnp.asarray(k, jnp.int32), where)
