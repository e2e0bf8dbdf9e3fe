"""SRigL, structured RigL: constant fan-in with neuron ablation.

Lasby et al. 2024, "Dynamic sparse training with structured sparsity", arXiv:2305.02299,
section 3.

Every ΔT steps until T_end, in every sparse layer of n weights and k inputs a neuron:

    K = f_decay(t) · n
    salient: the n − K weights of the largest |θ|, and the K entries of the largest
        |∇L(θ)| where nothing is stored
    ablate the neurons with fewer than γ k salient entries: they lose all weights
    k ← ⌊count / active neurons⌋
    keep the n − K weights of the largest |θ|, at most k a neuron
    grow in every active neuron the largest |∇L(θ)| until it has k inputs, at zero

So every active neuron has exactly k inputs, and what a layer has less than its count,
the remainder, is below the number of its active neurons; `SRigLState.remainder` has it.
f_decay is RigL's. A neuron is an entry of a kernel's last axis; an ablated one keeps
its bias.

Departures from the paper: neurons are not ablated where too few would be left to hold
the count. A layer with fewer weights than neurons begins with as many active neurons as
weights. Initial weights are scaled to the fan-in that the mask leaves
(`base.scale_to_fan_in`).
"""

from typing import NamedTuple

import jax.numpy as jnp

from sparse_search import trees
from sparse_search.algorithms import grow_prune, schedules
from sparse_search.algorithms.base import (
    NEVER,
    Info,
    SparseAlgorithm,
    exchanged_info,
    integers,
    masked_grads,
    same_view,
    scale_to_fan_in,
)
from sparse_search.keys import subkey
from sparse_search.masks import counting, topk
from sparse_search.masks.patterns import fan_in, grouped
from sparse_search.types import Array, Bool, Counts, Int, Key, Masks, Params, Scalar


class SRigLState(NamedTuple):
    """The state of SRigL.

    Attributes:
        masks: the entries that may be stored.
        step: how many gradients it has seen, those of rewires included.
        counts: the nnz of every sparse layer, the remainder included.
        remainder: how many weights a layer has less than that.
    """

    masks: Masks
    step: Int[Array, ""]
    counts: Counts
    remainder: Counts


def srigl(
    drop_fraction: Scalar = 0.3,
    until: Scalar = NEVER,
    schedule: str | schedules.Shape = "cosine",
    saliency: Scalar = 0.3,
) -> SparseAlgorithm:
    """SRigL: RigL with constant fan-in, and without neurons that have little to say.

    Args:
        drop_fraction: of a layer's weights, at the first rewire.
        until: T_end, the step from which masks stay.
        schedule: how the fraction goes on: cosine, constant, linear, inverse_power.
        saliency: γ; 0 ablates no neuron.
    """
    fraction = schedules.shape(schedule)(drop_fraction, until)

    def init(key: Key, params: Params, counts: Counts) -> tuple[Params, SRigLState]:
        counts = integers(counts)

        def draw(key: Key, count: Array, weight: Array) -> Array:
            everything = jnp.ones(weight.shape, bool)
            neurons = everything.any(axis=tuple(range(weight.ndim - 1)))
            active = topk.select_random(subkey(key, 1), count, neurons)
            quota = _quota(count, active, weight.ndim)
            layout = fan_in.layout(weight.shape)
            return grouped.select(subkey(key, 0), None, quota, everything, layout)

        masks = trees.map_sparse_with_key(draw, key, counts, params)
        state = SRigLState(
            masks, jnp.zeros((), jnp.int32), counts, _remainder(masks, counts)
        )
        return scale_to_fan_in(params, masks), state

    def rewire(
        key: Key, params: Params, grads: Params, state: SRigLState
    ) -> tuple[Params, SRigLState, Info]:
        share = fraction(state.step)

        def layer(
            key: Key, mask: Array, weight: Array, grad: Array, count: Array
        ) -> Array:
            layout = fan_in.layout(mask.shape)
            stored = counting.count(mask)
            exchanged = grow_prune.part(stored, share)
            large, steep = jnp.abs(weight), jnp.abs(grad)
            kept = topk.select(subkey(key, 4), large, stored - exchanged, mask)
            found = topk.select(subkey(key, 5), steep, exchanged, ~mask)
            before = grouped.numbers(mask, layout)
            salient = grouped.numbers(kept | found, layout)
            least = jnp.maximum(saliency * jnp.max(before), 1)
            active = (before > 0) & ((salient >= least) | (saliency <= 0))
            fits = jnp.sum(active) * (mask.size // mask.shape[-1]) >= count
            active = jnp.where(fits & jnp.any(active), active, before > 0)
            quota = _quota(count, active, mask.ndim)
            return grouped.exchange(
                key, mask, large, stored - exchanged, steep, quota, layout
            )

        masks = trees.map_sparse_with_key(
            layer, key, state.masks, params, grads, state.counts
        )
        info = exchanged_info(state.masks, masks)
        remainder = _remainder(masks, state.counts)
        new = SRigLState(masks, state.step + 1, state.counts, remainder)
        return trees.apply_masks(params, masks), new, info

    return SparseAlgorithm(
        init,
        same_view,
        masked_grads,
        rewire,
        "remainder",
        dense_gradient="rewire",
        begins="drawn",
    )


def _quota(count: Array, active: Bool[Array, "..."], ndim: int) -> Int[Array, "..."]:
    """The inputs of every neuron: the same for all active ones."""
    active = active.reshape(*[1] * (ndim - 1), active.size)
    number = jnp.maximum(jnp.sum(active, dtype=jnp.int32), 1)
    return jnp.where(active, count // number, 0)


def _remainder(masks: Masks, counts: Counts) -> Counts:
    return trees.map_sparse(lambda m, n: n - counting.count(m), masks, counts)
