"""Static sparse training: a random mask, chosen once.

    m ~ uniform over masks with the given non-zeros a layer
    θ ← optimizer(θ, m ⊙ ∇L(θ)),  θ = m ⊙ θ throughout

The baseline "Static" of Mocanu et al. 2018 (arXiv:1707.04780) and Evci et al. 2020.

Departure from both papers, here and in the algorithms that begin like this one: initial
weights are scaled to the fan-in that the mask leaves (`base.scale_to_fan_in`).
"""

import jax.numpy as jnp

from sparse_search.algorithms import grow_prune, schedules
from sparse_search.algorithms.base import (
    MaskState,
    SparseAlgorithm,
    masked_grads,
    no_rewire,
    random_masks,
    same_view,
    scale_to_fan_in,
)
from sparse_search.masks.patterns import UNSTRUCTURED, Pattern
from sparse_search.types import Counts, Key, Params


def static(pattern: Pattern = UNSTRUCTURED) -> SparseAlgorithm:
    """Training with a fixed random mask.

    Args:
        pattern: which masks are allowed.
    """

    def init(key: Key, params: Params, counts: Counts) -> tuple[Params, MaskState]:
        masks = random_masks(key, params, counts, pattern)
        state = MaskState(masks, jnp.zeros((), jnp.int32))
        return scale_to_fan_in(params, masks), state

    return SparseAlgorithm(
        init,
        same_view,
        masked_grads,
        no_rewire,
        pattern=pattern,
        exchange=grow_prune.Exchange(
            grow_prune.magnitude, grow_prune.Growth(), schedules.constant(0.0)
        ),
        begins="any",
    )
