"""DSR, dynamic sparse reparameterization (Mostafa and Wang 2019, arXiv:1902.05967).

Every ΔT steps, with one threshold H for all layers (algorithm 1):

    drop in every layer l the active weights with |θ| < H: K_l, in all K
    if K < (1 − δ) N: H ← 2 H;   if K > (1 + δ) N: H ← H / 2
    grow K weights at random, at zero, layer l its part R_l / Σ R, where R_l are the
        weights that it keeps

N is the number of weights that should be dropped. A layer takes no more than it has
room for; the rest goes to the others by the same rule.

Departures from the paper: N is given as a fraction of all weights, not as a number. A
layer counts as keeping one weight at least, since one that lost all would stay empty
for ever. Initial weights are scaled to the fan-in that the mask leaves
(`base.scale_to_fan_in`).
"""

from typing import NamedTuple

import jax
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
from sparse_search.masks.redistribute import divide
from sparse_search.types import Array, Counts, Float, Int, Key, Masks, Params, Scalar

_TOLERANCE = 0.1  # δ
_SMALLEST = 1e-30  # H stays a normal number


class DSRState(NamedTuple):
    """The state of DSR.

    Attributes:
        masks: the entries that may be stored.
        step: how many gradients it has seen, those of rewires included.
        threshold: H.
    """

    masks: Masks
    step: Int[Array, ""]
    threshold: Float[Array, ""]


def dsr(
    fraction: Schedule,
    threshold: Scalar = 1e-3,
    select: Select = unstructured.select,
) -> SparseAlgorithm:
    """DSR with a part of all weights to drop: `schedules.constant(0.01)` or so.

    Args:
        fraction: N over the number of active weights.
        threshold: H at the beginning.
        select: the pattern's selection.
    """

    def init(key: Key, params: Params, counts: Counts) -> tuple[Params, DSRState]:
        masks = random_masks(key, params, counts, select)
        start = jnp.asarray(threshold, jnp.float32)
        state = DSRState(masks, jnp.zeros((), jnp.int32), start)
        return scale_to_fan_in(params, masks), state

    def rewire(
        key: Key, params: Params, grads: Params, state: DSRState
    ) -> tuple[Params, DSRState, Info]:
        high = state.threshold
        # What is not a number lies below every threshold.
        kept = trees.map_sparse(
            lambda m, p: counting.count(m & (jnp.abs(p).astype(jnp.float32) >= high)),
            state.masks,
            params,
        )
        active = _sum(trees.map_sparse(counting.count, state.masks))
        dropped = active - _sum(kept)

        def grown(rest: Masks) -> Counts:
            leaves = jax.tree.leaves(rest)
            numbers = [counting.count(m) for m in leaves]
            room = [m.size - counting.count(m) for m in leaves]
            weights = jnp.maximum(jnp.stack(numbers), 1).astype(jnp.float32)
            shares = divide(dropped, weights, jnp.stack(room))
            return jax.tree.unflatten(jax.tree.structure(rest), list(shares))

        params, masks, info = grow_prune.exchange(
            key,
            params,
            grads,
            state.masks,
            keep=grow_prune.magnitude,
            kept=kept,
            grow=None,
            grown=grown,
            select=select,
        )
        aim = fraction(state.step) * active
        high = jnp.where(dropped < (1 - _TOLERANCE) * aim, 2 * high, high)
        high = jnp.where(dropped > (1 + _TOLERANCE) * aim, high / 2, high)
        high = jnp.clip(high, _SMALLEST, 1 / _SMALLEST)
        return params, DSRState(masks, state.step + 1, high), info

    return SparseAlgorithm(init, same_view, masked_grads, rewire, "total")


def _sum(counts: Counts) -> Int[Array, ""]:
    return jnp.sum(jnp.stack(jax.tree.leaves(counts)))
