"""AC/DC, alternating compressed / decompressed training.

Peste et al. 2021, arXiv:2106.12379, algorithm 1.

The steps until T_end are divided into phases of equal length, dense and sparse in turn:

    decompressed: all weights are trained; what was pruned starts again from zero
    compressed:   the weights of the largest magnitude are trained, the others are zero

Training begins with a dense phase, and is sparse from the last rewire on. There are at
most as many phases as rewires.

Departures from the paper: the first (warm-up) and the last phase are as long as the
others, and training goes on with the last masks after T_end.
"""

import jax
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
from sparse_search.errors import UserError
from sparse_search.masks.gate import cond_over_lanes
from sparse_search.masks.patterns import UNSTRUCTURED, Pattern
from sparse_search.types import Key, Masks, Params, Scalar


def ac_dc(
    until: Scalar = NEVER,
    every: int = 100,
    pattern: Pattern = UNSTRUCTURED,
    scope: Scope = "layer",
    phases: int = 10,
) -> SparseAlgorithm:
    """AC/DC: dense and sparse training in turn.

    Args:
        until: T_end, the step from which masks stay.
        every: ΔT, the smallest number of steps from one rewire to the next.
        pattern: which masks are allowed.
        scope: whether weights are compared within a layer, or over all.
        phases: dense and sparse ones together.

    Raises:
        UserError: there are fewer than two phases.
    """
    check_scope(scope, pattern)
    if phases < 2:
        raise UserError(f"phases={phases}; it must be at least 2.")

    def rewire(
        key: Key, params: Params, grads: Params, state: DenseState
    ) -> tuple[Params, DenseState, Info]:
        del grads
        ends = jnp.maximum(jnp.asarray(until, jnp.int32), 1)
        number = jnp.clip(ends // every, 2, phases)
        phase = (state.step + 1) * number // ends
        sparse = (phase % 2 == 1) | is_last(state.step, every, until)
        everything = jax.tree.map(jnp.ones_like, state.masks)

        def compress() -> Masks:
            scores = trees.map_sparse(lambda _, p: jnp.abs(p), state.masks, params)
            return keep_largest(key, scores, state.masks, state.counts, pattern, scope)

        masks = cond_over_lanes(sparse, compress, lambda: everything)
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
