"""Which classes hang on a convention, on one structure, or on one method.

R = 1 as the border, the scale of the metric, and the structures that happen to have
been sampled are choices. Every decided class is computed again with each of them
changed; one that flips is fragile.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from sparse_search.analysis import classes
from sparse_search.analysis.cells import Cells
from sparse_search.analysis.effects import (
    Effects,
    Summary,
    effects,
    summarise,
)
from sparse_search.analysis.gains import DenseCurve, gains
from sparse_search.analysis.layout import fit_two_way
from sparse_search.analysis.shifts import Noise
from sparse_search.analysis.table import METRICS


def fragile_because(
    cells: Cells,
    metric: str,
    curve: DenseCurve | None,
    decided: list[Effects],
    summaries: list[Summary],
    named: list[str],
) -> list[list[str]]:
    """For every budget, the changes under which its class flips.

    A class flips when it becomes another one, or when it is lost with the estimate of
    R on the other side; merely wider intervals, from fewer structures, do not count.
    An undetermined budget claims nothing that could flip.

    Args:
        cells: the table.
        metric: its metric.
        curve: the small-dense reference, for the scale of gains.
        decided: the effects of every budget.
        summaries: of every budget.
        named: the class of every budget.
    """
    reasons: list[list[str]] = [[] for _ in named]
    for threshold, label in ((0.5, "R threshold 1/2"), (2.0, "R threshold 2")):
        others = classes.classify_all(decided, summaries, threshold)
        for b, name in enumerate(named):
            if name not in (classes.WEIGHT, classes.STRUCTURE):
                continue  # balanced is defined by the thresholds' range, around 1
            if _flips(name, others[b], decided[b].dominance.value, threshold):
                reasons[b].append(label)
    ask = {
        float(nnz): b
        for b, nnz in enumerate(cells.nnz)
        if named[b] != classes.UNDETERMINED
    }
    if not ask:
        return reasons
    for label, nnz, changed in _alternatives(cells, metric, curve):
        found = [effects(summary) for summary in changed]
        others = classes.classify_all(found, changed)
        for i, other in enumerate(others):
            b = ask.get(float(nnz[i]))
            if b is None:
                continue
            if label == "gain units" and named[b] == classes.SATURATED:
                continue  # on a flat reference gains are noise
            if _flips(named[b], other, found[i].dominance.value, 1.0):
                reasons[b].append(label)
    return reasons


def _flips(name: str, other: str, dominance: float, threshold: float) -> bool:
    if other != classes.UNDETERMINED or name == other:
        return other != name
    if name == classes.WEIGHT:
        return dominance < threshold
    if name == classes.STRUCTURE:
        return dominance > threshold
    if name == classes.BALANCED:
        return dominance < 0.5 or dominance > 2
    return False


def _alternatives(
    cells: Cells, metric: str, curve: DenseCurve | None
) -> Iterator[tuple[str, np.ndarray, list[Summary]]]:
    scaled = other_scale(cells, metric)
    if scaled is not None:
        label = "logit scale" if METRICS[metric].share else "log scale"
        yield label, cells.nnz, summarise(scaled)
    if curve is not None:
        yield "gain units", *_in_gains(cells, curve)
    count = len(cells.structures)
    if count > 2:
        for i, name in enumerate(cells.structures):
            rest = cells.keep(j for j in range(count) if j != i)
            yield f"without {name}", rest.nnz, summarise(rest)
    methods = sorted(set(cells.methods))
    for method in methods if len(methods) > 1 else []:
        keep = [j for j, name in enumerate(cells.methods) if name != method]
        if len(keep) > 1:
            rest = cells.keep(keep)
            yield f"without method {method}", rest.nnz, summarise(rest)


def other_scale(cells: Cells, metric: str) -> Cells | None:
    """The logit of a share, the log of a loss; None where that is undefined."""
    values = cells.test
    there = values[np.isfinite(values)]
    if not there.size:
        return None
    if METRICS[metric].share:
        if there.min() < 0 or there.max() > 1:
            return None
        # All right or all wrong is taken as half of the least error there is.
        inner = np.minimum(there, 1 - there)
        edge = 0.5 * inner[inner > 0].min(initial=0.01)
        values = np.clip(values, edge, 1 - edge)
        return replace(cells, test=np.log(values / (1 - values)))
    if there.min() <= 0:
        return None
    return replace(cells, test=np.log(values))


def _in_gains(cells: Cells, curve: DenseCurve) -> tuple[np.ndarray, list[Summary]]:
    """Summaries in doublings, where the weight effect is 1 without error.

    Only budgets at which no structure is off the small-dense curve.
    """
    values, censored = gains(cells, curve)
    use = np.flatnonzero(~(censored != 0).any(axis=0))
    summaries = []
    for b, summary in enumerate(summarise(replace(cells, test=values))):
        level = fit_two_way(values[:, b])
        if b in use and level is not None:
            summaries.append(replace(summary, slope=1.0, slope_noise=Noise(0.0, 1)))
    return cells.nnz[use], summaries
