"""RigL (Evci et al. 2020, "Rigging the Lottery", arXiv:1911.11134, algorithm 1).

Every ΔT steps until T_end, in every sparse layer of n active weights:

    k = f_decay(t) · n,  f_decay(t) = α/2 · (1 + cos(π t / T_end))       (section 3)
    drop the k active weights of the smallest magnitude |θ|
    grow the k connections of the largest gradient |∇L(θ)|, not among those kept,
         with weight zero

The gradient is dense and of one batch, and that batch makes no weight update. T_end
is 75 % of training and α = 0.3 in the paper's experiments.

Departure from the paper: initial weights are scaled to the fan-in that the mask leaves
(`base.scale_to_fan_in`). Where its text and the authors' code differ (a connection
dropped and grown in the same rewire), see `grow_prune`.
"""

from functools import partial

from sparse_search.algorithms import grow_prune
from sparse_search.algorithms.base import Select, SparseAlgorithm
from sparse_search.algorithms.schedules import Schedule
from sparse_search.algorithms.static import static
from sparse_search.masks.patterns import unstructured


def rigl(fraction: Schedule, select: Select = unstructured.select) -> SparseAlgorithm:
    """RigL with a drop fraction, usually `schedules.cosine(0.3, until=0.75 * steps)`.

    Args:
        fraction: of a layer's active weights, exchanged at a rewire.
        select: the pattern's selection.
    """
    rewire = partial(
        grow_prune.rewire,
        keep=grow_prune.magnitude,
        grow=grow_prune.steepness,
        fraction=fraction,
        select=select,
    )
    return static(select)._replace(rewire=rewire, dense_gradient="rewire")
