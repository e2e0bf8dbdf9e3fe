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
optimizer, so that any optimizer can be used (β is then its own hyperparameter). Initial
weights are scaled to the fan-in that the mask leaves (`base.scale_to_fan_in`).
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
    random_masks,
    same_view,
    scale_to_fan_in,
)
from sparse_search.algorithms.schedules import Schedule
from sparse_search.masks import counting
from sparse_search.masks.patterns import unstructured
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
    fraction: Schedule,
    beta: Scalar = 0.9,
    select: Select = unstructured.select,
) -> SparseAlgorithm:
    """SNFS with a drop fraction, `schedules.cosine(0.5, until)` in the paper.

    Args:
        fraction: p, of a layer's active weights, dropped at a rewire.
        beta: of the running mean of the gradients.
        select: the pattern's selection.
    """

    def init(key: Key, params: Params, counts: Counts) -> tuple[Params, SNFSState]:
        masks = random_masks(key, params, counts, select)
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
        dropped = grow_prune.exchanged(state.masks, fraction(state.step))

        def grown(kept: Masks) -> Counts:
            leaves = jax.tree.leaves(kept)
            strength = [
                jnp.sum(jnp.where(k, jnp.abs(m), 0), dtype=jnp.float32)
                / jnp.maximum(counting.count(k), 1)
                for k, m in zip(leaves, jax.tree.leaves(momentum), strict=True)
            ]
            room = [k.size - counting.count(k) for k in leaves]
            total = jnp.sum(jnp.stack(jax.tree.leaves(dropped)))
            shares = divide(total, jnp.stack(strength), jnp.stack(room))
            return jax.tree.unflatten(jax.tree.structure(kept), list(shares))

        params, masks, info = grow_prune.exchange(
            key,
            params,
            trees.map_sparse(lambda _, m: m, state.masks, momentum),
            state.masks,
            keep=grow_prune.magnitude,
            kept=trees.map_sparse(
                lambda m, k: counting.count(m) - k, state.masks, dropped
            ),
            grow=grow_prune.steepness,
            grown=grown,
            select=select,
        )
        return params, SNFSState(masks, state.step + 1, momentum), info

    return SparseAlgorithm(
        init, same_view, filter_grads, rewire, "total", dense_gradient="always"
    )
