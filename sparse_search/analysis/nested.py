"""Nested models of the whole map: weights, + structure, + interaction; held-out R².

A line in log2 nnz, then one mean a budget (any curve: what a line misses is no merit of
structure), then + structure, then + interaction (one mean a cell). Each seed is
predicted from the other seeds, so that a model with more terms does not win by fitting
noise. Every model is least squares on the cells' means, each cell with one weight.
"""

from typing import Any, NamedTuple

import numpy as np

from sparse_search.analysis import stats
from sparse_search.analysis.cells import Cells

MODELS = ("line in log2 nnz", "mean a budget", "+ structure", "+ interaction")
FEWEST_SEEDS = 3
"""Intervals over two seeds do not cover (simulated: 55 to 95 % in place of 95 %)."""
UNKNOWN = {"value": np.nan, "low": np.nan, "high": np.nan}

# Below this part of the variance there is only rounding.
_ROUNDING = 1e-12


class Table(NamedTuple):
    """C cells with K seeds."""

    y: np.ndarray  # (C, K) about the grand mean, NaN where missing
    budget: np.ndarray  # (C,) index
    structure: np.ndarray  # (C,) index
    doublings: np.ndarray  # (C,) log2 nnz


class Bases(NamedTuple):
    """Orthonormal columns [C, any] of the nested models; each holds the constant."""

    constant: np.ndarray
    line: np.ndarray
    budget: np.ndarray
    structure: np.ndarray
    inside: np.ndarray  # what budgets add to structures


def read(cells: Cells) -> tuple[Table, int]:
    """The cells with two seeds, or where there are none, those with one."""
    counts = np.isfinite(cells.test).sum(axis=2)
    used = counts >= min(2, counts.max(initial=0))
    used &= counts > 0
    structure, budget = np.nonzero(used)
    y = cells.test[structure, budget]
    y = y[:, np.isfinite(y).any(axis=0)] if y.size else y
    if y.size:
        y = y - np.nanmean(y)
    table = Table(y, budget, structure, np.log2(cells.nnz[budget]))
    return table, int(((counts > 0) & ~used).sum())


def _columns(groups: np.ndarray) -> np.ndarray:
    """(C, G) orthonormal indicators of groups."""
    names, index, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    columns = np.zeros((len(groups), len(names)))
    columns[np.arange(len(groups)), index] = 1 / np.sqrt(sizes[index])
    return columns


def bases_of(table: Table) -> Bases:
    """The nested models of a table."""
    constant = _columns(np.zeros(len(table.budget)))
    budget, structure = _columns(table.budget), _columns(table.structure)
    inside = budget - structure @ (structure.T @ budget)
    # Budgets are few: their small matrix gives the directions that are left.
    values, vectors = np.linalg.eigh(inside.T @ inside)
    kept = values > 1e-9
    inside = inside @ (vectors[:, kept] / np.sqrt(values[kept]))
    slope = table.doublings - table.doublings.mean() if len(budget) else np.zeros(0)
    length = np.linalg.norm(slope)
    line = constant if length == 0 else np.column_stack([constant, slope / length])
    return Bases(constant, line, budget, structure, inside)


def _fit(basis: np.ndarray, means: np.ndarray) -> np.ndarray:
    return basis @ (basis.T @ means)


def without_each_seed(y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(C, K) means and (C, K) counts of the cells without each seed in turn."""
    there = np.isfinite(y)
    counts = there.sum(axis=1, keepdims=True) - there
    total = np.nansum(y, axis=1, keepdims=True) - np.nan_to_num(y)
    return total / np.maximum(counts, 1), counts


def held_out(table: Table, bases: Bases) -> list[dict[str, Any]]:
    """Held-out R² of every model: each seed predicted from the others."""
    y = table.y
    if not (np.isfinite(y).sum(axis=1) > 1).any():
        return [{"model": m, "held_out_r2": UNKNOWN, "removes": None} for m in MODELS]
    means, _ = without_each_seed(y)
    predictions = (
        _fit(bases.constant, means),
        _fit(bases.line, means),
        _fit(bases.budget, means),
        _fit(bases.structure, means) + _fit(bases.inside, means),
        means,
    )
    errors = [np.nansum((y - p) ** 2, axis=0) for p in predictions]
    errors = np.maximum(errors, _ROUNDING * errors[0])
    return [
        {
            "model": name,
            "held_out_r2": _removed(errors[0], errors[index]),
            "removes": _removed(errors[index - 1], errors[index])
            if index > 1
            else None,
        }
        for index, name in enumerate(MODELS, start=1)
    ]


def _removed(before: np.ndarray, after: np.ndarray) -> dict[str, float]:
    """1 − after / before, with a t interval over seeds on the log of the ratio.

    Seeds are predicted from nearly the same others, so their errors are alike: the
    variance is that of Nadeau and Bengio (2003, Machine Learning 52, section 3), with
    which 3 to 5 simulated seeds cover 91 to 99 %; without it, 84 to 98 %.
    """
    used = before > 0
    before, after = before[used], after[used]
    if len(before) == 0:
        return UNKNOWN
    centre, half = np.log(after.sum() / before.sum()), np.nan
    if (seeds := len(before)) >= FEWEST_SEEDS:
        deviation = np.log(after / before).std(ddof=1)
        half = stats.t_quantile(seeds - 1) * deviation
        half *= np.sqrt(1 / seeds + 1 / (seeds - 1))
    ends = (centre, centre + half, centre - half)
    value, low, high = (float(1 - np.exp(end)) for end in ends)
    return {"value": value, "low": low, "high": high}
