"""SNIP, single-shot network pruning (Lee et al. 2019, arXiv:1810.02340, algorithm 1).

Before training, on one batch:

    s = |∂L(c ⊙ θ) / ∂c| at c = 1 = |∇L(θ) ⊙ θ|                     (equations 5 and 6)
    keep the weights of the largest s over all layers, and train with that mask

Departure from the paper: with scope "layer" scores are compared within every layer.
"""

import jax
import jax.numpy as jnp

from sparse_search import trees
from sparse_search.algorithms.at_init import Loss, needed, prune_at_init
from sparse_search.algorithms.base import Scope, SparseAlgorithm
from sparse_search.masks.patterns import UNSTRUCTURED, Pattern
from sparse_search.types import Counts, Key, Params


def snip(
    loss: Loss | None = None,
    pattern: Pattern = UNSTRUCTURED,
    scope: Scope = "layer",
) -> SparseAlgorithm:
    """SNIP: keep the initial weights that the loss is most sensitive to.

    Args:
        loss: `params -> scalar` on a batch.
        pattern: which masks are allowed.
        scope: "global" as in the paper, or "layer" for given counts.
    """

    def scores(key: Key, params: Params, counts: Counts) -> Params:
        del key
        grads = jax.grad(needed(loss, "snip", "loss"))(params)
        return trees.map_sparse(lambda _, g, p: jnp.abs(g * p), counts, grads, params)

    return prune_at_init(scores, pattern, scope)
