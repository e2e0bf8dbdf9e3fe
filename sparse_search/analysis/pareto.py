"""Pareto fronts: what nothing else is better than at the same cost or less.

A point is *dominated* if another costs no more and is no worse on validation, and is
less or better in one of the two. Fronts are chosen on mean validation metrics; what
they reach is said on test, so that a lucky test value makes no member.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from sparse_search.analysis import stats
from sparse_search.analysis.table import Points, read_trials
from sparse_search.records import SMALL_DENSE

COSTS = {
    "nnz": "non-zero weights (nnz)",
    "train_flops": "training FLOPs",
    "inference_flops": "inference FLOPs an example",
    "stored_bytes": "stored bytes",
}
"""The columns that fronts are drawn against, with words and units."""


class Point(NamedTuple):
    """One configuration over its seeds, against one cost.

    Attributes:
        structure: its structure.
        method: its method.
        name: the point's own name.
        nnz: its non-zero weights.
        cost: what it costs, in the unit of the column; the geometric mean over seeds.
        mean: the test metric, the mean over seeds.
        low: lower end of its 95 % interval, None with one seed.
        high: upper end, None with one seed.
        seeds: how many seeds.
        whole: whether each of its trials gave a metric above chance.
        member: whether it is on the front.
    """

    structure: str
    method: str
    name: str
    nnz: int
    cost: float
    mean: float
    low: float | None
    high: float | None
    seeds: int
    whole: bool
    member: bool

    @property
    def dense(self) -> bool:
        """Whether it is a small dense network."""
        return self.structure == SMALL_DENSE


def front(cost: np.ndarray, gain: np.ndarray) -> np.ndarray:
    """Which of some points are not dominated.

    Args:
        cost: (P,) less is better.
        gain: (P,) more is better.

    Returns:
        (P,) bool; a point that lacks one of the two is no member and dominates none.
        Points that are equal in both are members together.
    """
    member = np.zeros(len(cost), bool)
    known = np.flatnonzero(np.isfinite(cost) & np.isfinite(gain))
    best, at = -np.inf, np.nan
    for p in known[np.lexsort((-gain[known], cost[known]))]:
        # The best of its cost comes first; its equals follow it.
        member[p] = gain[p] > best or (gain[p] == best and cost[p] == at)
        if member[p]:
            best, at = gain[p], cost[p]
    return member


def fronts(
    rows: Iterable[Mapping[str, Any]],
    metric: str = "accuracy",
    costs: Iterable[str] = COSTS,
) -> dict[str, list[Point]]:
    """All points against each cost, by rising cost, with the members of fronts.

    Points of which a trial diverged, failed or collapsed are no members: what trains
    only sometimes is not chosen for its lucky seeds. A cost that no record has is left
    out, and so is a point whose records lack it.

    Args:
        rows: a row a trial, with the keys of `records.COLUMNS`.
        metric: one of `table.METRICS`.
        costs: the columns with costs.

    Raises:
        UserError: an unknown metric, or a row without nnz, structure or seed.
    """
    rows = list(rows)
    costs = list(costs)
    trials = read_trials(rows, metric, [cost for cost in costs if cost not in COSTS])
    lost = {
        (row["structure"], str(row.get("point")))
        for row in rows
        if row.get("status") in ("diverged", "failed") and not row.get("parent")
    }
    found = {}
    for cost in costs:
        points = [
            # Means of equal costs over different seeds differ in their last digits.
            (family, p, float(f"{amount:.10g}"))
            for family in (trials.sparse, trials.dense)
            for p, amount in enumerate(_amounts(family, cost))
            if np.isfinite(amount) and np.isfinite(family.test[p]).any()
        ]
        if not points:
            continue
        whole = [
            (family.structures[p], family.names[p]) not in lost
            and not family.collapsed[p].any()
            for family, p, _ in points
        ]
        gain = [
            _mean(family.valid[p]) if fine else np.nan
            for (family, p, _), fine in zip(points, whole, strict=True)
        ]
        members = front(np.array([amount for *_, amount in points]), np.array(gain))
        found[cost] = [
            _point(family, p, amount, bool(fine), bool(member))
            for (family, p, amount), fine, member in zip(
                points, whole, members, strict=True
            )
        ]
        found[cost].sort(key=lambda point: (point.cost, point.structure, point.name))
    return found


def _amounts(points: Points, cost: str) -> np.ndarray:
    """(P,) the cost of each point, NaN where it is not recorded."""
    if cost == "nnz":
        return points.nnz
    return np.array([2 ** _mean(values) for values in points.costs[cost]])


def _mean(values: np.ndarray) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else np.nan


def _point(family: Points, p: int, cost: float, whole: bool, member: bool) -> Point:
    mean, low, high = stats.t_interval(family.test[p])
    seeds = int(np.isfinite(family.test[p]).sum())
    return Point(
        structure=family.structures[p],
        method=family.methods[p],
        name=family.names[p],
        nnz=int(family.nnz[p]),
        cost=cost,
        mean=mean,
        low=low if seeds > 1 else None,
        high=high if seeds > 1 else None,
        seeds=seeds,
        whole=whole,
        member=member,
    )
