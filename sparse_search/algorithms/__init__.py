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
from sparse_search.algorithms.dsr import dsr as _dsr
from sparse_search.algorithms.gradual import gradual as _gradual
from sparse_search.algorithms.granet import granet as _granet
from sparse_search.algorithms.mest import mest as _mest
from sparse_search.algorithms.rigl import rigl as _rigl
from sparse_search.algorithms.schedules import Shape
from sparse_search.algorithms.set_ import set_ as _set
from sparse_search.algorithms.snfs import snfs as _snfs
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


def set_(
    drop_fraction: Scalar = 0.3,
    select: Select = unstructured.select,
    schedule: Shape = schedules.constant,
) -> Make:
    """SET: drop the smallest weights, grow at random.

    Args:
        drop_fraction: of a layer's weights, at the first rewire.
        select: the pattern's selection.
        schedule: how the fraction goes on.
    """
    return lambda until: _set(schedule(drop_fraction, until), select)


def rigl(
    drop_fraction: Scalar = 0.3,
    select: Select = unstructured.select,
    schedule: Shape = schedules.cosine,
) -> Make:
    """RigL: drop the smallest weights, grow the largest gradients.

    Args:
        drop_fraction: of a layer's weights, at the first rewire.
        select: the pattern's selection.
        schedule: how the fraction goes on.
    """
    return lambda until: _rigl(schedule(drop_fraction, until), select)


def snfs(
    drop_fraction: Scalar = 0.5,
    beta: Scalar = 0.9,
    select: Select = unstructured.select,
    schedule: Shape = schedules.cosine,
) -> Make:
    """SNFS: grow the largest running means of gradients; layers share what they drop.

    Args:
        drop_fraction: of a layer's weights, at the first rewire.
        beta: of the running mean.
        select: the pattern's selection.
        schedule: how the fraction goes on.
    """
    return lambda until: _snfs(schedule(drop_fraction, until), beta, select)


def dsr(
    drop_fraction: Scalar = 0.05,
    threshold: Scalar = 1e-3,
    select: Select = unstructured.select,
) -> Make:
    """DSR: drop below one threshold, grow at random; layers share what they drop.

    Args:
        drop_fraction: of all weights, what the threshold is adapted to.
        threshold: at the beginning.
        select: the pattern's selection.
    """
    fraction = schedules.constant(drop_fraction)
    return lambda until: _dsr(fraction, threshold, select)


def mest(
    drop_fraction: Scalar = 0.3,
    gradient_weight: Scalar = 0.01,
    select: Select = unstructured.select,
    schedule: Shape = schedules.cosine,
) -> Make:
    """MEST: drop the smallest |weight| + λ |gradient|, grow at random.

    Args:
        drop_fraction: of a layer's weights, at the first rewire.
        gradient_weight: λ.
        select: the pattern's selection.
        schedule: how the fraction goes on.
    """
    return lambda until: _mest(schedule(drop_fraction, until), gradient_weight, select)


def granet(
    drop_fraction: Scalar = 0.5,
    initial_density: Scalar = 0.5,
    select: Select = unstructured.select,
    schedule: Shape = schedules.cosine,
) -> Make:
    """GraNet: prune gradually, grow the largest gradients on the way.

    Args:
        drop_fraction: of a layer's weights, regenerated at the first rewire.
        initial_density: of every layer.
        select: the pattern's selection.
        schedule: how the fraction goes on.
    """
    return lambda until: _granet(
        until, schedule(drop_fraction, until), initial_density, select
    )


def gradual(select: Select = unstructured.select) -> Make:
    """Gradual magnitude pruning, from dense.

    Args:
        select: the pattern's selection.
    """
    return lambda until: _gradual(until, select)
