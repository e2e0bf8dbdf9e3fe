"""Pareto fronts: what nothing else is better than at the same cost or less.

A point is *dominated* if another costs no more and is no worse on validation, and is
less or better in one of the two. Fronts are chosen on mean validation metrics; what
they reach is said on test, so that a lucky test value makes no member. A member is the
best for its cost because it was chosen as that: the interval beside it is of the
choice, which is made again for every seed on the other seeds.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from sparse_search.analysis import stats
from sparse_search.analysis.gains import choice_without
from sparse_search.analysis.table import Points, Trials, together
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
        reached: of a member: the test metric of the best that costs no more, chosen
            for each seed on the other seeds; None else, and with one seed.
        low: lower end of the 95 % interval of that.
        high: upper end.
        kept: of a member: for how many seeds it is the choice.
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
    reached: float | None
    low: float | None
    high: float | None
    kept: int
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
    trials: Trials,
    costs: Iterable[str] = tuple(COSTS),
) -> dict[str, list[Point]]:
    """All points against each cost, by rising cost, with the members of fronts.

    Points of which a trial diverged, failed or collapsed are no members: what trains
    only sometimes is not chosen for its lucky seeds. A cost that no record has is left
    out, and so is a point whose records lack it.

    Args:
        rows: a row a trial, with the keys of `records.COLUMNS`.
        trials: the same, as `table.read_trials` gives them, with the costs.
        costs: columns of the rows.
    """
    lost = {
        (row["structure"], str(row.get("point")))
        for row in rows
        if row.get("status") in ("diverged", "failed") and not row.get("parent")
    }
    points = together(trials.sparse, trials.dense)
    measured = np.isfinite(points.test).any(axis=1)
    named = zip(points.structures, points.names, strict=True)
    kept = np.array([name not in lost for name in named], bool)
    whole = np.logical_and(kept, ~points.collapsed.any(axis=1))
    gain = np.array([_mean(values) for values in points.valid])
    found = {}
    for cost in costs:
        amount = _amounts(points, cost)
        shown = np.flatnonzero(np.isfinite(amount) & measured)
        if not len(shown):
            continue
        member = front(amount[shown], np.where(whole[shown], gain[shown], np.nan))
        found[cost] = [
            _point(points, p, amount, bool(whole[p]), shown[whole[shown]], bool(chosen))
            for p, chosen in zip(shown.tolist(), member, strict=True)
        ]
        found[cost].sort(key=lambda point: (point.cost, point.structure, point.name))
    return found


def _amounts(points: Points, cost: str) -> np.ndarray:
    """(P,) the cost of each point, NaN where it is not recorded."""
    if cost == "nnz":
        return points.nnz
    amounts = [2 ** _mean(values) for values in points.costs[cost]]
    # Means of equal costs over different seeds differ in their last digits.
    return np.array([float(f"{amount:.10g}") for amount in amounts])


def _mean(values: np.ndarray) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else np.nan


def _point(
    points: Points,
    p: int,
    amount: np.ndarray,
    whole: bool,
    candidates: np.ndarray,
    member: bool,
) -> Point:
    reached = low = high = None
    kept = 0
    if member:
        among = candidates[amount[candidates] <= amount[p]]
        kept, ends = _repeated(points, p, among)
        if ends is not None:
            reached, low, high = ends
    return Point(
        structure=points.structures[p],
        method=points.methods[p],
        name=points.names[p],
        nnz=int(points.nnz[p]),
        cost=float(amount[p]),
        mean=_mean(points.test[p]),
        reached=reached,
        low=low,
        high=high,
        kept=kept,
        seeds=int(np.isfinite(points.test[p]).sum()),
        whole=whole,
        member=member,
    )


def _repeated(
    points: Points, p: int, among: np.ndarray
) -> tuple[int, tuple[float, float, float] | None]:
    """How often a point is the choice, and what the choice reaches on test."""
    choices = [choice_without(points, among, k) for k in range(points.test.shape[1])]
    values = [points.test[c, k] for k, c in enumerate(choices) if c >= 0]
    if len(values) < 2:
        return choices.count(p), None
    mean, low, high = stats.t_interval(values)
    # A choice that changes with the seed left out: as in `small_dense`.
    wider = 1.0 if len(set(choices) - {-1}) < 2 else np.sqrt(2)
    return choices.count(p), (
        mean,
        mean - wider * (mean - low),
        mean + wider * (high - mean),
    )
