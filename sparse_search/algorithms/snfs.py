"""SNFS, sparse momentum (Dettmers and Zettlemoyer 2019, arXiv:1907.04840, algorithm 1).

At every step, for every entry of every sparse layer, stored or not:

    M ← β M + (1 − β) ∇L(θ)

Every ΔT steps:

    drop the p n_l active weights of the smallest magnitude in every layer l
    divide all that was dropped among the layers in proportion to the mean |M| of the
        weights they keep
    grow in every layer the entries of the largest |M| that are not kept, at zero

p falls on a cosine. A layer takes no more than it has room for; the rest goes to the
others by the same rule.

Departures from the paper: M is kept by the algorithm instead of being read off the
optimizer, so that any optimizer can be used (β is then its own hyperparameter). A layer
keeps one weight at least, since one that lost all would stay empty for ever. Initial
weights are scaled to the fan-in that the mask leaves (`base.scale_to_fan_in`).
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
    random_masks,
    same_view,
    scale_to_fan_in,
)
from sparse_search.keys import subkey
from sparse_search.masks import counting, topk
from sparse_search.masks.patterns import UNSTRUCTURED
from sparse_search.masks.redistribute import divide
from sparse_search.types import Array, Counts, Int, Key, Masks, Params, Scalar


class SNFSState(NamedTuple):
    """The state of SNFS.

    Attributes:
        masks: the entries that may be stored.
        step: how many gradients it has seen, those of rewires included.
        momentum: M of the sparse leaves, dense; None where a leaf is dense.
    """

    masks: Masks
    step: Int[Array, ""]
    momentum: Params


def snfs(
    drop_fraction: Scalar = 0.5,
    until: Scalar = NEVER,
    schedule: str | schedules.Shape = "cosine",
    beta: Scalar = 0.9,
) -> SparseAlgorithm:
    """SNFS: grow the largest running means of gradients; layers share what they drop.

    Masks are unstructured: layers that share weights have any number of them.

    Args:
        drop_fraction: p, of a layer's active weights, dropped at the first rewire.
        until: the step from which masks stay.
        schedule: how the fraction goes on: cosine, constant, linear, inverse_power.
        beta: of the running mean of the gradients.
    """
    fraction = schedules.shape(schedule)(drop_fraction, until)

    def init(key: Key, params: Params, counts: Counts) -> tuple[Params, SNFSState]:
        masks = random_masks(key, params, counts, UNSTRUCTURED)
        momentum = trees.map_sparse(lambda m, p: jnp.zeros_like(p), masks, params)
        state = SNFSState(masks, jnp.zeros((), jnp.int32), momentum)
        return scale_to_fan_in(params, masks), state

    def averaged(state: SNFSState, grads: Params) -> Params:
        return trees.map_sparse(
            lambda _, mean, g: (beta * mean + (1 - beta) * g).astype(mean.dtype),
            state.masks,
            state.momentum,
            grads,
        )

    def filter_grads(
        grads: Params, params: Params, state: SNFSState
    ) -> tuple[Params, SNFSState]:
        del params
        momentum = averaged(state, grads)
        masked = trees.apply_masks(grads, state.masks)
        return masked, SNFSState(state.masks, state.step + 1, momentum)

    def rewire(
        key: Key, params: Params, grads: Params, state: SNFSState
    ) -> tuple[Params, SNFSState, Info]:
        momentum = averaged(state, grads)

        def drop(mask: Array) -> Array:
            number = counting.count(mask)
            most = jnp.maximum(number - 1, 0)
            return jnp.minimum(grow_prune.part(number, fraction(state.step)), most)

        dropped = trees.map_sparse(drop, state.masks)

        def keep(key: Key, mask: Array, weight: Array, drop: Array) -> Array:
            number = counting.count(mask) - drop
            return topk.select(subkey(key, 0), jnp.abs(weight), number, mask)

        kept = trees.map_sparse_with_key(keep, key, state.masks, params, dropped)
        leaves = jax.tree.leaves(kept)
        strength = [
            jnp.sum(jnp.where(k, jnp.abs(m), 0), dtype=jnp.float32)
            / jnp.maximum(counting.count(k), 1)
            for k, m in zip(leaves, jax.tree.leaves(momentum), strict=True)
        ]
        room = [k.size - counting.count(k) for k in leaves]
        total = grow_prune.total(dropped)
        grown = divide(total, jnp.stack(strength), jnp.stack(room))
        grown = jax.tree.unflatten(jax.tree.structure(kept), list(grown))

        def grow(key: Key, kept: Array, mean: Array, number: Array) -> Array:
            return kept | topk.select(subkey(key, 1), jnp.abs(mean), number, ~kept)

        masks = trees.map_sparse_with_key(grow, key, kept, momentum, grown)
        new = SNFSState(masks, state.step + 1, momentum)
        info = exchanged_info(state.masks, masks)
        return trees.apply_masks(params, masks), new, info

    return SparseAlgorithm(
        init,
        same_view,
        filter_grads,
        rewire,
        "total",
        dense_gradient="always",
        begins="any",
    )
