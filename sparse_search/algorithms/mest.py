"""MEST, memory-economic sparse training (Yuan et al. 2021, arXiv:2110.14032).

Elastic mutation, every ΔT steps, in every sparse layer of n active weights:

    drop the p n active weights of the smallest |θ| + λ |∇L(θ)|             (eq. 1)
    grow p n connections at random among those not kept, at zero

The gradient is needed where a weight is stored, nowhere else. p falls over training.

Departures from the paper: the soft memory bound (growing before dropping, "EM&S") is
not here. p falls on a cosine, where the paper lowers it in steps. Initial weights are
scaled to the fan-in that the mask leaves (`base.scale_to_fan_in`).
"""

from functools import partial

import jax.numpy as jnp

from sparse_search.algorithms import grow_prune
from sparse_search.algorithms.base import Select, SparseAlgorithm
from sparse_search.algorithms.schedules import Schedule
from sparse_search.algorithms.static import static
from sparse_search.masks.patterns import unstructured
from sparse_search.types import Scalar


def mest(
    fraction: Schedule,
    gradient_weight: Scalar = 0.01,
    select: Select = unstructured.select,
) -> SparseAlgorithm:
    """MEST with a drop fraction.

    Args:
        fraction: p, of a layer's active weights, exchanged at a rewire.
        gradient_weight: λ.
        select: the pattern's selection.
    """
    rewire = partial(
        grow_prune.rewire,
        keep=lambda weight, grad: jnp.abs(weight) + gradient_weight * jnp.abs(grad),
        grow=None,
        fraction=fraction,
        select=select,
    )
    return static(select)._replace(rewire=rewire)
