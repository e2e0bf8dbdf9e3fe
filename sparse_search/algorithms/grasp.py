"""GraSP, gradient signal preservation (Wang et al. 2020, arXiv:2002.07376).

Before training, on one batch, with gradient g and Hessian H of the loss (algorithm 1):

    S(−θ) = −θ ⊙ H g                                                  (equation 8)
    prune the weights of the largest S over all layers: those whose removal reduces the
    gradient's norm least, or raises it; train with that mask

The gradient g is that of the weights that may be pruned; H g is one forward derivative
of the gradient.

Departures from the paper: one batch, without the temperature on the logits; with scope
"layer" scores are compared within every layer.
"""

import jax
import jax.numpy as jnp

from sparse_search import trees
from sparse_search.algorithms.at_init import Loss, needed, prune_at_init
from sparse_search.algorithms.base import Scope, SparseAlgorithm
from sparse_search.masks.patterns import UNSTRUCTURED, Pattern
from sparse_search.types import Counts, Key, Params


def grasp(
    loss: Loss | None = None,
    pattern: Pattern = UNSTRUCTURED,
    scope: Scope = "layer",
) -> SparseAlgorithm:
    """GraSP: keep the initial weights that carry the gradient.

    Args:
        loss: `params -> scalar` on a batch.
        pattern: which masks are allowed.
        scope: "global" as in the paper, or "layer" for given counts.
    """

    def scores(key: Key, params: Params, counts: Counts) -> Params:
        del key
        gradient = jax.grad(needed(loss, "grasp", "loss"))
        none = jax.tree.map(jnp.zeros_like, params)
        grads = trees.map_sparse(lambda _, g: g, counts, gradient(params))
        _, product = jax.jvp(gradient, (params,), (trees.where_sparse(grads, none),))
        return trees.map_sparse(lambda _, p, hg: p * hg, counts, params, product)

    return prune_at_init(scores, pattern, scope)
