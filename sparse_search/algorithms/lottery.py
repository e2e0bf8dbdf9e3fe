"""Iterative magnitude pruning with rewinding: the lottery ticket.

Frankle and Carbin 2019, arXiv:1803.03635; rewinding to an early step: Frankle et al.
2020, arXiv:1912.05671.

K times, with N weights at first and n in the end:

    train to the end of a training
    keep the N (n / N)^(k / K) weights of the largest magnitude
    θ ← m ⊙ θ_r, the weights of step r of the first training; the optimizer's state and
        the learning rate's schedule go back to that step, too

and then train once more, with that mask. The K trainings take the steps until T_end, so
that all K + 1 are as long where T_end is K / (K + 1) of the whole (K = 3: 75 %).

Departure from the paper: trainings end at a rewire, so their lengths may differ by one
interval; scope "layer" prunes every layer to its own count. Where weights of a later
step are gone back to, the learning rate ends as many steps early in every training.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from sparse_search import trees
from sparse_search.algorithms.base import (
    NEVER,
    Info,
    Scope,
    SparseAlgorithm,
    all_masks,
    exchanged_info,
    integers,
    is_last,
    masked_grads,
    same_view,
)
from sparse_search.algorithms.pruning import check_scope, falling, keep_largest
from sparse_search.errors import UserError
from sparse_search.masks.gate import cond_over_lanes
from sparse_search.masks.patterns import UNSTRUCTURED, Pattern
from sparse_search.types import Array, Bool, Counts, Int, Key, Masks, Params, Scalar


class LotteryState(NamedTuple):
    """The state of iterative pruning with rewinding.

    Attributes:
        masks: the entries that may be stored.
        step: how many gradients it has seen, those of rewires included.
        counts: the nnz of every sparse layer at the end.
        pruned: how often it was pruned, k.
        saved: whether the weights to rewind to were saved.
        weights: those weights.
    """

    masks: Masks
    step: Int[Array, ""]
    counts: Counts
    pruned: Int[Array, ""]
    saved: Bool[Array, ""]
    weights: Params


def lottery(
    until: Scalar = NEVER,
    every: int = 100,
    pattern: Pattern = UNSTRUCTURED,
    scope: Scope = "layer",
    prunings: int = 3,
    rewind_to: Scalar = 0.0,
) -> SparseAlgorithm:
    """Iterative magnitude pruning with rewinding.

    Args:
        until: T_end, the step at which the last pruning comes.
        every: ΔT, the smallest number of steps from one rewire to the next.
        pattern: which masks are allowed.
        scope: whether weights are compared within a layer, or over all.
        prunings: K.
        rewind_to: the part of the first training after which weights are saved that
            are gone back to; 0 is the initialisation.

    Raises:
        UserError: there is no pruning.
    """
    check_scope(scope, pattern)
    if prunings < 1:
        raise UserError(f"prunings={prunings}; it must be at least 1.")

    def init(key: Key, params: Params, counts: Counts) -> tuple[Params, LotteryState]:
        del key
        zero, no = jnp.zeros((), jnp.int32), jnp.zeros((), bool)
        masks = all_masks(params, counts)
        return params, LotteryState(masks, zero, integers(counts), zero, no, params)

    def rewire(
        key: Key, params: Params, grads: Params, state: LotteryState
    ) -> tuple[Params, LotteryState, Info]:
        del grads
        ends = jnp.maximum(jnp.asarray(until, jnp.int32), 1)
        following = (state.step + every) * prunings // ends
        last = is_last(state.step, every, until)
        pruned = jnp.where(last, prunings, jnp.minimum(following, prunings))
        due = pruned > state.pruned
        early = (state.step + 1) * prunings >= rewind_to * ends
        snapshot = (rewind_to > 0) & ~state.saved & (early | due)
        weights = jax.tree.map(
            lambda new, old: jnp.where(snapshot, new, old), params, state.weights
        )

        def prune() -> tuple[Params, Masks]:
            masks = keep_largest(
                key,
                trees.map_sparse(lambda _, p: jnp.abs(p), state.masks, params),
                state.masks,
                falling(state.masks, state.counts, pruned / prunings, scope),
                pattern,
                scope,
            )
            return trees.apply_masks(weights, masks), masks

        params, masks = cond_over_lanes(due, prune, lambda: (params, state.masks))
        info = exchanged_info(state.masks, masks)
        new = LotteryState(
            masks, state.step + 1, state.counts, pruned, state.saved | snapshot, weights
        )
        return params, new, info._replace(snapshot=snapshot, rewind=due)

    return SparseAlgorithm(
        init,
        same_view,
        masked_grads,
        rewire,
        "end" if scope == "layer" else "total_end",
        trainings=prunings + 1,
        pattern=pattern,
    )
