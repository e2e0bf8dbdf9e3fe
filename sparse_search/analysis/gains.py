"""Gains in doublings: how many more weights small-dense would need to be as good.

gain(s, b) = log2(nnz at which small-dense reaches the metric of s at b / b). Where the
small-dense curve ends before it gets there the gain is censored, never extrapolated.
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import isotonic_regression

from sparse_search.analysis.cells import Cells
from sparse_search.analysis.table import METRICS, Points, Trials, best


def choice_without(points: Points, among: np.ndarray, seed: int) -> int:
    """The best point on all seeds but one, of those that have that one; −1 if none.

    A point that is chosen on the seeds it is judged by looks better than it is, so the
    choice by validation is repeated for every seed without that seed.

    Args:
        points: the points of one family.
        among: (n,) indices of the candidates.
        seed: the one it will be judged by.
    """
    there = among[np.isfinite(points.test[among, seed])]
    if len(there) == 0:
        return -1
    others = np.arange(points.test.shape[1]) != seed
    if not np.isfinite(points.valid[there][:, others]).any():
        others = ~others  # a single seed: nothing else to choose by
    return best(points, there, others)


def cross_fitted(points: Points, among: np.ndarray) -> tuple[np.ndarray, bool]:
    """The test metric of the best point, chosen for each seed on the other seeds.

    Args:
        points: the points of one family.
        among: (n,) indices of the candidates.

    Returns:
        (K,) test metric at each seed, NaN where no candidate was trained; and whether
        all seeds agree on the choice.
    """
    seeds = points.test.shape[1]
    choices = [choice_without(points, among, k) for k in range(seeds)]
    chosen = [points.test[p, k] if p >= 0 else np.nan for k, p in enumerate(choices)]
    return np.array(chosen, float), len(set(choices) - {-1}) < 2


def reference_points(trials: Trials, budget: int) -> np.ndarray:
    """The small dense points at a dense budget that may serve as reference.

    A collapsed network is no reference.
    """
    among = trials.dense.at(budget)
    return among[~trials.dense.collapsed[among].any(axis=1)]


@dataclass(frozen=True)
class DenseCurve:
    """The small-dense reference: its metric, made monotone, over log2 nnz."""

    doublings: np.ndarray  # (D,) log2 nnz, increasing
    metric: np.ndarray  # (D,) not decreasing; more is better
    sign: float  # the table's metric times this is such that more is better
    # (D, K) the table's metric with each seed, NaN where missing.
    seeds: np.ndarray | None = None

    def at_seeds(self, doublings: float) -> np.ndarray:
        """(K,) what each seed reaches at a log2 nnz; its ends go on flat."""
        assert self.seeds is not None
        unit = np.eye(len(self.doublings))
        weights = np.array([np.interp(doublings, self.doublings, e) for e in unit])
        used = weights > 0
        return weights[used] @ self.seeds[used]

    def reach(self, metric: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where the curve first reaches some metrics (of any shape).

        Returns:
            log2 nnz, and -1 where the metric is below the whole curve, 1 where it is
            above, 0 where it is on it. Off the curve the log2 nnz is the curve's end.
        """
        wanted = self.sign * np.asarray(metric, float)
        right = np.searchsorted(self.metric, wanted, side="left")
        censored = np.where(right == len(self.metric), 1, 0)
        censored = np.where(wanted < self.metric[0], -1, censored)
        right = np.clip(right, 1, len(self.metric) - 1)
        low, high = self.metric[right - 1], self.metric[right]
        with np.errstate(invalid="ignore", divide="ignore"):
            part = np.clip((wanted - low) / (high - low), 0, 1)
        # A flat piece is reached where it begins.
        part = np.where(high > low, part, 0.0)
        part = np.where(censored == 1, 1.0, part)
        left = self.doublings[right - 1]
        return left + part * (self.doublings[right] - left), censored


def dense_curve(trials: Trials) -> DenseCurve | None:
    """The small-dense reference curve; None with fewer than two budgets."""
    sign = METRICS[trials.metric].sign
    nnz, seeds = [], []
    for budget in range(len(trials.dense_nnz)):
        among = reference_points(trials, budget)
        if len(among):
            # Its own nnz, which is a little off the budget it stands for.
            nnz.append(trials.dense.nnz[best(trials.dense, among)])
            seeds.append(cross_fitted(trials.dense, among)[0])
    if len(nnz) < 2:
        return None
    order = np.argsort(nnz)
    of_seed = np.array(seeds)[order]
    metric = isotonic_regression(sign * np.nanmean(of_seed, axis=1)).x
    return DenseCurve(np.log2(nnz)[order], metric, sign, of_seed)


def gains(cells: Cells, curve: DenseCurve) -> tuple[np.ndarray, np.ndarray]:
    """The gain of every cell, and how it is censored.

    Returns:
        (S, B, K) gains in doublings (where censored: to the curve's end; NaN where
        missing), and (S, B) the censoring of each structure's mean: -1, 0 or 1.
    """
    there = np.isfinite(cells.test)
    reached, _ = curve.reach(np.nan_to_num(cells.test))
    values = np.where(there, reached - np.log2(cells.nnz)[None, :, None], np.nan)
    counts = np.maximum(there.sum(axis=2), 1)
    _, censored = curve.reach(np.nansum(cells.test, axis=2) / counts)
    return values, np.where(there.any(axis=2), censored, 0)
