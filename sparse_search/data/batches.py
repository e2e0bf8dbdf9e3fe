"""Data order as a function: `batch(key, step)`, with no iterator and no state.

Which examples a step sees follows from a key and the number of the step alone, so a
run resumes at any step without having stored anything. Each epoch is a permutation
of the examples that is never written down: a Feistel network, keyed by the epoch,
maps a place in the epoch to an example (Black and Rogaway 2002, "Ciphers with
arbitrary finite domains", their generalized Feistel cipher with cycle walking). A
batch so costs the same whatever the size of the data set.

All functions are pure and give the same values eager, jitted and vmapped over keys
and steps. Indices are positions in the training part; to get examples, compose:

    parts = split(split_key, size=len(train_inputs), validation=6000)
    rows = round_indices(order_key, step, steps=100, train_size=54000, batch_size=128)
    images = train_inputs[parts.train[rows]]
"""

import math
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Int, Int32, PRNGKeyArray, UInt32

from sparse_search.errors import UserError

# Pairs of Feistel rounds. Two pairs leave pairs of places visibly dependent (40
# examples, 60,000 keys, chi-square 2210 for 1559 degrees of freedom), four do not.
_PAIRS = 4


class Split(NamedTuple):
    """The examples of the two parts, as indices of the official training set."""

    train: Int32[Array, " train"]
    validation: Int32[Array, " validation"]


def split(key: PRNGKeyArray, *, size: int, validation: int) -> Split:
    """Splits `size` examples into training and validation, at random but for ever.

    Place p of [0, size) holds the example that a bijection keyed by `key` maps it to.
    The first `validation` places are for validation, so a larger validation part
    contains every smaller one of the same key.

    Args:
        key: fixes the split; equal for all runs that are to be compared.
        size: number of examples, static.
        validation: number of examples held out, static, 0 for none.

    Raises:
        UserError: nothing would be left to train on.
    """
    if not 0 <= validation < size:
        raise UserError(
            f"{validation} of {size} training examples cannot be held out for "
            f"validation; allowed is 0 to {size - 1}."
        )
    examples = _permute(_words(key), jnp.arange(size, dtype=jnp.int32), size)
    return Split(train=examples[validation:], validation=examples[:validation])


def batch_indices(
    key: PRNGKeyArray, step: int | Int[Array, ""], *, train_size: int, batch_size: int
) -> Int32[Array, " batch_size"]:
    """The training examples of one gradient step: the contract `batch(key, step)`.

    An epoch has `train_size // batch_size` steps and no example twice; the rest, fewer
    than a batch and others in each epoch, are left out.

    Args:
        key: fixes the order of all epochs.
        step: number of the gradient step from 0, may be traced.
        train_size: number of training examples, static.
        batch_size: examples in a step, static.

    Returns:
        Indices from 0 to `train_size` - 1, all different.

    Raises:
        UserError: a batch is larger than the training part, or empty.
    """
    return round_indices(
        key, step, steps=1, train_size=train_size, batch_size=batch_size
    )[0]


def round_indices(
    key: PRNGKeyArray,
    first_step: int | Int[Array, ""],
    *,
    steps: int,
    train_size: int,
    batch_size: int,
) -> Int32[Array, "steps batch_size"]:
    """`batch_indices` of consecutive steps at once, for the scan of a round.

    Takes time and memory in proportion to `steps * batch_size`. Steps may run over
    the end of an epoch.

    Args:
        key: as in `batch_indices`.
        first_step: number of the first step, may be traced.
        steps: how many steps, static.
        train_size: as in `batch_indices`.
        batch_size: as in `batch_indices`.

    Raises:
        UserError: a batch is larger than the training part, or empty.
    """
    if not 1 <= batch_size <= train_size:
        raise UserError(
            f"A batch of {batch_size} cannot be drawn from {train_size} training "
            f"examples; allowed is 1 to {train_size}."
        )
    steps_per_epoch = train_size // batch_size
    step = first_step + jnp.arange(steps, dtype=jnp.int32)
    epoch, start = step // steps_per_epoch, step % steps_per_epoch * batch_size
    words = jax.vmap(lambda e: _words(jax.random.fold_in(key, e)))(epoch)
    places = start[:, None] + jnp.arange(batch_size, dtype=jnp.int32)
    return jax.vmap(lambda w, p: _permute(w, p, train_size))(words, places)


def _words(key: PRNGKeyArray) -> UInt32[Array, "pairs 2"]:
    """The round keys of the Feistel network."""
    return jax.random.bits(key, (_PAIRS, 2), jnp.uint32)


# Jitted so that eager calls compile it once for each size and not every time.
@partial(jax.jit, static_argnames="size")
def _permute(
    words: UInt32[Array, "pairs 2"], places: Int32[Array, " n"], size: int
) -> Int32[Array, " n"]:
    """Maps each of `places` in [0, size) through the bijection keyed by `words`."""
    # A grid of cells, hardly more than there are examples: fewer than √size are
    # surplus, so nearly every place is done in one pass.
    rows = math.isqrt(size - 1) + 1
    columns = -(-size // rows)

    def encrypt(cell: UInt32[Array, " n"]) -> UInt32[Array, " n"]:
        # Each line adds to one coordinate what depends on the other: invertible. A
        # scan, because XLA recomputes shared terms when it fuses unrolled rounds.
        def pair(coordinates, word):
            row, column = coordinates
            row = (row + _mix(column ^ word[0]) % rows) % rows
            column = (column + _mix(row ^ word[1]) % columns) % columns
            return (row, column), None

        (row, column), _ = lax.scan(pair, (cell // columns, cell % columns), words)
        return row * columns + column

    # Cycle walking: a cell that is not an example is mapped on until it is one. All
    # places start as unfinished, so that the program holds `encrypt` only once.
    def unfinished(state: tuple[UInt32[Array, " n"], Bool[Array, " n"]]):
        return jnp.any(state[1])

    def walk(state: tuple[UInt32[Array, " n"], Bool[Array, " n"]]):
        cell, walking = state
        cell = jnp.where(walking, encrypt(cell), cell)
        return cell, cell >= size

    start = (places.astype(jnp.uint32), jnp.ones(places.shape, bool))
    return lax.while_loop(unfinished, walk, start)[0].astype(jnp.int32)


def _mix(word: UInt32[Array, "..."]) -> UInt32[Array, "..."]:
    """The finalizer of MurmurHash3 (Appleby 2011): every bit depends on every bit."""
    word = (word ^ (word >> 16)) * jnp.uint32(0x85EBCA6B)
    word = (word ^ (word >> 13)) * jnp.uint32(0xC2B2AE35)
    return word ^ (word >> 16)
