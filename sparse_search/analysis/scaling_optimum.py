"""Which sparsity gives the lowest loss for a number of weights and a training compute.

The question of Frantar et al. 2023, section 4: among networks with N non-zero weights,
a sparser one is better at equal data but costs more to train, so that it sees less of
it. Compute is told as the amount of data for which it would train a dense network of N
weights, so that no constant of the hardware or the batch is needed.
"""

import numpy as np

from sparse_search.analysis.scaling import Form, predict


def every_entry(sparsity: np.ndarray) -> np.ndarray:
    """The cost of a step where zeros are multiplied too, per non-zero weight."""
    return 1 / (1 - sparsity)


def gradual(sparsity: np.ndarray) -> np.ndarray:
    """The mean cost of a step of gradual pruning where zeros are free.

    A quarter of the training is dense, in the next half the sparsity rises as a cubic
    (Zhu and Gupta 2017), whose mean is 3/4 of the last; then it is sparse.
    """
    density = 1 - sparsity
    return 0.25 / density + 0.5 * (1 - 0.75 * sparsity) / density + 0.25


COSTS = {"every entry": every_entry, "gradual pruning": gradual}
_GRID = 80


def optimal_sparsity(
    form: Form,
    theta: np.ndarray,
    nnz: np.ndarray,
    dense_data: np.ndarray,
    cost: str,
    limits: tuple[float, float],
) -> np.ndarray:
    """The sparsity of the lowest loss at given weights and compute.

    Args:
        form: with a term of the data.
        theta: (B, p).
        nnz: (m,) non-zero weights.
        dense_data: (m,) for how much data the compute trains a dense network.
        cost: a key of `COSTS`.
        limits: the sparsities that were seen; the optimum is looked for between them.

    Returns:
        (B, m); a limit where the loss still falls there.
    """
    # Evenly in the logarithm of the density, as the forms are.
    density = np.linspace(np.log1p(-limits[0]), np.log1p(-limits[1]), _GRID)
    sparsity = -np.expm1(density)
    weights = np.repeat(nnz, _GRID)
    places = np.tile(sparsity, len(nnz))
    data = np.repeat(dense_data, _GRID) / COSTS[cost](places)
    found = np.empty((len(theta), len(nnz)))
    for b, one in enumerate(theta):
        loss = predict(form, one, weights, places, data).reshape(len(nnz), _GRID)
        at = np.interp(_lowest(loss), np.arange(_GRID), density)
        found[b] = np.clip(-np.expm1(at), *limits)
    return found


def _lowest(loss: np.ndarray) -> np.ndarray:
    """(m,) where each row is lowest, between the columns by a parabola."""
    row, column = np.arange(len(loss)), loss.argmin(axis=1)
    middle = np.clip(column, 1, loss.shape[1] - 2)
    left, here, right = (loss[row, middle + k] for k in (-1, 0, 1))
    bend = left - 2 * here + right
    shift = np.where(
        bend > 0, (left - right) / (2 * np.where(bend > 0, bend, 1.0)), 0.0
    )
    return np.where(column == middle, middle + np.clip(shift, -0.5, 0.5), column)
