"""Top-KAST, top-K always sparse training (Jayakumar et al. 2020, arXiv:2106.03517).

All weights are kept, but a forward pass sees few of them, and a backward pass updates
not many more (section 2):

    A = the weights of the largest magnitude, as many as are asked for
    B ⊃ A: the same for a larger number
    the forward pass sees θ on A, zero elsewhere
    the gradient updates θ on B, with the exploration loss
        λ (½ Σ_A θ² + Σ_(B∖A) θ² / (2 D)),  D = |A| / size                (section 2.3)

A and B follow the magnitudes every ΔT steps. At the last rewire what is outside of A is
given up; the network is sparse from then on.

Departures from the paper: it goes on to the end there; and an optimizer with momentum
may still move a weight that has just left B.
"""

from typing import Any, NamedTuple

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
from sparse_search.errors import UserError
from sparse_search.keys import subkey
from sparse_search.masks.patterns import UNSTRUCTURED, Pattern
from sparse_search.types import Array, Counts, Int, Key, Masks, Params, Scalar


class TopKASTState(NamedTuple):
    """The state of Top-KAST.

    Attributes:
        masks: the entries that may be stored: all, and A from the last rewire on.
        step: how many gradients it has seen, those of rewires included.
        counts: |A| of every sparse layer.
        forward: A.
        backward: B.
    """

    masks: Masks
    step: Int[Array, ""]
    counts: Counts
    forward: Masks
    backward: Masks


def top_kast(
    until: Scalar = NEVER,
    every: int = 100,
    pattern: Pattern = UNSTRUCTURED,
    backward: float = 2.0,
    penalty: Scalar = 1e-4,
) -> SparseAlgorithm:
    """Top-KAST: forward through the largest weights, backward through some more.

    Args:
        until: the step from which masks stay.
        every: ΔT, the smallest number of steps from one rewire to the next.
        pattern: which sets A and B are allowed.
        backward: |B| / |A|.
        penalty: λ.

    Raises:
        UserError: the backward set is smaller than the forward set.
    """
    if backward < 1:
        raise UserError(f"backward={backward}; it must be at least 1.")

    def sets(key: Key, params: Params, masks: Masks, counts: Counts) -> Any:
        scores = trees.map_sparse(lambda _, p: jnp.abs(p), masks, params)
        more = trees.map_sparse(
            lambda m, n: jnp.clip(jnp.round(backward * n).astype(jnp.int32), n, m.size),
            masks,
            counts,
        )
        wide = keep_largest(subkey(key, 0), scores, masks, more, pattern)
        return keep_largest(subkey(key, 1), scores, wide, counts, pattern), wide

    def init(key: Key, params: Params, counts: Counts) -> tuple[Params, TopKASTState]:
        counts, masks = integers(counts), all_masks(params, counts)
        zero = jnp.zeros((), jnp.int32)
        forward, wide = sets(key, params, masks, counts)
        return params, TopKASTState(masks, zero, counts, forward, wide)

    def view(params: Params, state: TopKASTState) -> Params:
        return trees.apply_masks(params, state.forward)

    def filter_grads(
        grads: Params, params: Params, state: TopKASTState
    ) -> tuple[Params, TopKASTState]:
        def layer(
            wide: Array, narrow: Array, grad: Array, weight: Array, count: Array
        ) -> Array:
            weaker = narrow.size / jnp.maximum(count, 1)
            pull = penalty * jnp.where(narrow, weight, weaker * weight)
            return jnp.where(wide, grad + pull.astype(grad.dtype), 0)

        kept = trees.map_sparse(
            layer, state.backward, state.forward, grads, params, state.counts
        )
        return trees.where_sparse(kept, grads), state._replace(step=state.step + 1)

    def rewire(
        key: Key, params: Params, grads: Params, state: TopKASTState
    ) -> tuple[Params, TopKASTState, Info]:
        del grads
        narrow, wide = sets(key, params, state.masks, state.counts)
        last = is_last(state.step, every, until)
        masks, wide = (
            jax.tree.map(lambda a, b: jnp.where(last, a, b), narrow, other)
            for other in (state.masks, wide)
        )
        new = TopKASTState(masks, state.step + 1, state.counts, narrow, wide)
        info = exchanged_info(state.masks, masks)
        return trees.apply_masks(params, masks), new, info

    return SparseAlgorithm(init, view, filter_grads, rewire, "end", pattern=pattern)
