"""GraNet, gradual pruning with neuroregeneration (Liu et al. 2021, arXiv:2106.10404).

Training begins with density d₀. Every ΔT steps until T_end, in every sparse layer of
n₀ initial weights that shall end with n:

    n_t = n + (n₀ − n) (1 − t / T_end)³                              (equation 3)
    keep the n_t weights of the largest magnitude, less r n_t of them
    grow the r n_t connections of the largest gradient, not among those kept, at zero

r falls on a cosine. t is the time of the next rewire, so that the last one leaves n.

Departures from the paper: magnitudes are compared within a layer, so that the
allocation of the final weights decides each layer's share; the paper prunes over all
layers, which is scope "global" here. Layers begin at the same density d₀ (or with n, if
that is more), not at an ERK allocation. The two selections of the paper, prune and
regenerate, are one. Initial weights are scaled to the fan-in that the mask leaves
(`base.scale_to_fan_in`).
"""

from typing import NamedTuple

import jax.numpy as jnp

from sparse_search import trees
from sparse_search.algorithms import grow_prune, schedules
from sparse_search.algorithms.base import (
    NEVER,
    Info,
    Scope,
    SparseAlgorithm,
    integers,
    masked_grads,
    random_masks,
    same_view,
    scale_to_fan_in,
)
from sparse_search.algorithms.pruning import check_scope, over_layers
from sparse_search.masks import counting
from sparse_search.masks.patterns import UNSTRUCTURED, Pattern
from sparse_search.types import Array, Counts, Int, Key, Masks, Params, Scalar


class ShrinkingState(NamedTuple):
    """The state of algorithms with fewer and fewer weights.

    Attributes:
        masks: the entries that may be stored.
        step: how many gradients it has seen, those of rewires included.
        first: the nnz of every sparse layer at the beginning.
        last: the nnz of every sparse layer at the end.
    """

    masks: Masks
    step: Int[Array, ""]
    first: Counts
    last: Counts


def granet(
    drop_fraction: Scalar = 0.5,
    until: Scalar = NEVER,
    every: int = 100,
    pattern: Pattern = UNSTRUCTURED,
    scope: Scope = "layer",
    schedule: str | schedules.Shape = "cosine",
    initial_density: Scalar = 0.5,
) -> SparseAlgorithm:
    """GraNet: prune gradually, grow the largest gradients on the way.

    Args:
        drop_fraction: r, of a layer's weights, regenerated at the first rewire.
        until: T_end, the step from which masks stay.
        every: ΔT, the smallest number of steps from one rewire to the next.
        pattern: which masks are allowed.
        scope: whether weights are compared within a layer, or over all.
        schedule: how the fraction goes on: cosine, constant, linear, inverse_power.
        initial_density: d₀; 1 begins dense.
    """
    return shrinking(
        until,
        every,
        initial_density,
        schedules.shape(schedule)(drop_fraction, until),
        grow_prune.growth(grow_prune.steepness),
        pattern,
        scope,
    )


def shrinking(
    until: Scalar,
    every: int,
    initial_density: Scalar,
    fraction: schedules.Schedule,
    grow: grow_prune.Growth,
    pattern: Pattern,
    scope: Scope,
) -> SparseAlgorithm:
    """Weights whose number falls on a cubic, some of them exchanged on the way."""
    check_scope(scope, pattern)

    def init(key: Key, params: Params, counts: Counts) -> tuple[Params, ShrinkingState]:
        def begin(count: Array, param: Array) -> Array:
            least = jnp.ceil(initial_density * param.size).astype(jnp.int32)
            least = jnp.where(initial_density >= 1, param.size, least)
            return jnp.clip(least, count, param.size)

        first = trees.map_sparse(begin, counts, params)
        masks = random_masks(key, params, first, pattern)
        zero = jnp.zeros((), jnp.int32)
        state = ShrinkingState(masks, zero, first, integers(counts))
        return scale_to_fan_in(params, masks), state

    def rewire(
        key: Key, params: Params, grads: Params, state: ShrinkingState
    ) -> tuple[Params, ShrinkingState, Info]:
        ends = jnp.maximum(jnp.asarray(until, jnp.float32), 1)
        remaining = 1 - jnp.clip((state.step + every) / ends, 0.0, 1.0)

        def number(mask: Array, first: Array, last: Array) -> Array:
            extra = jnp.round(remaining**3 * (first - last)).astype(jnp.int32)
            extra = jnp.maximum(extra, 0)
            if scope != "layer":
                return last + extra
            # What a pattern has already lost below the cubic does not come back.
            return jnp.maximum(jnp.minimum(last + extra, counting.count(mask)), last)

        left = trees.map_sparse(number, state.masks, state.first, state.last)
        magnitudes = trees.map_sparse(lambda _, p: jnp.abs(p), state.masks, params)
        left = over_layers(magnitudes, state.masks, left, scope)
        share = fraction(state.step)
        params, masks, info = grow_prune.exchange(
            key,
            params,
            grads,
            state.masks,
            keep=grow_prune.magnitude,
            kept=trees.map_sparse(lambda n: n - grow_prune.part(n, share), left),
            grow=grow,
            counts=left,
            pattern=pattern,
        )
        return params, state._replace(masks=masks, step=state.step + 1), info

    return SparseAlgorithm(
        init,
        same_view,
        masked_grads,
        rewire,
        "end" if scope == "layer" else "total_end",
        dense_gradient="rewire",
        pattern=pattern,
        begins="any",
    )
