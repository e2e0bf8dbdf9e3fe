"""What a seed decides: independent streams of keys, and the order of the data.

Which examples a round sees is a function of the seed and the step. It is a program of
its own, because it is the same for all groups: compiled once a process.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from sparse_search.data.batches import Split, round_indices, split
from sparse_search.keys import subkey
from sparse_search.types import Array, Int, Key, Scalar


class Streams(NamedTuple):
    """Independent streams of one seed; split and order are shared by structures.

    Noise is of dropout and augmentation.
    """

    split: Key
    order: Key
    weights: Key
    masks: Key
    rewires: Key
    noise: Key


def streams(seed: Scalar) -> Streams:
    """The keys of a seed."""
    key = jax.random.key(seed)
    return Streams(*(subkey(key, number) for number in range(6)))


class Order(NamedTuple):
    """The data order of a seed, as functions.

    Attributes:
        parts: `seed -> Split`, the training and validation examples.
        rows: `(seed, step) -> [ΔT, batch]`, places in the training part.
    """

    parts: Callable[[Any], Split]
    rows: Callable[[Any, Any], Int[Array, "steps batch"]]


def make_order(
    *,
    size: int,
    validation: int,
    round_steps: int,
    batch_size: int,
    official: int = 0,
) -> Order:
    """Make the data order: a seed shares it across all structures.

    Args:
        size: training examples, those held out among them.
        validation: examples held out.
        round_steps: ΔT.
        batch_size: examples a gradient.
        official: how many of the last examples are an official validation part, of
            which the first are held out and the others not used; 0 holds out any.
    """

    def parts(seed: Any) -> Split:
        if official:
            places = jnp.arange(size, dtype=jnp.int32)
            end = size - official
            return Split(train=places[:end], validation=places[end : end + validation])
        return split(streams(seed).split, size=size, validation=validation)

    def rows(seed: Any, step: Any) -> Array:
        return round_indices(
            streams(seed).order,
            step,
            steps=round_steps,
            train_size=size - (official or validation),
            batch_size=batch_size,
        )

    return Order(parts, rows)
