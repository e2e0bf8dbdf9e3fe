"""The claim of Sun et al.: is the lead larger where weights decide?

The lead is large-sparse − small-dense at equal nnz (`small_dense`), its mean taken over
the weight-dominated budgets and over the others. The interval of a mean or of a
difference has the root of the squared half widths (MOVER; Zou and Donner 2008,
Statistics in Medicine 27): networks of different budgets are trained on their own, and
classes are taken as known. Over several budgets it is rather too wide (simulated: it
covers at 94 to 100 %, docs/coverage.md).
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any

from sparse_search.analysis import classes

_Lead = dict[str, Any]


def claim(
    budgets: Iterable[Mapping[str, Any]], rows: Iterable[Mapping[str, Any]]
) -> dict[str, _Lead | None]:
    """The mean lead where weights decide, elsewhere, and how much larger it is there.

    Args:
        budgets: of a region map, with their classes; undetermined ones are left out.
        rows: of `small_dense.compare`; those without an interval are left out.

    Returns:
        `weight_dominated` and `elsewhere`: `budgets`, `difference`, `low` and `high` in
        units of the metric (for a loss, negative is better); `contrast`, the first
        less the second. None where there is no such budget, or no two to compare.
    """
    named = {budget["nnz"]: budget["class"] for budget in budgets}
    sides: dict[bool, list[Mapping[str, Any]]] = {True: [], False: []}
    for row in rows:
        name = named.get(row["nnz"], classes.UNDETERMINED)
        if name != classes.UNDETERMINED and math.isfinite(row["high"]):
            sides[name == classes.WEIGHT].append(row)
    there, elsewhere = _mean(sides[True]), _mean(sides[False])
    contrast = None
    if there and elsewhere:
        value = there["difference"] - elsewhere["difference"]
        contrast = _lead(value, math.hypot(_half(there), _half(elsewhere)))
    return {"weight_dominated": there, "elsewhere": elsewhere, "contrast": contrast}


def _mean(rows: list[Mapping[str, Any]]) -> _Lead | None:
    if not rows:
        return None
    count = len(rows)
    mean = sum(row["difference"] for row in rows) / count
    return {"budgets": count, **_lead(mean, math.hypot(*map(_half, rows)) / count)}


def _half(row: Mapping[str, Any]) -> float:
    return (row["high"] - row["low"]) / 2


def _lead(value: float, half: float) -> _Lead:
    return {"difference": value, "low": value - half, "high": value + half}
