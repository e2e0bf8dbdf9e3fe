"""STR, soft threshold reparameterization (Kusupati et al. 2020, arXiv:2002.03231).

Every layer l learns a threshold (equations 4 to 6):

    the forward pass sees  S(θ, s_l) = sign(θ) ⊙ relu(|θ| − α_l),  α_l = sigmoid(s_l)
    ∂L/∂θ   = ∇ ⊙ 1[|θ| > α_l]              with ∇ the gradient of what it sees
    ∂L/∂s_l = − α_l (1 − α_l) Σ ∇ sign(θ) 1[|θ| > α_l]
    s_l ← s_l − η (∂L/∂s_l + λ s_l)

λ lets thresholds rise from their start far below zero, and decides, with weight decay,
how sparse the network becomes.

The paper's nnz is what comes out. Here it ends with the counts that are asked for: at
the last rewire the largest |θ| of every layer stay, as the forward pass sees them, and
the thresholds are gone. Thresholds are updated by plain gradient descent with a rate
of their own.
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
from sparse_search.masks.gate import cond_over_lanes
from sparse_search.masks.patterns import UNSTRUCTURED, Pattern
from sparse_search.types import Array, Bool, Counts, Int, Key, Masks, Params, Scalar


class STRState(NamedTuple):
    """The state of STR.

    Attributes:
        masks: the entries that may be stored.
        step: how many gradients it has seen, those of rewires included.
        counts: the nnz of every sparse layer at the end.
        thresholds: s of every sparse layer.
        ended: whether the thresholds are gone.
    """

    masks: Masks
    step: Int[Array, ""]
    counts: Counts
    thresholds: Params
    ended: Bool[Array, ""]


def str_(
    until: Scalar = NEVER,
    every: int = 100,
    pattern: Pattern = UNSTRUCTURED,
    initial: Scalar = -8.0,
    rate: Scalar = 0.1,
    decay: Scalar = 5e-4,
) -> SparseAlgorithm:
    """STR: learned thresholds, projected on the counts at the last rewire.

    Args:
        until: the step from which masks stay.
        every: ΔT, the smallest number of steps from one rewire to the next.
        pattern: which masks are allowed, at the end.
        initial: s at the beginning.
        rate: η.
        decay: λ.
    """

    def init(key: Key, params: Params, counts: Counts) -> tuple[Params, STRState]:
        del key
        thresholds = trees.map_sparse(
            lambda _: jnp.asarray(initial, jnp.float32), counts
        )
        zero, no = jnp.zeros((), jnp.int32), jnp.zeros((), bool)
        masks = all_masks(params, counts)
        return params, STRState(masks, zero, integers(counts), thresholds, no)

    def soft(state: STRState, weight: Array, s: Array) -> tuple[Array, Array]:
        """A layer as the forward pass sees it, and where it is not cut to zero."""
        alpha = jnp.where(state.ended, 0.0, jax.nn.sigmoid(s)).astype(weight.dtype)
        rest = jnp.abs(weight) - alpha
        return jnp.sign(weight) * jnp.maximum(rest, 0), (rest > 0) | state.ended

    def view(params: Params, state: STRState) -> Params:
        seen = trees.map_sparse(
            lambda mask, p, s: jnp.where(mask, soft(state, p, s)[0], 0),
            state.masks,
            params,
            state.thresholds,
        )
        return trees.where_sparse(seen, params)

    def filter_grads(
        grads: Params, params: Params, state: STRState
    ) -> tuple[Params, STRState]:
        def weights(mask: Array, grad: Array, weight: Array, s: Array) -> Array:
            return jnp.where(mask & soft(state, weight, s)[1], grad, 0)

        def threshold(_: Array, grad: Array, weight: Array, s: Array) -> Array:
            alpha = jax.nn.sigmoid(s)
            active = soft(state, weight, s)[1]
            slope = jnp.sum(jnp.where(active, grad * jnp.sign(weight), 0))
            step = -alpha * (1 - alpha) * slope.astype(jnp.float32) + decay * s
            return jnp.where(state.ended, s, s - rate * step)

        kept = trees.map_sparse(weights, state.masks, grads, params, state.thresholds)
        new = trees.map_sparse(threshold, state.masks, grads, params, state.thresholds)
        return trees.where_sparse(kept, grads), state._replace(
            step=state.step + 1, thresholds=new
        )

    def rewire(
        key: Key, params: Params, grads: Params, state: STRState
    ) -> tuple[Params, STRState, Info]:
        del grads
        last = is_last(state.step, every, until)

        def project() -> tuple[Params, Masks]:
            scores = trees.map_sparse(lambda _, p: jnp.abs(p), state.masks, params)
            masks = keep_largest(key, scores, state.masks, state.counts, pattern)
            return trees.apply_masks(view(params, state), masks), masks

        params, masks = cond_over_lanes(last, project, lambda: (params, state.masks))
        new = state._replace(masks=masks, step=state.step + 1, ended=state.ended | last)
        return params, new, exchanged_info(state.masks, masks)

    return SparseAlgorithm(init, view, filter_grads, rewire, "end", pattern=pattern)
