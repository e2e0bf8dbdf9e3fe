"""Accuracy-versus-weights curves: means and intervals over seeds, for the report."""

from typing import Any

import numpy as np

from sparse_search.analysis import stats
from sparse_search.analysis.cells import sparse_cells
from sparse_search.analysis.gains import reference_points
from sparse_search.analysis.table import Points, Trials, best

Curve = list[dict[str, Any]]
"""A dict a budget: nnz, mean, low, high (None for one seed) and n, the seeds."""


def sparse_curves(trials: Trials) -> dict[str, Curve]:
    """Each sparse structure's test metric by budget, at its best learning rate.

    Args:
        trials: what `table.read_trials` gives.

    Returns:
        structure -> its curve, by increasing nnz.
    """
    cells = sparse_cells(trials)
    return {
        name: [
            _node(nnz, values)
            for nnz, values in zip(cells.nnz, cells.test[s], strict=True)
            if np.isfinite(values).any()
        ]
        for s, name in enumerate(cells.structures)
    }


def dense_reference(trials: Trials) -> Curve:
    """Small dense networks, the best on validation at each budget.

    Depth, width and learning rate are chosen by mean validation over seeds; points
    with a collapsed seed are no reference. `nnz` is the chosen point's own, and
    `point` its name.

    Args:
        trials: what `table.read_trials` gives.
    """
    curve = []
    for budget in range(len(trials.dense_nnz)):
        among = reference_points(trials, budget)
        if len(among):
            curve.append(_chosen(trials.dense, best(trials.dense, among)))
    return sorted(curve, key=lambda node: node["nnz"])


def _chosen(points: Points, chosen: int) -> dict[str, Any]:
    node = _node(points.nnz[chosen], points.test[chosen])
    return {**node, "point": points.names[chosen]}


def _node(nnz: float, values: np.ndarray) -> dict[str, Any]:
    mean, low, high = stats.t_interval(values)
    n = int(np.isfinite(values).sum())
    single = n < 2
    return {
        "nnz": int(nnz),
        "mean": mean,
        "low": None if single else low,
        "high": None if single else high,
        "n": n,
    }
