"""GraNet, gradual pruning with neuroregeneration (Liu et al. 2021, arXiv:2106.10404).

Training begins with density d₀. Every ΔT steps until T_end, in every sparse layer of
n₀ initial weights that shall end with n:

    n_t = n + (n₀ − n) (1 − t / T_end)³                              (equation 3)
    keep the n_t weights of the largest magnitude, less r n_t of them
    grow the r n_t connections of the largest gradient, not among those kept, at zero

r falls on a cosine. t is the time of the next rewire, so that the last one leaves n.

Departures from the paper: magnitudes are compared within a layer, where the paper
prunes over all layers, so the allocation of the final weights decides each layer's
share. Layers begin at the same density d₀ (or with n, if that is more), not at an ERK
allocation. The two selections of the paper, prune and regenerate, are one. Initial
weights are scaled to the fan-in that the mask leaves (`base.scale_to_fan_in`).
"""

from typing import NamedTuple

import jax.numpy as jnp

from sparse_search import trees
from sparse_search.algorithms import grow_prune
from sparse_search.algorithms.base import (
    Info,
    Select,
    SparseAlgorithm,
    masked_grads,
    random_masks,
    same_view,
    scale_to_fan_in,
)
from sparse_search.algorithms.schedules import Schedule
from sparse_search.masks import counting
from sparse_search.masks.patterns import unstructured
from sparse_search.types import Array, Counts, Int, Key, Masks, Params, Scalar


class ShrinkingState(NamedTuple):
    """The state of algorithms with fewer and fewer weights.

    Attributes:
        masks: the entries that may be stored.
        step: how many gradients it has seen, those of rewires included.
        rewired: the step of the last rewire, -1 before the first.
        first: the nnz of every sparse layer at the beginning.
        last: the nnz of every sparse layer at the end.
    """

    masks: Masks
    step: Int[Array, ""]
    rewired: Int[Array, ""]
    first: Counts
    last: Counts


def granet(
    until: Scalar,
    fraction: Schedule,
    initial_density: Scalar = 0.5,
    select: Select = unstructured.select,
) -> SparseAlgorithm:
    """GraNet.

    Args:
        until: T_end, the step at which rewiring ends.
        fraction: r, `schedules.cosine(0.5, until)` in the paper.
        initial_density: d₀; 1 begins dense.
        select: the pattern's selection.
    """
    grow = grow_prune.steepness
    return shrinking(until, initial_density, fraction, grow, select)


def shrinking(
    until: Scalar,
    initial_density: Scalar,
    fraction: Schedule,
    grow: grow_prune.Score | None,
    select: Select,
) -> SparseAlgorithm:
    """Weights whose number falls on a cubic, some of them exchanged on the way."""

    def init(key: Key, params: Params, counts: Counts) -> tuple[Params, ShrinkingState]:
        def begin(count: Array, param: Array) -> Array:
            least = jnp.ceil(initial_density * param.size).astype(jnp.int32)
            return jnp.clip(least, count, param.size)

        first = trees.map_sparse(begin, counts, params)
        masks = random_masks(key, params, first, select)
        last = trees.map_sparse(lambda c: jnp.asarray(c, jnp.int32), counts)
        zero = jnp.zeros((), jnp.int32)
        state = ShrinkingState(masks, zero, zero - 1, first, last)
        return scale_to_fan_in(params, masks), state

    def rewire(
        key: Key, params: Params, grads: Params, state: ShrinkingState
    ) -> tuple[Params, ShrinkingState, Info]:
        following = 2 * state.step - state.rewired
        remaining = 1 - jnp.clip(following / jnp.maximum(until, 1), 0.0, 1.0)

        def number(mask: Array, first: Array, last: Array) -> Array:
            extra = jnp.round(remaining**3 * (first - last)).astype(jnp.int32)
            return jnp.minimum(last + jnp.maximum(extra, 0), counting.count(mask))

        left = trees.map_sparse(number, state.masks, state.first, state.last)
        share = fraction(state.step)
        grown = trees.map_sparse(
            lambda n: jnp.clip(jnp.round(share * n).astype(jnp.int32), 0, n), left
        )
        params, masks, info = grow_prune.exchange(
            key,
            params,
            grads,
            state.masks,
            keep=grow_prune.magnitude,
            kept=trees.map_sparse(lambda n, k: n - k, left, grown),
            grow=grow,
            grown=grown,
            select=select,
        )
        new = state._replace(masks=masks, step=state.step + 1, rewired=state.step)
        return params, new, info

    return SparseAlgorithm(
        init, same_view, masked_grads, rewire, "end", dense_gradient="rewire"
    )
