"""A keyed bijection of matrix positions: the one source of random order.

Growth at random and ties between equal scores both follow the *rank* of a position,
its image under one bijection of (row, column) that a key selects. The masked form of
a network picks the candidates with the smallest ranks; a compressed form, which never
holds a dense array, walks the ranks 0, 1, 2, … through `position` and meets the same
candidates in the same order. Ranks are unique by construction, so no tie is left.

The bijection is a Feistel network (Luby & Rackoff 1988) over the 2h bits of the
concatenated row and column, where h is half their number of bits, rounded up. Ranks
are pairs (high, low) of h-bit words, never a flat 32-bit index, so a matrix may have
more than 2³² entries.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from sparse_search.keys import mix, words
from sparse_search.types import Array, Key, UInt


def _pairs(half: int) -> int:
    """Pairs of Feistel rounds: four rounds are pseudo-random for large halves.

    In matrices of 16 entries six would still make pairs of positions up to a quarter
    more or less likely to be chosen together; twelve leave no pattern.
    """
    return 6 if half <= 4 else 3


class Domain(NamedTuple):
    """The bits of a matrix's positions: `column` for the column, `half` a word."""

    column: int
    half: int


def domain(shape: tuple[int, ...]) -> Domain:
    """The domain of an array seen as a matrix: all axes but the last are the row."""
    rows, columns = int(np.prod(shape[:-1], dtype=object)), int(shape[-1])
    row_bits = max(rows - 1, 0).bit_length()
    column_bits = max(columns - 1, 0).bit_length()
    return Domain(column_bits, max((row_bits + column_bits + 1) // 2, 1))


def round_keys(key: Key, over: Domain) -> UInt[Array, " rounds"]:
    """The words that key the rounds, all that a bijection needs of its key."""
    return words(key, 2 * _pairs(over.half))


def _in_pairs(keys: UInt[Array, " rounds"]) -> list[tuple[Array, Array]]:
    return [(keys[i], keys[i + 1]) for i in range(0, len(keys), 2)]


def _shift_left(x: Array, bits: int) -> Array:
    """Shift that is defined for 32 bits and more too."""
    return x << np.uint32(bits) if bits < 32 else jnp.zeros_like(x)


def _shift_right(x: Array, bits: int) -> Array:
    return x >> np.uint32(bits) if bits < 32 else jnp.zeros_like(x)


def rank(
    key: Key, row: UInt[Array, "*s"], column: UInt[Array, "*s"], over: Domain
) -> tuple[UInt[Array, "*s"], UInt[Array, "*s"]]:
    """The rank of positions, as a pair (high, low) of words of `over.half` bits."""
    return rank_with(round_keys(key, over), row, column, over)


def rank_with(
    keys: UInt[Array, " rounds"],
    row: UInt[Array, "*s"],
    column: UInt[Array, "*s"],
    over: Domain,
) -> tuple[UInt[Array, "*s"], UInt[Array, "*s"]]:
    """The same, with what `round_keys` made of the key."""
    half, bits = over.half, over.column
    word = np.uint32((1 << half) - 1)
    if bits >= half:
        high = _shift_left(row, bits - half) | _shift_right(column, half)
        low = column & word
    else:
        high = _shift_right(row, half - bits)
        low = (_shift_left(row, bits) | column) & word
    for first, second in _in_pairs(keys):
        high = high ^ (mix(low + first) & word)
        low = low ^ (mix(high + second) & word)
    return high, low


def position(
    key: Key, high: UInt[Array, "*s"], low: UInt[Array, "*s"], over: Domain
) -> tuple[UInt[Array, "*s"], UInt[Array, "*s"]]:
    """The (row, column) of ranks: the inverse of `rank`.

    Where the matrix does not fill the domain some ranks belong to no position; their
    row or column lies outside the matrix.
    """
    half, bits = over.half, over.column
    word = np.uint32((1 << half) - 1)
    for first, second in reversed(_in_pairs(round_keys(key, over))):
        low = low ^ (mix(high + second) & word)
        high = high ^ (mix(low + first) & word)
    if bits >= half:
        column = (_shift_left(high, half) | low) & np.uint32((1 << bits) - 1)
        row = _shift_right(high, bits - half)
    else:
        column = low & np.uint32((1 << bits) - 1)
        row = _shift_left(high, half - bits) | _shift_right(low, bits)
    return row, column


def ranks(key: Key, shape: tuple[int, ...]) -> tuple[Array, Array]:
    """The ranks of all positions of an array, as a pair of uint32 arrays.

    They are computed from one index per axis, without a reshape, so that a sharded
    array's ranks are made where its entries lie.
    """
    row = jnp.zeros(shape, jnp.uint32)
    for axis, size in enumerate(shape[:-1]):
        row = row * np.uint32(size) + jax.lax.broadcasted_iota(jnp.uint32, shape, axis)
    column = jax.lax.broadcasted_iota(jnp.uint32, shape, len(shape) - 1)
    return rank(key, row, column, domain(shape))
