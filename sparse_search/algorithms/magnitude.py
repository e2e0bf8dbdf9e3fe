"""One-shot magnitude pruning: train dense, prune once, train on.

Han et al. 2015, arXiv:1506.02626, with one round of pruning:

    until T_end:  θ ← optimizer(θ, ∇L(θ))
    at the last rewire before T_end: keep the weights of the largest |θ|
    afterwards:   train them with that mask

Weights are compared within a layer, or over all (scope "global"; "lamp" compares LAMP
scores, Lee et al. 2021, arXiv:2010.07611).
"""

import jax.numpy as jnp

from sparse_search import trees
from sparse_search.algorithms.base import (
    NEVER,
    Info,
    Scope,
    SparseAlgorithm,
    exchanged_info,
    is_last,
    masked_grads,
    same_view,
)
from sparse_search.algorithms.dense_state import DenseState, begin_dense
from sparse_search.algorithms.pruning import check_scope, keep_largest
from sparse_search.masks.gate import cond_over_lanes
from sparse_search.masks.patterns import UNSTRUCTURED, Pattern
from sparse_search.types import Key, Params, Scalar


def magnitude(
    until: Scalar = NEVER,
    every: int = 100,
    pattern: Pattern = UNSTRUCTURED,
    scope: Scope = "layer",
) -> SparseAlgorithm:
    """One-shot magnitude pruning of a network that was trained dense.

    Args:
        until: T_end, the step from which masks stay.
        every: ΔT, the smallest number of steps from one rewire to the next.
        pattern: which masks are allowed.
        scope: whether weights are compared within a layer, or over all.
    """
    check_scope(scope, pattern)

    def rewire(
        key: Key, params: Params, grads: Params, state: DenseState
    ) -> tuple[Params, DenseState, Info]:
        del grads
        masks = cond_over_lanes(
            is_last(state.step, every, until),
            lambda: keep_largest(
                key,
                trees.map_sparse(lambda _, p: jnp.abs(p), state.masks, params),
                state.masks,
                state.counts,
                pattern,
                scope,
            ),
            lambda: state.masks,
        )
        info = exchanged_info(state.masks, masks)
        new = state._replace(masks=masks, step=state.step + 1)
        return trees.apply_masks(params, masks), new, info

    return SparseAlgorithm(
        begin_dense,
        same_view,
        masked_grads,
        rewire,
        "end" if scope == "layer" else "total_end",
        pattern=pattern,
    )
