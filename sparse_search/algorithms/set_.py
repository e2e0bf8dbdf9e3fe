"""SET, sparse evolutionary training (Mocanu et al. 2018, arXiv:1707.04780).

Every ΔT steps, in every sparse layer of n active weights, with drop fraction ζ:

    drop the ζ n active weights closest to zero
    grow ζ n connections at random among those not kept

Departures from the paper: "closest to zero" is by magnitude over positive and
negative weights together, where the paper drops a fraction of each; rewiring comes
every ΔT steps, where the paper rewires once an epoch. Grown weights start at zero, as
in the authors' implementation. Initial weights are scaled to the fan-in that the mask
leaves (`base.scale_to_fan_in`).
"""

from functools import partial

from sparse_search.algorithms import grow_prune
from sparse_search.algorithms.base import Select, SparseAlgorithm
from sparse_search.algorithms.schedules import Schedule
from sparse_search.algorithms.static import static
from sparse_search.masks.patterns import unstructured


def set_(fraction: Schedule, select: Select = unstructured.select) -> SparseAlgorithm:
    """SET with a drop fraction: `schedules.constant(0.3)` in the paper.

    Args:
        fraction: of a layer's active weights, exchanged at a rewire.
        select: the pattern's selection.
    """
    rewire = partial(
        grow_prune.rewire,
        keep=grow_prune.magnitude,
        grow=None,
        fraction=fraction,
        select=select,
    )
    return static(select)._replace(rewire=rewire)
