"""Gradual magnitude pruning (Zhu and Gupta 2017, arXiv:1710.01878, equation 1).

Training begins dense. Every ΔT steps until T_end, in every sparse layer of N entries
that shall end with n:

    n_t = n + (N − n) (1 − t / T_end)³
    keep the n_t weights of the largest magnitude

where t is the time of the next rewire, so that the last one leaves n.

Departure from the paper: what was pruned does not come back. There, weights behind the
mask keep their last value and are compared again.
"""

from sparse_search.algorithms.base import Select, SparseAlgorithm
from sparse_search.algorithms.granet import shrinking
from sparse_search.algorithms.schedules import constant
from sparse_search.masks.patterns import unstructured
from sparse_search.types import Scalar


def gradual(until: Scalar, select: Select = unstructured.select) -> SparseAlgorithm:
    """Gradual magnitude pruning.

    Args:
        until: T_end, the step at which pruning ends.
        select: the pattern's selection.
    """
    algorithm = shrinking(
        until, initial_density=1.0, fraction=constant(0.0), grow=None, select=select
    )
    return algorithm._replace(dense_gradient="never")
