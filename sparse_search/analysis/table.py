"""From rows (a row a trial) to arrays: points over seeds, at budgets.

A *point* is one configuration over its seeds. Points of sparse structures and of the
small dense family are kept apart. Budgets whose nnz differ by at most 2 % are one; a
small dense network stands for a budget that it is within 5 % of.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from sparse_search.errors import UserError, one_of
from sparse_search.records import COSTS, SMALL_DENSE

SAME_BUDGET = 1.02
SMALL_DENSE_BUDGET = 1 / (1 - 0.05)
"""Widths are whole numbers, so that small dense is beside the budget it is for."""
_SPAN = 0.5  # doublings between networks that a slope is read off


Shape = tuple[str, Any, Any, float]
"""A structure, its width and depth, and about how many weights it has."""


class Metric(NamedTuple):
    """What a map is drawn for.

    Attributes:
        rises: whether more is better.
        share: whether it lies between 0 and 1, so that differences are in points.
    """

    rises: bool
    share: bool

    @property
    def sign(self) -> float:
        """The metric times this is such that more is better."""
        return 1.0 if self.rises else -1.0


METRICS = {
    "accuracy": Metric(rises=True, share=True),
    "error": Metric(rises=False, share=True),
    "loss": Metric(rises=False, share=False),
}
OTHER_COSTS = tuple(cost for cost in COSTS if cost != "nnz")
_READ_COSTS = (*OTHER_COSTS, "inference_flops")


@dataclass(frozen=True)
class Points:
    """Some configurations, each at one budget, over K seeds (NaN where missing)."""

    names: list[str]
    structures: list[str]
    methods: list[str]
    budget: np.ndarray  # (P,) index into the nnz of its family
    nnz: np.ndarray  # (P,) its own, exact
    density: np.ndarray  # (P,)
    shapes: list[tuple[Any, Any]]  # width and depth
    learning_rate: np.ndarray  # (P,)
    costs: dict[str, np.ndarray]  # (P, K) log2 of `OTHER_COSTS`, inference_flops, …
    valid: np.ndarray  # (P, K) more is better
    test: np.ndarray  # (P, K) the metric as it is
    collapsed: np.ndarray  # (P, K) bool

    def at(self, budget: int) -> np.ndarray:
        """The indices of the points at one budget."""
        return np.flatnonzero(self.budget == budget)


@dataclass(frozen=True)
class Trials:
    """A table of trials of one metric, with its budgets."""

    metric: str
    seeds: list[int]
    nnz: np.ndarray  # (B,) the budgets of the sparse structures
    sparse: Points
    excluded: list[Counter[str]]  # (B) trials without metrics, by sparse structure
    without_metrics: int  # trials of any structure that diverged or failed
    dense_nnz: np.ndarray  # (D,) budgets of small dense, equal to `nnz` where matched
    dense: Points
    tried: dict[Shape, set[float]]  # learning rates, with those that diverged
    chosen_on: str  # "validation", or "test" in a table that has no validation metric


def number(row: Mapping[str, Any], key: str) -> float:
    """A number of a row, NaN where it is missing."""
    value = row.get(key)
    return math.nan if value is None or value == "" else float(value)


def _usable(row: Mapping[str, Any], metric: str) -> bool:
    status = row.get("status") or "done"
    finite = math.isfinite(number(row, f"test_{metric}"))
    return finite and status in ("done", "collapsed")


def merge_budgets(nnz: Iterable[float], within: float = SAME_BUDGET) -> np.ndarray:
    """The budgets among many nnz: runs that span a factor `within` are one.

    A budget is named by its most frequent nnz.
    """
    counts = Counter(nnz)
    groups: list[list[float]] = []
    for value in sorted(counts):
        if groups and value <= groups[-1][0] * within:
            groups[-1].append(value)
        else:
            groups.append([value])
    return np.array([max(g, key=lambda v: (counts[v], -v)) for g in groups], float)


def nearest(budgets: np.ndarray, nnz: float, within: float = SAME_BUDGET) -> int | None:
    """The index of the budget nearest to `nnz`, or None if none is within a factor."""
    if len(budgets) == 0:
        return None
    index = int(np.argmin(np.abs(np.log(budgets / nnz))))
    ratio = budgets[index] / nnz
    return index if max(ratio, 1 / ratio) <= within else None


def _dense_budgets(nnz: np.ndarray, dense_rows: Sequence[Mapping]) -> np.ndarray:
    matched, others = set(), []
    for row in dense_rows:
        index = nearest(nnz, row["nnz"], SMALL_DENSE_BUDGET)
        if index is None:
            others.append(row["nnz"])
        else:
            matched.add(float(nnz[index]))
    # Most lie up to 2 % on either side of the budget they were for.
    return np.array(sorted(matched | set(merge_budgets(others, SAME_BUDGET**2))))


def _dense_index(nnz: np.ndarray, dense_nnz: np.ndarray, weights: float) -> int:
    """Which of `dense_nnz` it is: the budget that it stands for, or else its own."""
    index = nearest(nnz, weights, SMALL_DENSE_BUDGET)
    return _index_of(dense_nnz, weights if index is None else nnz[index])


def _index_of(budgets: np.ndarray, nnz: float) -> int:
    return int(np.argmin(np.abs(np.log(budgets / nnz))))


def _points(
    rows: Sequence[Mapping],
    budgets: Sequence[int],
    seeds: list[int],
    metric: str,
    more: Sequence[str],
) -> Points:
    groups: dict[tuple, list[Mapping]] = defaultdict(list)
    for row, budget in zip(rows, budgets, strict=True):
        name = row.get("point")
        if not name:
            name = f"{row['structure']} {row.get('learning_rate')}"
            # Of small dense networks the structure does not say which.
            name += f" {row['nnz']}" if row["structure"] == SMALL_DENSE else ""
        groups[row["structure"], str(name), budget].append(row)
    sign = METRICS[metric].sign
    column = {seed: k for k, seed in enumerate(seeds)}
    shape = (len(groups), len(seeds))
    valid, test = np.full(shape, np.nan), np.full(shape, np.nan)
    collapsed = np.zeros(shape, bool)
    costs = {cost: np.full(shape, np.nan) for cost in (*_READ_COSTS, *more)}
    for p, group in enumerate(groups.values()):
        for row in group:
            k = column[row["seed"]]
            valid[p, k] = sign * number(row, f"valid_{metric}")
            test[p, k] = number(row, f"test_{metric}")
            collapsed[p, k] = row.get("status") == "collapsed"
            for cost, values in costs.items():
                amount = number(row, cost)
                values[p, k] = math.log2(amount) if amount > 0 else math.nan
    first = [group[0] for group in groups.values()]
    return Points(
        names=[key[1] for key in groups],
        structures=[key[0] for key in groups],
        methods=[str(row.get("method") or row["structure"]) for row in first],
        budget=np.array([key[2] for key in groups], int),
        nnz=np.array([row["nnz"] for row in first], float),
        density=np.array([number(row, "density") for row in first], float),
        shapes=[(row.get("width"), row.get("depth")) for row in first],
        learning_rate=np.array([number(row, "learning_rate") for row in first], float),
        costs=costs,
        valid=valid,
        test=test,
        collapsed=collapsed,
    )


def read_trials(
    rows: Iterable[Mapping[str, Any]], metric: str, more: Sequence[str] = ()
) -> Trials:
    """Sorts the rows of a table into points and budgets.

    Args:
        rows: a row a trial, with the keys of `records.COLUMNS`; those that have a
            parent are left out.
        metric: one of `METRICS`: compared on test, chosen on validation.
        more: columns with costs, besides those that all records have.

    Raises:
        UserError: an unknown metric, or a row without nnz, structure or seed.
    """
    if metric not in METRICS:
        raise one_of("metric", metric, METRICS)
    # What began with another's weights was trained for longer than the others.
    rows = [row for row in rows if not row.get("parent")]
    for i, row in enumerate(rows):
        for key in ("nnz", "structure", "seed"):
            # `!=` with itself: NaN, which pandas writes for a missing value.
            if row.get(key) is None or row[key] != row[key] or row[key] == "":
                raise UserError(f"row {i + 1} of the table has no {key!r}")
        if not number(row, "nnz") > 0:
            raise UserError(f"row {i + 1} of the table has nnz {row['nnz']}, not > 0")
    usable = [row for row in rows if _usable(row, metric)]
    sparse = [row for row in usable if row["structure"] != SMALL_DENSE]
    dense = [row for row in usable if row["structure"] == SMALL_DENSE]
    nnz = merge_budgets(row["nnz"] for row in sparse)
    dense_nnz = _dense_budgets(nnz, dense)
    seeds = sorted({row["seed"] for row in usable})
    excluded: list[Counter[str]] = [Counter() for _ in nnz]
    tried: dict[Shape, set[float]] = defaultdict(set)

    def index_of(row: Mapping) -> int:
        if row["structure"] == SMALL_DENSE:
            return _dense_index(nnz, dense_nnz, row["nnz"])
        return _index_of(nnz, row["nnz"])

    for row in rows:
        index = nearest(nnz, row["nnz"])
        if index is not None and not _usable(row, metric):
            excluded[index][row["structure"]] += 1
        own = dense_nnz if row["structure"] == SMALL_DENSE else nnz
        if len(own) and math.isfinite(rate := number(row, "learning_rate")):
            weights = float(own[index_of(row)])
            shape = (row["structure"], row.get("width"), row.get("depth"), weights)
            tried[shape].add(rate)
    sparse_points = _points(sparse, list(map(index_of, sparse)), seeds, metric, more)
    dense_points = _points(dense, list(map(index_of, dense)), seeds, metric, more)
    chosen_on = "validation"
    if not any(math.isfinite(number(row, f"valid_{metric}")) for row in usable):
        # Somebody else's table: cross-fitting over seeds still keeps choices honest.
        sign = METRICS[metric].sign
        sparse_points = replace(sparse_points, valid=sign * sparse_points.test)
        dense_points = replace(dense_points, valid=sign * dense_points.test)
        chosen_on = "test"
    return Trials(
        metric=metric,
        seeds=seeds,
        nnz=nnz,
        sparse=sparse_points,
        excluded=excluded,
        without_metrics=len(rows) - len(usable),
        dense_nnz=dense_nnz,
        dense=dense_points,
        tried=dict(tried),
        chosen_on=chosen_on,
    )


def best(points: Points, among: np.ndarray, seeds: np.ndarray | None = None) -> int:
    """The point with the best mean validation metric.

    Points with fewer usable seeds than others (some diverged) come last, so that a
    configuration that trains only sometimes is not chosen for its lucky seed.

    Args:
        points: the points to choose from.
        among: (n,) indices of the candidates, at least one.
        seeds: (K,) bool, the seeds that the choice may look at; all by default.
    """
    valid = points.valid[among]
    if seeds is not None:
        valid = valid[:, seeds]
    counts = np.isfinite(valid).sum(axis=1)
    means = np.nansum(valid, axis=1) / np.maximum(counts, 1)
    return int(among[np.argmax(np.where(counts == counts.max(), means, -np.inf))])


def together(first: Points, second: Points) -> Points:
    """The points of two families, whose budgets are then told by their nnz alone."""
    return Points(
        names=first.names + second.names,
        structures=first.structures + second.structures,
        methods=first.methods + second.methods,
        budget=np.concatenate([first.budget, second.budget]),
        nnz=np.concatenate([first.nnz, second.nnz]),
        density=np.concatenate([first.density, second.density]),
        shapes=first.shapes + second.shapes,
        learning_rate=np.concatenate([first.learning_rate, second.learning_rate]),
        costs={
            cost: np.concatenate([values, second.costs[cost]])
            for cost, values in first.costs.items()
        },
        valid=np.concatenate([first.valid, second.valid]),
        test=np.concatenate([first.test, second.test]),
        collapsed=np.concatenate([first.collapsed, second.collapsed]),
    )


def at_budgets(trials: Trials) -> Trials:
    """The table as if every network had exactly the nnz of its budget.

    Budgets are matched within a few percent; what a network has more or less is worth
    is read off the curve of the best of its family (on validation) and taken away.
    """
    return replace(
        trials,
        sparse=_moved(trials.sparse, trials.nnz, METRICS[trials.metric]),
        dense=_moved(trials.dense, trials.dense_nnz, METRICS[trials.metric]),
    )


def _apart(chosen: list[int], sizes: np.ndarray) -> list[int]:
    """Of points in the order of their sizes those that are not too near to another."""
    kept: list[int] = []
    for p in chosen:
        if not kept or sizes[p] - sizes[kept[-1]] >= _SPAN:
            kept.append(p)
    if len(kept) == 1 and sizes[chosen[-1]] > sizes[kept[0]]:
        kept.append(chosen[-1])
    return kept


def _moved(points: Points, nnz: np.ndarray, metric: Metric) -> Points:
    wanted = nnz[points.budget]
    if np.array_equal(points.nnz, wanted):
        return points
    chosen = []
    for b in range(len(nnz)):
        among = points.at(b)
        among = among[~points.collapsed[among].any(axis=1)]
        if len(among):
            chosen.append(best(points, among))
    chosen = _apart(chosen, np.log2(points.nnz))
    sizes = np.log2(points.nnz[chosen])
    if len(sizes) < 2:
        return points  # nothing to read a slope off
    slopes = np.gradient(np.nanmean(points.test[chosen], axis=1), sizes)
    slope = np.interp(np.log2(points.nnz), sizes, slopes)
    shift = (slope * np.log2(wanted / points.nnz))[:, None]
    return replace(
        points,
        nnz=wanted,
        test=points.test + shift,
        valid=points.valid + metric.sign * shift,
    )
