"""SynFlow, iterative synaptic flow pruning (Tanaka et al. 2020, arXiv:2006.05467).

Before training, without data, n times (algorithm 1; N weights, m in the end):

    R(θ) = 1ᵀ (Π |θ_l|) 1, the sum of the outputs for an input of ones  (equation 2)
    s = ∂R / ∂θ ⊙ θ, with what is pruned already at zero
    keep the N (m / N)^(i / n) weights of the largest s over all layers

Departure from the paper: with scope "layer" scores are compared within every layer, and
every layer's number falls by its own powers.
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
from sparse_search.algorithms.grow_prune import total
from sparse_search.algorithms.pruning import check_scope, keep_largest
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
        return given(jax.tree.map(jnp.abs, params))

    def init(key: Key, params: Params, counts: Counts) -> tuple[Params, MaskState]:
        counts = integers(counts)
        sizes = trees.map_sparse(lambda _, p: jnp.int32(p.size), counts, params)

        def prune(number: Array, masks: Masks) -> Masks:
            done = (number + 1) / iterations
            masked = trees.apply_masks(params, masks)
            grads = jax.grad(flow)(masked)
            scores = trees.map_sparse(
                lambda _, g, p: jnp.abs(g * p), masks, grads, masked
            )

            def left(count: Array, size: Array) -> Array:
                power = size * (count / size) ** done
                kept = jnp.clip(jnp.round(power).astype(jnp.int32), count, size)
                return jnp.where(number == iterations - 1, count, kept)

            if scope == "layer":
                wanted = jax.tree.map(left, counts, sizes)
            else:  # only the sum is looked at: as if all were in the first layer
                leaves, structure = jax.tree.flatten(counts)
                of_all = left(total(counts), total(sizes))
                zeros = [jnp.int32(0)] * (len(leaves) - 1)
                wanted = jax.tree.unflatten(structure, [of_all, *zeros])
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
