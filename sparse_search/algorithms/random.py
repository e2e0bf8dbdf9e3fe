"""Random pruning at initialisation.

Liu et al. 2022, "The unreasonable effectiveness of random pruning", arXiv:2202.02643:

    m ~ uniform over masks with the given non-zeros a layer, or in all
    θ ← m ⊙ θ₀, trained with m fixed

What the other ways of pruning at initialisation have to beat. Unlike `static` it leaves
the weights as they were drawn, as those do.
"""

import jax

from sparse_search import trees
from sparse_search.algorithms.at_init import prune_at_init
from sparse_search.algorithms.base import Scope, SparseAlgorithm
from sparse_search.masks.patterns import UNSTRUCTURED, Pattern
from sparse_search.types import Counts, Key, Params


def random(pattern: Pattern = UNSTRUCTURED, scope: Scope = "layer") -> SparseAlgorithm:
    """Random pruning of the initial weights.

    Args:
        pattern: which masks are allowed.
        scope: over all layers ("global"), their counts are random too.
    """

    def scores(key: Key, params: Params, counts: Counts) -> Params:
        return trees.map_sparse_with_key(
            lambda key, _, p: jax.random.uniform(key, p.shape), key, counts, params
        )

    return prune_at_init(scores, pattern, scope)._replace(begins="drawn")
