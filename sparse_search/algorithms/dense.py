"""No sparsity at all: every weight is stored and trained.

    θ ← optimizer(θ, ∇L(θ))

The reference that sparse algorithms are held against.
"""

import jax
import jax.numpy as jnp

from sparse_search.algorithms.base import (
    MaskState,
    SparseAlgorithm,
    masked_grads,
    no_rewire,
    same_view,
)
from sparse_search.types import Counts, Key, Params


def dense() -> SparseAlgorithm:
    """Dense training; the counts given to `init` are not looked at."""

    def init(key: Key, params: Params, counts: Counts) -> tuple[Params, MaskState]:
        del key, counts
        masks = jax.tree.map(lambda p: None, params)
        return params, MaskState(masks, jnp.zeros((), jnp.int32))

    return SparseAlgorithm(init, same_view, masked_grads, no_rewire)
