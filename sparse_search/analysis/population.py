"""The population view: the error of all structures, not of the best ones alone.

At every budget the distribution of test error over large-sparse structures beside that
over small dense networks of the same nnz, as network design spaces are compared
(Radosavovic et al. 2019, arXiv:1905.13214). Each structure, and each shape of small
dense networks, is at its best learning rate on validation, and its error is the mean
over its seeds. Collapsed ones are part of it.
"""

from collections import defaultdict
from typing import Any

import numpy as np

from sparse_search.analysis import stats
from sparse_search.analysis.cells import Cells
from sparse_search.analysis.effects import Summary
from sparse_search.analysis.gains import cross_fitted, reference_points
from sparse_search.analysis.table import METRICS, Trials, best, nearest

_QUANTILES = {"lower_quartile": 0.25, "median": 0.5, "upper_quartile": 0.75}
_FEWEST = 4  # of which quartiles are more than two of the values


def population(
    trials: Trials, cells: Cells, summaries: list[Summary]
) -> list[dict[str, Any]]:
    """A row a budget: `nnz`, `sparse`, and `small_dense` and `better` or None.

    Each side has its `errors` (sorted; 1 − accuracy, or the loss), their `median` and
    quartiles, and its `best`, chosen on validation with the choice repeated for every
    seed, with intervals over seeds. `better` is the share of structures with less error
    than the best small dense; its interval holds for all of them at once.
    """
    count, seeds = len(cells.nnz), len(trials.seeds)
    best_dense, agreed = np.full((count, seeds), np.nan), np.ones(count, bool)
    rows = []
    for b, nnz in enumerate(cells.nnz):
        best_sparse, _ = cross_fitted(trials.sparse, trials.sparse.at(b))
        sparse = _side(trials, cells.test[:, b], best_sparse)
        row: dict[str, Any] = {"nnz": int(nnz), "sparse": sparse}
        row |= {"small_dense": None, "better": None}
        budget = nearest(trials.dense_nnz, nnz)
        if budget is not None:
            among = reference_points(trials, budget)
            best_dense[b], agreed[b] = cross_fitted(trials.dense, among)
            test = trials.dense.test[_shapes(trials, budget)]
            row["small_dense"] = _side(trials, test, best_dense[b])
        rows.append(row)
    less = best_dense - cells.test  # (S, B, K)
    less = -less if METRICS[trials.metric].rises else less
    noise = _noise(less, agreed, summaries)
    for b in np.flatnonzero(np.isfinite(less).any(axis=(0, 2))):
        rows[b]["better"] = _share(less[:, b], *(part[b] for part in noise))
    return rows


def _shapes(trials: Trials, budget: int) -> list[int]:
    """The small dense points of a budget: each shape's best learning rate."""
    points, groups = trials.dense, defaultdict(list)
    for p in points.at(budget).tolist():
        groups[points.shapes[p], points.nnz[p]].append(p)
    return [best(points, np.array(group)) for group in groups.values()]


def _side(trials: Trials, test: np.ndarray, chosen: np.ndarray) -> dict[str, Any]:
    """The distribution over the rows of `test` [n, K], and the best of them [K]."""
    test = test[np.isfinite(test).any(axis=1)]
    metric = METRICS[trials.metric]
    errors, chosen = (1 - test, 1 - chosen) if metric.rises else (test, chosen)
    side: dict[str, Any] = {"errors": np.sort(np.nanmean(errors, axis=1)).tolist()}
    seeds = errors[:, np.isfinite(errors).any(axis=0)]
    for name, level in _QUANTILES.items():
        value = half = np.nan
        if name == "median" or len(errors) >= _FEWEST:
            value = float(np.quantile(side["errors"], level))
            middle, low, _ = stats.t_interval(np.nanquantile(seeds, level, axis=0))
            half = middle - low
        side[name] = _within((value, value - half, value + half), metric.share)
    return side | {"best": _within(stats.t_interval(chosen), metric.share)}


def _within(ends: tuple[float, float, float], share: bool) -> dict[str, float]:
    """An estimate and its limits, which are 0 … 1 for shares."""
    value, low, high = np.clip(ends, 0.0, 1.0 if share else np.inf).tolist()
    return {"value": value, "low": low, "high": high}


def _noise(
    less: np.ndarray, agreed: np.ndarray, summaries: list[Summary]
) -> tuple[np.ndarray, np.ndarray]:
    """(B,) variance of one structure's paired difference, and degrees of freedom."""
    counts = np.isfinite(less).sum(axis=2)
    own, dof = np.full(len(summaries), np.nan), np.zeros(len(summaries), int)
    for b in range(len(summaries)):
        several = less[counts[:, b] > 1, b]
        if len(several):
            own[b] = np.nanvar(several, axis=1, ddof=1).mean()
            # Small dense is the same for all structures: no more than its own.
            dof[b] = np.isfinite(several).any(axis=0).sum() - 1
    variance, dof = stats.pooled_variance(
        own,
        dof,
        np.array([s.error for s in summaries]),
        np.array([s.dof for s in summaries]),
        independent=len(own),
        alone=dof + 1 >= stats.ENOUGH_SEEDS,
        least=1.0,
    )
    # As in `small_dense`: a choice that changes with the seed left out.
    return np.where(agreed, variance, 2 * variance), dof


def _share(less: np.ndarray, variance: float, dof: float) -> dict[str, float]:
    """The share of rows of `less` [S, K] with a positive mean."""
    counts = np.isfinite(less).sum(axis=1)
    less, counts = less[counts > 0], counts[counts > 0]
    means = np.nanmean(less, axis=1)
    value, half = float((means > 0).mean()), np.nan
    if dof > 0 and np.isfinite(variance):
        confidence = 1 - (1 - stats.CONFIDENCE) / len(means)
        half = stats.t_quantile(dof, confidence) * np.sqrt(variance / counts)
    low, high = (float(((means + side * half) > 0).mean()) for side in (-1, 1))
    if np.isnan(half).any():
        low = high = np.nan
    return {"value": value, "low": low, "high": high}
