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
from sparse_search.algorithms import grow_prune, schedules
from sparse_search.algorithms.base import (
    NEVER,
    Info,
    SparseAlgorithm,
    exchanged_info,
    masked_grads,
    random_masks,
    same_view,
    scale_to_fan_in,
)
from sparse_search.keys import subkey
from sparse_search.masks import counting, topk
from sparse_search.masks.patterns import UNSTRUCTURED
from sparse_search.masks.redistribute import divide
from sparse_search.types import (
    Array,
    Counts,
    Float,
    Int,
    Key,
    Masks,
    Params,
    Scalar,
)

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
    drop_fraction: Scalar = 0.05,
    until: Scalar = NEVER,
    schedule: str | schedules.Shape = "constant",
    threshold: Scalar = 1e-3,
) -> SparseAlgorithm:
    """DSR: drop below one threshold, grow at random; layers share what they drop.

    Masks are unstructured: layers that share weights have any number of them.

    Args:
        drop_fraction: N over the number of all weights.
        until: the step from which masks stay.
        schedule: how the fraction goes on: constant, cosine, linear, inverse_power.
        threshold: H at the beginning.
    """
    fraction = schedules.shape(schedule)(drop_fraction, until)

    def init(key: Key, params: Params, counts: Counts) -> tuple[Params, DSRState]:
        masks = random_masks(key, params, counts, UNSTRUCTURED)
        start = jnp.asarray(threshold, jnp.float32)
        state = DSRState(masks, jnp.zeros((), jnp.int32), start)
        return scale_to_fan_in(params, masks), state

    def rewire(
        key: Key, params: Params, grads: Params, state: DSRState
    ) -> tuple[Params, DSRState, Info]:
        del grads
        high = state.threshold

        def keep(key: Key, mask: Array, weight: Array) -> Array:
            # What is not a number lies below every threshold.
            large = mask & (jnp.abs(weight).astype(jnp.float32) >= high)
            number = counting.count(large)
            return topk.select(subkey(key, 0), jnp.abs(weight), number, mask)

        kept = trees.map_sparse_with_key(keep, key, state.masks, params)
        leaves = jax.tree.leaves(kept)
        numbers = jnp.stack([counting.count(m) for m in leaves])
        room = jnp.stack([jnp.int32(m.size) for m in leaves]) - numbers
        active = grow_prune.total(trees.map_sparse(counting.count, state.masks))
        dropped = active - jnp.sum(numbers)
        weights = jnp.maximum(numbers, 1).astype(jnp.float32)
        grown = list(divide(dropped, weights, room))
        grown = jax.tree.unflatten(jax.tree.structure(kept), grown)

        def grow(key: Key, kept: Array, number: Array) -> Array:
            return kept | topk.select_random(subkey(key, 1), number, ~kept)

        masks = trees.map_sparse_with_key(grow, key, kept, grown)
        aim = fraction(state.step) * active
        high = jnp.where(dropped < (1 - _TOLERANCE) * aim, 2 * high, high)
        high = jnp.where(dropped > (1 + _TOLERANCE) * aim, high / 2, high)
        high = jnp.clip(high, _SMALLEST, 1 / _SMALLEST)
        new = DSRState(masks, state.step + 1, high)
        info = exchanged_info(state.masks, masks)
        return trees.apply_masks(params, masks), new, info

    return SparseAlgorithm(init, same_view, masked_grads, rewire, "total", begins="any")
