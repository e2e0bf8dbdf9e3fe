"""Large-sparse against small-dense at equal costs other than nnz.

At equal nnz both sides were trained at one budget (`small_dense`). At equal parameters,
FLOPs or bytes they were not: each sparse structure is compared with what small dense
networks of *its* cost reach, read off their own curve (`dense_costs`). Where that curve
does not reach, the comparison is censored: the curve's end bounds the difference on one
side, and nothing is extrapolated.
"""

from dataclasses import replace
from typing import Any

import numpy as np

from sparse_search.analysis.dense_costs import (
    Reference,
    chosen_dense,
    monotone_curve,
    read,
    reference,
)
from sparse_search.analysis.effects import Summary
from sparse_search.analysis.gains import choice_without
from sparse_search.analysis.small_dense import gain_of, half_widths
from sparse_search.analysis.table import METRICS, OTHER_COSTS, Points, Trials, best


def at_equal_costs(trials: Trials, summaries: list[Summary]) -> dict[str, Any]:
    """By cost: `rows`, one a budget, and `left_out`, why there are none (or None).

    At every budget the structure is the one that is furthest ahead, on validation, of
    small dense networks of its own cost, chosen again for each seed on the others. A
    row has its `cost` (geometric mean over seeds), `difference` (sparse − dense in
    units of the metric) and `gain` (in doublings of the cost). `censored` is "above"
    where all structures cost more than any small dense network, "below" where less.
    `compared`, `beyond` and `unknown` count the structures on the curve, off it, and
    without that cost.
    """
    chosen, found = chosen_dense(trials), {}
    for cost in OTHER_COSTS:
        dense = reference(trials, chosen, cost)
        why = None
        if not np.isfinite(trials.sparse.costs[cost]).any():
            why = "no sparse trial has it in its record"
        elif not np.isfinite(trials.dense.costs[cost]).any():
            why = "no small dense trial has it in its record"
        elif dense is None:
            why = "small dense networks of at least two costs make a curve"
        rows = [] if why or dense is None else _rows(trials, summaries, dense, cost)
        found[cost] = {"rows": rows, "left_out": why}
    return found


def disagreements(
    at_nnz: list[dict[str, Any]], at_costs: dict[str, Any], metric: str
) -> list[dict[str, Any]]:
    """Every budget at which comparisons have different signs.

    Returns:
        `nnz`; `better` and `worse`, the costs at which large-sparse is so with
        confidence; `open`, those that are not decided; and `decided`, whether two
        comparisons contradict each other with confidence.
    """
    sign = METRICS[metric].sign
    tables = {"nnz": at_nnz, **{cost: part["rows"] for cost, part in at_costs.items()}}
    by_budget: dict[int, dict[str, dict[str, Any]]] = {}
    for cost, rows in tables.items():
        for row in rows:
            by_budget.setdefault(row["nnz"], {})[cost] = row
    found = []
    for nnz, rows in sorted(by_budget.items()):
        signs = {cost: sign * _sign(row) for cost, row in rows.items()}
        values = [row["difference"] for row in rows.values()]
        values = [value for value in values if value is not None and value == value]
        better = [cost for cost, s in signs.items() if s > 0]
        worse = [cost for cost, s in signs.items() if s < 0]
        decided = bool(better and worse)
        if decided or (values and min(values) < 0 < max(values)):
            open_ = [cost for cost, s in signs.items() if s == 0]
            found.append(
                dict(nnz=nnz, better=better, worse=worse, open=open_, decided=decided)
            )
    return found


def _sign(row: dict[str, Any]) -> int:
    """Of a difference that is decided; 0 of one that is not."""
    return int(row["low"] > 0) - int(row["high"] < 0)


def _comparable(among: np.ndarray, side: np.ndarray) -> np.ndarray:
    """The points on the dense curve; or, if none is, those on one side of it.

    Below it comes first: there a bound can say that sparse is better.
    """
    for wanted in (0, -1, 1):
        here = among[side[among] == wanted]
        if len(here):
            return here
    return among[:0]


