"""Gradual magnitude pruning (Zhu and Gupta 2017, arXiv:1710.01878, equation 1).

Training begins dense. Every ΔT steps until T_end, in every sparse layer of N entries
that shall end with n:

    n_t = n + (N − n) (1 − t / T_end)³
    keep the n_t weights of the largest magnitude

where t is the time of the next rewire, so that the last one leaves n. Over all layers
together (scope "global"), N and n are sums; scope "lamp" compares LAMP scores.

Departure from the paper: what was pruned does not come back. There, weights behind the
mask keep their last value and are compared again.
"""

from sparse_search.algorithms.base import NEVER, Scope, SparseAlgorithm
from sparse_search.algorithms.granet import shrinking
from sparse_search.algorithms.grow_prune import growth
from sparse_search.algorithms.schedules import constant
from sparse_search.masks.patterns import UNSTRUCTURED, Pattern
from sparse_search.types import Scalar


def gradual(
    until: Scalar = NEVER,
    every: int = 100,
    pattern: Pattern = UNSTRUCTURED,
    scope: Scope = "layer",
) -> SparseAlgorithm:
    """Gradual magnitude pruning, from dense.

    Args:
        until: T_end, the step from which masks stay.
        every: ΔT, the smallest number of steps from one rewire to the next.
        pattern: which masks are allowed.
        scope: whether weights are compared within a layer, or over all.
    """
    none, no = constant(0.0), growth(None)
    algorithm = shrinking(until, every, 1.0, none, no, pattern, scope)
    return algorithm._replace(dense_gradient="never")
