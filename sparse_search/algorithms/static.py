"""Static sparse training: a random mask, chosen once.

    m ~ uniform over masks with the given non-zeros a layer
    θ ← optimizer(θ, m ⊙ ∇L(θ)),  θ = m ⊙ θ throughout

The baseline "Static" of Mocanu et al. 2018 (arXiv:1707.04780) and Evci et al. 2020.

Departure from both papers, here and in the algorithms that begin like this one: initial
weights are scaled to the fan-in that the mask leaves (`base.scale_to_fan_in`).
"""

from functools import partial

from sparse_search.algorithms import grow_prune, schedules
from sparse_search.algorithms.base import (
    SparseAlgorithm,
    masked_grads,
    no_rewire,
    random_start,
    same_view,
)
from sparse_search.masks.patterns import UNSTRUCTURED, Pattern


def static(pattern: Pattern = UNSTRUCTURED) -> SparseAlgorithm:
    """Training with a fixed random mask.

    Args:
        pattern: which masks are allowed.
    """
    return SparseAlgorithm(
        partial(random_start, pattern=pattern),
        same_view,
        masked_grads,
        no_rewire,
        pattern=pattern,
        exchange=grow_prune.Exchange(
            grow_prune.magnitude, grow_prune.Growth(), schedules.constant(0.0)
        ),
        begins="any",
    )
