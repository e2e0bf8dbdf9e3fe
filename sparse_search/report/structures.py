"""What the best networks look like: their layers, their degrees, and their seeds."""

import html
import json
from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from sparse_search import records, results
from sparse_search.analysis import stats
from sparse_search.names import natural
from sparse_search.report.page_tables import number, table
from sparse_search.report.workdir import Workdir

if TYPE_CHECKING:
    from sparse_search.analysis.structure import Layer, Overlap
    from sparse_search.analysis.table import Trials

_SEEDS = 5  # whose networks are looked at; so many less one pairs
_METHODS = 4  # in the figure


class Structure(NamedTuple):
    """The best structure of a method at a budget, by validation, over its seeds.

    Attributes:
        method: the algorithm.
        nnz: the budget.
        name: of the structure.
        trials: the names of its trials that were looked at.
        layers: the names of its sparse layers.
        seeds: for every trial, the statistics of every layer.
        overlaps: of trials that follow each other.
        parameters: of the first of these trials; None where that is not known.
        effective: part of the parameters on a path from an input to an output, a mean
            over seeds; NaN where it is not known.
    """

    method: str
    nnz: int
    name: str
    trials: list[str]
    layers: list[str]
    seeds: "list[list[Layer]]"
    overlaps: "list[Overlap]"
    parameters: int | None
    effective: float

    def mean(self, of: str) -> list[float]:
        """A number of every layer, its mean over seeds.

        Args:
            of: "density", or the spread of "fan_in" or "fan_out": sd / mean.
        """
        values = [
            [layer.density if of == "density" else _spread(getattr(layer, of))]
            for seed in self.seeds
            for layer in seed
        ]
        shape = len(self.seeds), len(self.layers)
        return np.array(values).reshape(shape).mean(axis=0).tolist()


def _spread(degrees: np.ndarray) -> float:
    return float(degrees.std() / max(degrees.mean(), 1e-12))


def structures(run: Workdir, trials: "Trials") -> list[Structure]:
    """The best structures of every method at every budget that have results.

    Args:
        run: a workdir; its `results/` hold the networks.
        trials: its trials, as `table.read_trials` gives them.
    """
    from sparse_search.analysis.table import best

    if not (run.path / "results").is_dir():
        return []
    points = trials.sparse
    places: dict[tuple[str, int], list[int]] = defaultdict(list)
    for p, method in enumerate(points.methods):
        if method != "dense":
            places[method, int(points.budget[p])].append(p)
    rows_of: dict[tuple[str, str], list[records.Record]] = defaultdict(list)
    for row in run.trials:
        rows_of[row["structure"], str(row["point"])].append(row)
    found = []
    for (method, budget), among in sorted(places.items()):
        chosen = best(points, np.array(among))
        nnz = int(trials.nnz[budget])
        rows = rows_of[points.structures[chosen], points.names[chosen]]
        files = {row["trial"]: results.file(run.path, row["trial"]) for row in rows}
        there = [name for name, file in files.items() if file.is_file()][:_SEEDS]
        if there:
            found.append(_structure(run.path, method, nnz, rows, there))
    return found


def _structure(
    workdir: Path, method: str, nnz: int, rows: list[records.Record], names: list[str]
) -> Structure:
    from sparse_search.analysis.structure import layer, overlap

    networks = []
    for name in names:
        result = results.load(results.file(workdir, name))
        kernels = [key for key in result.params if key.endswith("/kernel")]
        kernels.sort(key=natural)
        networks.append({key: results.stored(result, key) for key in kernels})
    arrays = [
        list(network.values())
        for network in networks
        if all(isinstance(mask, np.ndarray) for mask in network.values())
    ]
    effective = [
        row["effective_parameters"] / row["parameters"]
        for row in rows
        if row.get("effective_parameters") is not None and row.get("parameters")
    ]
    return Structure(
        method=method,
        nnz=nnz,
        name=str(rows[0]["structure"]),
        trials=names,
        layers=list(networks[0]),
        seeds=[[layer(mask) for mask in network.values()] for network in networks],
        overlaps=[overlap(one, other) for one, other in pairwise(arrays)],
        parameters=next(r for r in rows if r["trial"] == names[0]).get("parameters"),
        effective=float(np.mean(effective)) if effective else np.nan,
    )


def structures_table(found: Sequence[Structure]) -> str:
    """A line a method and budget (HTML)."""
    rows = []
    for one in found:
        pairs = np.array(one.overlaps or [[np.nan] * 4])
        rows.append(
            [
                html.escape(one.method),
                html.escape(one.name),
                f"{one.nnz:,.0f}",
                _layers(one.mean("density"), 100),
                _layers(one.mean("fan_in"), 1),
                _layers(one.mean("fan_out"), 1),
                _known(one.effective),
                _beside(pairs[:, 0], pairs[:, 1]),
                _beside(pairs[:, 2], pairs[:, 3]),
            ]
        )
    heads = (
        *("method", "best structure (on validation)", "nnz"),
        *("density of its layers, %", "spread of fan-in", "spread of fan-out"),
        *("effective parameters, %", "overlap of seeds, % (chance)"),
        "in the best order of neurons",
    )
    return table(heads, rows, text=2)


def _layers(values: Sequence[float], times: float) -> str:
    return " · ".join(f"{times * value:.3g}" for value in values)


def _known(value: float) -> str:
    return number(None if np.isnan(value) else float(value), 100)


def _beside(shared: np.ndarray, chance: np.ndarray) -> str:
    """What pairs of seeds share, its 95 % interval, and what random masks do."""
    mean, low, high = stats.t_interval(100 * shared)
    if np.isnan(mean):
        return "–"
    ends = ""
    if len(shared) > 1:
        # Pairs that follow each other have a seed in common: if that correlates them
        # by a half, which is the most, the mean of many varies twice as much.
        half = np.sqrt(2) * (high - mean)
        ends = f" <small>[{max(mean - half, 0.0):.1f}, {min(mean + half, 100):.1f}]"
        ends += "</small>"
    return f"{mean:.1f}{ends} <small>({100 * chance.mean():.1f})</small>"


def rounds_of(workdir: Path, found: Sequence[Structure]) -> dict[str, list[Any]]:
    """The rounds of one trial of each structure, in order, by the trial's name."""
    wanted = {one.trials[0] for one in found}
    rounds: dict[str, dict[int, Any]] = defaultdict(dict)
    lines, _ = records.read_lines(workdir / "rounds.jsonl")
    for line in lines:
        match = records.ROUND_LINE.match(line)
        if match and match[1].decode() in wanted:
            record = json.loads(line)
            rounds[record["trial"]][record["round"]] = record
    return {name: [by[n] for n in sorted(by)] for name, by in rounds.items()}


def shown(found: Sequence[Structure]) -> list[Structure]:
    """What the figure shows: the methods at the budget in the middle of all."""
    budgets = sorted({one.nnz for one in found})
    if not budgets:
        return []
    middle = budgets[(len(budgets) - 1) // 2]
    return [one for one in found if one.nnz == middle][:_METHODS]
