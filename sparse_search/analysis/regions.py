"""The region map: where weights decide, and where structure does.

At every budget the trials give two effects: what a doubling of the weights is worth
(`effects`: w) and how far apart structures are at the same weights (sigma). Their
ratio R with its interval names the region (`classes`), R = 1 is the boundary
(`boundaries`), and a class that hangs on a convention or on one structure is fragile
(`fragile`). Small-dense enters none of these: the difference to it (`small_dense`) is
the claim that the regions are held against (Sun et al. 2020, arXiv:2004.11946; the
definitions are DESIGN.md's, "Regions").
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from sparse_search.analysis import classes
from sparse_search.analysis.boundaries import boundaries
from sparse_search.analysis.cells import Cells, sparse_cells
from sparse_search.analysis.claim import claim
from sparse_search.analysis.decomposition import decompose
from sparse_search.analysis.effects import (
    Effects,
    Interval,
    Summary,
    effects,
    random_effects,
    summarise,
)
from sparse_search.analysis.equal_cost import at_equal_costs, disagreements
from sparse_search.analysis.fragile import fragile_because, other_scale
from sparse_search.analysis.gains import DenseCurve, dense_curve
from sparse_search.analysis.population import population
from sparse_search.analysis.rates import at_ends
from sparse_search.analysis.small_dense import compare
from sparse_search.analysis.table import Trials, at_budgets, read_trials


def region_map(
    rows: Iterable[Mapping[str, Any]], metric: str = "accuracy", task: str = ""
) -> dict[str, Any]:
    """The region map of a table of trials, ready for JSON.

    Args:
        rows: a row a trial, with the keys of `records.COLUMNS`.
        metric: one of `METRICS`: final test values, choices made on validation.
        task: what was trained on, for the reader.

    Returns:
        The contents of `regions.json`: `task`, `metric`, `budgets`, `boundaries`,
        `by_method`, `large_sparse_vs_small_dense` (at equal nnz), `claim` (its means
        where weights decide and elsewhere), `at_equal_cost` and `disagreements`
        (between these comparisons), `population`, `learning_rates_at_ends`,
        `decomposition`; also
        `without_collapsed` (the same budgets without collapsed trials; null if there
        are none), `chosen_on`, and `excluded`, the trials that have no metrics.
        Unbounded limits and unknown values are None.

    Raises:
        UserError: an unknown metric, or a row without nnz, structure or seed.
    """
    return map_of(read_trials(rows, metric), task)


def map_of(trials: Trials, task: str = "") -> dict[str, Any]:
    """The region map of trials that are read already; see `region_map`."""
    level = at_budgets(trials)
    cells = sparse_cells(level)
    curve = dense_curve(trials)  # each network at its own nnz
    without = None
    if cells.collapsed.any():
        without = _map(cells.without_collapsed(), trials, curve)
    summaries = summarise(cells)
    against_dense = compare(level, cells, summaries, curve)
    at_costs = at_equal_costs(trials, summaries)
    found = _map(cells, trials, curve)
    result = {
        "task": task,
        "metric": f"test_{trials.metric}",
        **found,
        "by_method": {
            method: _map(cells.of_method(method), trials, curve)
            for method in dict.fromkeys(cells.methods)
        },
        "large_sparse_vs_small_dense": against_dense,
        "claim": claim(found["budgets"], against_dense),
        "at_equal_cost": at_costs,
        "disagreements": disagreements(against_dense, at_costs, trials.metric),
        "population": population(level, cells, summaries),
        "learning_rates_at_ends": at_ends(level),
        "without_collapsed": without,
        "chosen_on": trials.chosen_on,
        "excluded": trials.without_metrics,
    }
    return _plain(result)


def first_classes(
    rows: Iterable[Mapping[str, Any]], metric: str = "accuracy"
) -> dict[int, str]:
    """The class of every budget by its nnz, without all else that a map says of it.

    Args:
        rows: as for `region_map`.
        metric: likewise.
    """
    cells = sparse_cells(at_budgets(read_trials(rows, metric)))
    *_, named = _classify(cells)
    return dict(zip(map(int, cells.nnz), named, strict=True))


def _classify(
    cells: Cells,
) -> tuple[list[Summary], list[Effects], np.ndarray, list[str]]:
    """Effects -> dominance -> class, for one set of structures."""
    summaries = summarise(cells)
    found = [effects(s) for s in summaries]
    significant = classes.significant_structures(summaries)
    return summaries, found, significant, classes.classify_all(found, summaries)


def _map(cells: Cells, trials: Trials, curve: DenseCurve | None) -> dict[str, Any]:
    """What is said of every budget, for one set of structures."""
    summaries, found, significant, named = _classify(cells)
    scaled = other_scale(cells, trials.metric)
    elsewhere = [None] * len(named) if scaled is None else _classify(scaled)[-1]
    reasons = fragile_because(cells, trials.metric, curve, found, summaries, named)
    budgets = []
    for b, (s, effect) in enumerate(zip(summaries, found, strict=True)):
        undetermined = named[b] == classes.UNDETERMINED
        budgets.append(
            {
                "nnz": int(cells.nnz[b]),
                **_intervals(effect),
                "seed_sd": s.seed_sd,
                "class": named[b],
                "class_on_other_scale": elsewhere[b],
                "fragile": bool(reasons[b]),
                "fragile_because": reasons[b],
                "structures": s.structures,
                "seeds": s.seeds,
                **_counts(trials, cells.nnz[b], set(cells.structures)),
                "needed": classes.needed(s, len(summaries)) if undetermined else None,
                "structures_not_sampled": _intervals(random_effects(s)),
            }
        )
    return {
        "budgets": budgets,
        "boundaries": boundaries(cells.nnz, found, significant),
        "decomposition": decompose(cells),
    }


def _counts(trials: Trials, nnz: float, structures: set[str]) -> dict[str, int]:
    """Trials at one budget, at any learning rate, collapsed or without metrics."""
    budget = int(np.argmin(np.abs(trials.nnz - nnz)))
    points = trials.sparse
    here = [p for p in points.at(budget) if points.structures[p] in structures]
    excluded = sum(trials.excluded[budget][name] for name in structures)
    return {"collapsed": int(points.collapsed[here].sum()), "excluded": excluded}


def _intervals(effect: Effects) -> dict[str, dict[str, float]]:
    names = ("weight_effect", "structure_sd", "dominance")
    pairs = zip(names, effect[: len(names)], strict=True)
    return {name: Interval(*one)._asdict() for name, one in pairs}


def _plain(value: Any) -> Any:
    """The same in JSON's types; what is not finite is None."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        number = float(value)
        if not math.isfinite(number):
            return None
        return number
    return value
