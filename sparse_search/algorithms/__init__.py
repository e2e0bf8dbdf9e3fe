"""How masks change: sparse training algorithms, one paper, one file.

The functions here make algorithms from the hyperparameters that their papers give.
What they return still waits for the step at which rewiring ends, since schedules
depend on it:

    make = rigl(drop_fraction=0.3)
    algorithm = make(7500)          # a `base.SparseAlgorithm`
"""

from collections.abc import Callable

from sparse_search.algorithms import schedules
from sparse_search.algorithms.base import Select, SparseAlgorithm
from sparse_search.algorithms.dense import dense as _dense
from sparse_search.algorithms.rigl import rigl as _rigl
from sparse_search.algorithms.set_ import set_ as _set
from sparse_search.algorithms.static import static as _static
from sparse_search.masks.patterns import unstructured
from sparse_search.types import Scalar

Make = Callable[[Scalar], SparseAlgorithm]
"""The step at which rewiring ends, perhaps traced -> an algorithm."""


def dense() -> Make:
    """No sparsity at all."""
    return lambda until: _dense()


def static(select: Select = unstructured.select) -> Make:
    """A random mask that stays."""
    return lambda until: _static(select)


def set_(drop_fraction: Scalar = 0.3, select: Select = unstructured.select) -> Make:
    """SET: drop the smallest weights, grow at random.

    Args:
        drop_fraction: of a layer's weights, at every rewire.
        select: the pattern's selection.
    """
    return lambda until: _set(schedules.constant(drop_fraction), select)


def rigl(drop_fraction: Scalar = 0.3, select: Select = unstructured.select) -> Make:
    """RigL: drop the smallest weights, grow the largest gradients.

    Args:
        drop_fraction: of a layer's weights, at the first rewire; it falls on a cosine.
        select: the pattern's selection.
    """
    return lambda until: _rigl(schedules.cosine(drop_fraction, until), select)
