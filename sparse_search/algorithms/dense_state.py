"""The state of algorithms that begin dense and end with given counts."""

from typing import NamedTuple

import jax.numpy as jnp

from sparse_search.algorithms.base import all_masks, integers
from sparse_search.types import Array, Counts, Int, Key, Masks, Params


class DenseState(NamedTuple):
    """Masks, time, and what training shall end with.

    Attributes:
        masks: the entries that may be stored.
        step: how many gradients it has seen, those of rewires included.
        counts: the nnz of every sparse layer at the end.
    """

    masks: Masks
    step: Int[Array, ""]
    counts: Counts


def begin_dense(key: Key, params: Params, counts: Counts) -> tuple[Params, DenseState]:
    """An algorithm's `init` that stores all weights."""
    del key
    masks = all_masks(params, counts)
    return params, DenseState(masks, jnp.zeros((), jnp.int32), integers(counts))