def _ahead(trials: Trials, dense: Reference, cost: np.ndarray, seed: int) -> Points:
    """The sparse points, their validation less that of small dense at their cost.

    Small dense is what was chosen without `seed`, and its validation without it.
    """
    chosen = dense.chosen[:, seed]
    chosen = np.where(chosen >= 0, chosen, dense.chosen.max(axis=1))
    others = np.arange(len(trials.seeds)) != seed
    valid = trials.dense.valid[chosen]
    if np.isfinite(valid[:, others]).any(axis=1).all():
        valid = valid[:, others]
    known = np.isfinite(valid).any(axis=1)
    if known.sum() < 2:
        return trials.sparse
    curve = monotone_curve(dense.nodes[known], np.nanmean(valid[known], axis=1), 1.0)
    points = trials.sparse
    return replace(points, valid=points.valid - read(curve, cost)[:, None])


def _rows(
    trials: Trials, summaries: list[Summary], dense: Reference, cost: str
) -> list[dict[str, Any]]:
    points, count, seeds = trials.sparse, len(trials.nnz), len(trials.seeds)
    costs = np.where(np.isfinite(points.test), points.costs[cost], np.nan)
    known = np.isfinite(costs).any(axis=1)
    mean_cost = np.full(len(costs), np.nan)
    mean_cost[known] = np.nanmean(costs[known], axis=1)
    costs = np.where(np.isfinite(costs), costs, mean_cost[:, None])
    side = dense.side(mean_cost)
    among = [_comparable(points.at(b), side) for b in range(count)]
    ahead = [_ahead(trials, dense, mean_cost, k) for k in range(seeds)]
    choices = np.array(
        [[choice_without(ahead[k], a, k) for k in range(seeds)] for a in among], int
    )
    at, difference = np.full((2, count, seeds), np.nan)
    weights = np.zeros((count, len(dense.nodes)))
    for b, k in zip(*np.nonzero(choices >= 0), strict=True):
        p = choices[b, k]
        at[b, k] = costs[p, k]
        weights[b] += dense.weights(float(costs[p, k])) / (choices[b] >= 0).sum()
        reached = dense.at_seed(float(costs[p, k]), k)
        difference[b, k] = dense.curve.sign * points.test[p, k] - reached
    agreed = [
        len(set(row.tolist()) - {-1}) < 2 and bool(dense.agreed[used > 0].all())
        for row, used in zip(choices, weights, strict=True)
    ]
    half = half_widths(
        difference, np.array(agreed, bool), summaries, _independent(weights)
    )
    # On all seeds, for the name.
    every = replace(points, valid=np.mean([a.valid for a in ahead], axis=0))
    rows = []
    for b in np.flatnonzero(np.isfinite(difference).any(axis=1)).tolist():
        pick, here = best(every, among[b]), points.at(b)
        rows.append(
            {
                "nnz": int(trials.nnz[b]),
                **_estimates(dense, at[b], difference[b], half[b], side[pick]),
                "best_structure": points.structures[pick],
                "best_density": points.density[pick],
                "seeds": int(np.isfinite(difference[b]).sum()),
                "compared": _structures(points, here[side[here] == 0]),
                "beyond": _structures(points, here[np.abs(side[here]) == 1]),
                "unknown": _structures(points, here[np.isnan(side[here])]),
            }
        )
    return rows


def _structures(points: Points, which: np.ndarray) -> int:
    return len({points.structures[p] for p in which})


def _independent(weights: np.ndarray) -> float:
    """How many independent differences there are: some share nodes of the curve."""
    covariance = np.eye(len(weights)) + weights @ weights.T
    scale = np.sqrt(np.diag(covariance))
    correlation = covariance / np.outer(scale, scale)
    return len(weights) ** 2 / float((correlation**2).sum())


def _estimates(
    dense: Reference,
    cost: np.ndarray,
    difference: np.ndarray,
    half: float,
    side: float,
) -> dict[str, Any]:
    """The cost, the difference and the gain of one budget, over its seeds."""
    there = np.isfinite(difference)
    at, value = float(cost[there].mean()), float(difference[there].mean())
    curve = dense.curve
    metric = curve.sign * (float(read(curve, at)) + value)
    low, high = value - half, value + half
    # What costs more than any small dense network is compared with the curve's end,
    # which is no better than small dense of that cost; and the reverse.
    if side > 0:
        low = -np.inf
    elif side < 0:
        high = np.inf
    if curve.sign < 0:
        low, high = -high, -low
    return {
        "cost": 2**at,
        "difference": curve.sign * value if side == 0 else np.nan,
        "low": low,
        "high": high,
        "censored": {-1: "below", 0: None, 1: "above"}[int(side)],
        "gain": gain_of(curve, at, metric, half),
    }
