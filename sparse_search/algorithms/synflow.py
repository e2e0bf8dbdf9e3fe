"""SynFlow, iterative synaptic flow pruning (Tanaka et al. 2020, arXiv:2006.05467).

Before training, without data, n times (algorithm 1; N weights, m in the end):

    R(θ) = 1ᵀ (Π |θ_l|) 1, the sum of the outputs for an input of ones  (equation 2)
    s = ∂R / ∂θ ⊙ θ, with what is pruned already at zero
    keep the N (m / N)^(i / n) weights of the largest s over all layers

Departures from the paper: with scope "layer" scores are compared within every layer,
and every layer's number falls by its own powers. Kernels are divided by the mean sum of
a neuron's inputs, so that deep networks do not overflow; this changes all scores by the
same factor where there are no biases.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from sparse_search import trees
from sparse_search.algorithms.at_init import needed
from sparse_search.algorithms.base import (
    MaskState,
    Scope,
    SparseAlgorithm,
    all_masks,
    integers,
    masked_grads,
    no_rewire,
    same_view,
)
from sparse_search.algorithms.pruning import check_scope, falling, keep_largest
from sparse_search.keys import subkey
from sparse_search.masks.patterns import UNSTRUCTURED, Pattern
from sparse_search.types import Array, Counts, Float, Key, Masks, Params


def synflow(
    output: Callable[[Params], Float[Array, ""]] | None = None,
    pattern: Pattern = UNSTRUCTURED,
    scope: Scope = "layer",
    iterations: int = 100,
) -> SparseAlgorithm:
    """SynFlow: keep the initial weights with the largest flow through them.

    Args:
        output: `params -> sum of the network's outputs for an input of ones`.
        pattern: which masks are allowed.
        scope: "global" as in the paper, or "layer" for given counts.
        iterations: n.
    """
    check_scope(scope, pattern)

    def flow(params: Params) -> Float[Array, ""]:
        given = needed(output, "synflow", "output")
        return given(jax.tree.map(_unit, params))

    def init(key: Key, params: Params, counts: Counts) -> tuple[Params, MaskState]:
        counts = integers(counts)

        def prune(number: Array, masks: Masks) -> Masks:
            done = jnp.where(number == iterations - 1, 1, (number + 1) / iterations)
            masked = trees.apply_masks(params, masks)
            grads = jax.grad(flow)(masked)
            scores = trees.map_sparse(
                lambda _, g, p: jnp.abs(g * p), masks, grads, masked
            )

            wanted = falling(masks, counts, done, scope)
            return keep_largest(
                subkey(key, number), scores, masks, wanted, pattern, scope
            )

        masks = jax.lax.fori_loop(0, iterations, prune, all_masks(params, counts))
        state = MaskState(masks, jnp.zeros((), jnp.int32))
        return trees.apply_masks(params, masks), state

    return SparseAlgorithm(
        init,
        same_view,
        masked_grads,
        no_rewire,
        "layer" if scope == "layer" else "total",
        pattern=pattern,
    )


def _unit(weight: Array) -> Array:
    """|θ|, a kernel's scaled so that a neuron's inputs sum to 1 in the mean."""
    size = jnp.abs(weight)
    if weight.ndim < 2:
        return size
    mean = jax.lax.stop_gradient(jnp.sum(size)) / weight.shape[-1]
    return size / jnp.maximum(mean, jnp.finfo(weight.dtype).tiny)
