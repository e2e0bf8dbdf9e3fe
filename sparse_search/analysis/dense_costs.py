"""Small dense networks over some cost: their curve, and how seeds vary about it."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.interpolate import PchipInterpolator
from scipy.optimize import isotonic_regression

from sparse_search.analysis.gains import DenseCurve, choice_without, reference_points
from sparse_search.analysis.table import METRICS, Trials

_STEPS = 32  # between two nodes; from step to step the cubic is as good as a line
_SAME = 1e-9  # log2 costs that are one


@dataclass(frozen=True)
class Reference:
    """Small dense over one cost: D nodes, K seeds; more of the metric is better."""

    nodes: np.ndarray  # (D,) log2 cost, increasing
    chosen: np.ndarray  # (D, K) point for each seed, chosen on the others; -1: none
    agreed: np.ndarray  # (D,) whether all seeds agree
    curve: DenseCurve  # the mean over seeds
    blocks: np.ndarray  # (D, D) averages nodes whose order the seeds contradict
    deviations: np.ndarray  # (D, K) of seeds from the curve

    def side(self, cost: np.ndarray) -> np.ndarray:
        """-1 where a log2 cost is below the curve, 1 above, 0 on it, NaN: unknown."""
        above = np.where(cost > self.nodes[-1] + _SAME, 1.0, 0.0)
        side = np.where(cost < self.nodes[0] - _SAME, -1.0, above)
        return np.where(np.isfinite(cost), side, np.nan)

    def weights(self, cost: float) -> np.ndarray:
        """(D,) what the noise of each node adds at a log2 cost."""
        unit = np.eye(len(self.nodes))
        return np.array([np.interp(cost, self.nodes, e) for e in unit]) @ self.blocks

    def at_seed(self, cost: float, seed: int) -> float:
        """What small dense of a log2 cost reaches with one seed; its ends go on flat.

        NaN where a node in use lacks the seed.
        """
        weights = self.weights(cost)
        used = weights > 0
        noise = weights[used] @ self.deviations[used, seed]
        return float(read(self.curve, cost) + noise)


def read(curve: DenseCurve, cost: np.ndarray | float) -> np.ndarray:
    """The metric (more is better) at some log2 costs; the ends go on flat."""
    return np.asarray(np.interp(cost, curve.doublings, curve.metric))


def monotone_curve(nodes: np.ndarray, metric: np.ndarray, sign: float) -> DenseCurve:
    """A curve that never falls through nodes (more of the metric is better).

    Isotonic regression, then a cubic that stays monotone (Fritsch and Carlson 1980,
    SIAM Journal on Numerical Analysis 17): the chord of a curve that flattens out lies
    below it, which would favour the other side.
    """
    metric = isotonic_regression(metric).x
    pieces = [np.linspace(a, b, _STEPS, endpoint=False) for a, b in pairwise(nodes)]
    at = np.append(np.concatenate(pieces), nodes[-1])
    values = np.maximum.accumulate(PchipInterpolator(nodes, metric)(at))
    return DenseCurve(at, values, sign)


def chosen_dense(trials: Trials) -> np.ndarray:
    """(D, K) the small dense point of each budget for each seed, −1 where none is."""
    seeds = range(len(trials.seeds))
    budgets = [reference_points(trials, d) for d in range(len(trials.dense_nnz))]
    found = [[choice_without(trials.dense, a, k) for k in seeds] for a in budgets]
    chosen = np.array(found, int).reshape(len(budgets), len(trials.seeds))
    return chosen[(chosen >= 0).any(axis=1)]


def reference(trials: Trials, chosen: np.ndarray, cost: str) -> Reference | None:
    """Small dense over a cost; None with fewer than two different costs."""
    sign = METRICS[trials.metric].sign
    seeds = np.arange(len(trials.seeds))

    def of_chosen(values: np.ndarray) -> np.ndarray:
        return np.where(chosen >= 0, values[np.maximum(chosen, 0), seeds], np.nan)

    if not chosen.size:
        return None
    costs, values = of_chosen(trials.dense.costs[cost]), of_chosen(trials.dense.test)
    known = np.isfinite(costs).any(axis=1)
    nodes = np.nanmean(costs[known], axis=1)
    order = np.flatnonzero(known)[np.argsort(nodes, kind="stable")]
    nodes = np.sort(nodes)
    if len(nodes) < 2 or nodes[-1] - nodes[0] < _SAME:
        return None
    # Where two nodes cost the same the curve still needs a step between them.
    nodes = np.maximum.accumulate(nodes + _SAME * np.arange(len(nodes)))
    chosen, values = chosen[order], sign * values[order]
    means = np.nanmean(values, axis=1)
    starts = isotonic_regression(means).blocks
    block = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    same = (block[:, None] == block).astype(float)
    return Reference(
        nodes=nodes,
        chosen=chosen,
        agreed=np.array([len(set(row) - {-1}) < 2 for row in chosen.tolist()]),
        curve=monotone_curve(nodes, means, sign),
        blocks=same / same.sum(axis=1, keepdims=True),
        deviations=values - means[:, None],
    )
