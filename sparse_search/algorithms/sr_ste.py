"""SR-STE, the sparse-refined straight-through estimator.

Zhou et al. 2021, "Learning N:M fine-grained structured sparse neural networks from
scratch", arXiv:2102.04010.

All weights are kept and updated; the forward pass sees the largest of every group
(equations 6 to 9), E being where it does:

    θ̃ = E ⊙ θ
    θ ← θ − γ (∇L(θ̃) + λ (1 − E) ⊙ θ)

so that what is not seen decays, and masks settle. Made for N:M, it takes any pattern.

Departures from the paper: E is found from the weights before the last update, so that
a step selects once; at the last rewire what is not seen is given up.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from sparse_search import trees
from sparse_search.algorithms.base import (
    NEVER,
    Info,
    SparseAlgorithm,
    all_masks,
    exchanged_info,
    integers,
    is_last,
)
from sparse_search.algorithms.pruning import keep_largest
from sparse_search.keys import subkey
from sparse_search.masks.gate import cond_over_lanes
from sparse_search.masks.patterns import UNSTRUCTURED, Pattern
from sparse_search.types import Array, Bool, Counts, Int, Key, Masks, Params, Scalar


class SRSTEState(NamedTuple):
    """The state of SR-STE.

    Attributes:
        masks: the entries that may be stored: all, and E from the last rewire on.
        step: how many gradients it has seen, those of rewires included.
        counts: the nnz of every sparse layer that the forward pass sees.
        forward: E.
        ended: whether E stays.
    """

    masks: Masks
    step: Int[Array, ""]
    counts: Counts
    forward: Masks
    ended: Bool[Array, ""]


def sr_ste(
    until: Scalar = NEVER,
    every: int = 100,
    pattern: Pattern = UNSTRUCTURED,
    penalty: Scalar = 2e-4,
) -> SparseAlgorithm:
    """SR-STE: forward through the largest weights, backward straight through.

    Args:
        until: the step from which masks stay.
        every: ΔT, the smallest number of steps from one rewire to the next.
        pattern: which masks are allowed: N:M in the paper.
        penalty: λ.
    """

    def seen(step: Array, params: Params, masks: Masks, counts: Counts) -> Masks:
        scores = trees.map_sparse(lambda _, p: jnp.abs(p), masks, params)
        ties = subkey(jax.random.key(0), step)
        return keep_largest(ties, scores, masks, counts, pattern)

    def init(key: Key, params: Params, counts: Counts) -> tuple[Params, SRSTEState]:
        del key
        counts, masks = integers(counts), all_masks(params, counts)
        zero, no = jnp.zeros((), jnp.int32), jnp.zeros((), bool)
        forward = seen(zero, params, masks, counts)
        return params, SRSTEState(masks, zero, counts, forward, no)

    def view(params: Params, state: SRSTEState) -> Params:
        return trees.apply_masks(params, state.forward)

    def filter_grads(
        grads: Params, params: Params, state: SRSTEState
    ) -> tuple[Params, SRSTEState]:
        def layer(forward: Array, mask: Array, grad: Array, weight: Array) -> Array:
            pull = penalty * jnp.where(forward, 0, weight)
            return jnp.where(mask, grad + pull.astype(grad.dtype), 0)

        kept = trees.map_sparse(layer, state.forward, state.masks, grads, params)
        forward = cond_over_lanes(
            state.ended,
            lambda: state.forward,
            lambda: seen(state.step, params, state.masks, state.counts),
        )
        new = state._replace(step=state.step + 1, forward=forward)
        return trees.where_sparse(kept, grads), new

    def rewire(
        key: Key, params: Params, grads: Params, state: SRSTEState
    ) -> tuple[Params, SRSTEState, Info]:
        del key, grads
        forward = seen(state.step, params, state.masks, state.counts)
        last = is_last(state.step, every, until)
        masks = jax.tree.map(lambda a, b: jnp.where(last, a, b), forward, state.masks)
        ended = state.ended | last
        new = SRSTEState(masks, state.step + 1, state.counts, forward, ended)
        info = exchanged_info(state.masks, masks)
        return trees.apply_masks(params, masks), new, info

    return SparseAlgorithm(init, view, filter_grads, rewire, "end", pattern=pattern)
