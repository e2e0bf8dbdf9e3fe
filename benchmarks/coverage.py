"""Do the region map's intervals cover, and how often is a class wrong?

    python benchmarks/coverage.py [--repeats=500]

Simulated tables whose truth is known: structures at 5 budgets, each with twice the
weights of the one before, and small dense networks to four times the largest. Of every
table and budget: whether the 95 % intervals of the weight effect, the structure effect,
R, the best large-sparse minus the best small dense network, and its gain in doublings
hold the truth, whether the class is decided (not "undetermined"), and whether it then
contradicts the truth; of every table, whether the mean leads where weights decide and
elsewhere do, and the difference of both. Prints the table of docs/coverage.md.
"""

import argparse
import multiprocessing
import zlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from sparse_search.analysis import classes
from sparse_search.analysis.cells import sparse_cells
from sparse_search.analysis.claim import claim
from sparse_search.analysis.effects import effects, summarise
from sparse_search.analysis.gains import choice_without, dense_curve
from sparse_search.analysis.small_dense import compare
from sparse_search.analysis.table import Trials, read_trials
from sparse_search.records import SMALL_DENSE
from sparse_search.search.strategies.base import Trial, is_reference
from sparse_search.testing.strategies import problem
from sparse_search.testing.worlds import World, contradicts, draw, truths

BUDGETS = (1000, 2000, 4000, 8000, 16000)
WIDTHS = (16, 32, 64, 128)
DENSE = (*BUDGETS, 32000, 64000)
# What the two learning rates of small dense networks are below the mean structure.
BELOW = (0.01, 0.03)
# What `claim` finds, and what it is called.
CLAIMS = {
    "weight_dominated": "lead, weights",
    "elsewhere": "lead, others",
    "contrast": "claim",
}
EFFECTS = ("w", "σ", "R", "difference", "gain", *CLAIMS.values())


class Shape(NamedTuple):
    """How much data a table has.

    Attributes:
        structures: at every budget.
        seeds: of each.
        missing: the part of the trials that have no result.
        unstable: how many times the noise small dense networks have at the smallest
            budgets, the next, and so on; no more than others beyond.
    """

    structures: int = 12
    seeds: int = 5
    missing: float = 0.0
    unstable: tuple[float, ...] = ()


NOISE = {"noise": 0.01, "block": 0.01}
WORLDS = {
    "no effect at all": World(0.0, 0.0, **NOISE),
    "weights alone": World(0.03, 0.0, **NOISE),
    "structure alone": World(0.0, 0.03, **NOISE),
    "R = 4": World(0.04, 0.01, **NOISE),
    "R = 2": World(0.03, 0.015, **NOISE),
    "R = 1": World(0.025, 0.025, **NOISE),
    "R = 1.25": World(0.025, 0.02, **NOISE),
    "R = 0.8": World(0.02, 0.025, **NOISE),
    "R = 1/2": World(0.015, 0.03, **NOISE),
    "R = 1/4": World(0.01, 0.04, **NOISE),
    "R = 2, seeds shift budgets": World(0.03, 0.015, shift=0.01, **NOISE),
    "R = 1/2, seeds shift budgets": World(0.015, 0.03, shift=0.01, **NOISE),
    "R = 2, heavy tails": World(0.03, 0.015, heavy=True, **NOISE),
    "R = 1/2, heavy tails": World(0.015, 0.03, heavy=True, **NOISE),
    "no effect, heavy tails": World(0.0, 0.0, heavy=True, **NOISE),
    "R from 4 to 1/4": World(
        (0.04, 0.03, 0.02, 0.01, 0.005), (0.01,) * 2 + (0.02,) * 3, **NOISE
    ),
}
SHAPES = (Shape(), Shape(5, 5))
# Fewer seeds, and cells that are missing: in fewer worlds.
LESS = (Shape(5, 3), Shape(12, 2), Shape(12, 5, missing=0.2))
# As networks of a few neurons are, which fail with some seeds.
UNSTABLE = tuple(
    Shape(structures, seeds, unstable=(20.0, 5.0))
    for structures, seeds in ((5, 5), (5, 3), (12, 3), (12, 2))
)
OF_UNSTABLE = ("R = 2", "R = 1/2", "R from 4 to 1/4")
OF_LESS = (
    *("no effect at all", "R = 2", "R = 1", "R = 1/2", "R = 2, seeds shift budgets"),
    *("R = 2, heavy tails", "R from 4 to 1/4"),
)


class Counts(NamedTuple):
    """What was seen of some tables.

    Attributes:
        covered: of `EFFECTS`, the intervals that hold the truth.
        known: of each, how many there were.
        decided: budgets that have a class.
        wrong: those of them whose class contradicts the truth.
        budgets: all.
        misleading: tables in which a class is wrong.
    """

    covered: np.ndarray
    known: np.ndarray
    decided: int
    wrong: int
    budgets: int
    misleading: int


def simulate(task: tuple[str, Shape, int]) -> Counts:
    """Some tables of a world."""
    name, shape, repeats = task
    world = WORLDS[name]
    rng = np.random.default_rng(zlib.crc32(f"{name} {shape}".encode()))
    space = problem(
        budgets=BUDGETS,
        widths=WIDTHS,
        methods=("static", "set", "rigl"),
        seeds=shape.seeds,
    )
    sparse = [trial for trial in space.trials if not is_reference(trial)]
    first = list(dict.fromkeys(t.structure for t in sparse))[: shape.structures]
    sparse = [trial for trial in sparse if trial.structure in first]
    space = space._replace(trials=tuple(sparse))
    expected = truths(world, len(BUDGETS))
    covered, known = np.zeros((2, len(EFFECTS)), int)
    decided = wrong = misleading = 0
    for _ in range(repeats):
        # Without noise: what is true of every trial, by structure and budget.
        _, true = draw(world._replace(noise=0.0, block=0.0, shift=0.0), space, rng)
        rows = table(world, shape, sparse, true, rng)
        trials = read_trials(rows, "accuracy")
        cells = sparse_cells(trials)
        summaries = summarise(cells)
        found = [effects(summary) for summary in summaries]
        named = classes.classify_all(found, summaries)
        for effect, truth in zip(found, expected, strict=True):
            ratio = truth.weight / truth.structure if truth.structure else np.inf
            if truth.weight == truth.structure == 0:
                ratio = np.nan  # there is no truth to hold
            values = (truth.weight, truth.structure, ratio)
            for of, one, value in zip(EFFECTS[:3], effect[:3], values, strict=True):
                count(covered, known, of, one.low, one.high, value)
        contradicted = list(map(contradicts, named, expected))
        decided += sum(one != classes.UNDETERMINED for one in named)
        wrong += sum(contradicted)
        misleading += any(contradicted)
        curve, leads = dense_curve(trials), []
        for row in compare(trials, cells, summaries, curve):
            b = BUDGETS.index(row["nnz"])
            best, dense = chosen(trials, b)
            levels = {(row["point"], row["nnz"]): row["true"] for row in rows}
            of_best = np.mean([levels[point] for point in best])
            apart = of_best - np.mean([levels[point] for point in dense])
            leads.append((row, apart))
            if shape.unstable and b >= len(shape.unstable):
                continue  # those that are stable would hide what happens at the others
            count(covered, known, "difference", row["low"], row["high"], apart)
            limits = gain(row["gain"], rows, of_best, BUDGETS[b])
            count(covered, known, "gain", *limits)
        for of, limits in claimed(named, leads):
            count(covered, known, of, *limits)
    budgets = repeats * len(BUDGETS)
    return Counts(covered, known, decided, wrong, budgets, misleading)


def table(
    world: World,
    shape: Shape,
    sparse: Sequence[Trial],
    true: dict[str, float],
    rng: np.random.Generator,
) -> list[dict[str, Any]]:
    """One outcome of all trainings, sparse and small dense, which share their seeds."""
    rows = [
        {
            "structure": trial.structure,
            "point": trial.point,
            "method": trial.method,
            "nnz": trial.nnz,
            "seed": trial.seed,
            "true": true[trial.name],
        }
        for trial in sparse
        if rng.random() >= shape.missing
    ]
    slope = np.broadcast_to(world.slope, len(BUDGETS))
    rise = np.cumsum([0.0, *slope[:-1], slope[-1], slope[-1]])
    rows += [
        {
            "structure": SMALL_DENSE,
            "point": f"dense{below}",
            "method": "dense",
            "nnz": nnz,
            "seed": seed,
            "true": 0.5 + rise[d] - below,
            "times": (*shape.unstable, *(1.0 for _ in DENSE))[d],
        }
        for d, nnz in enumerate(DENSE)
        for below in BELOW
        for seed in range(shape.seeds)
    ]
    each = world.block * rng.normal(size=shape.seeds)
    together = world.shift * rng.normal(size=(len(DENSE), shape.seeds))
    for row in rows:
        heavy = rng.standard_t(3) / 3**0.5 if world.heavy else rng.normal()
        noise = world.noise * row.get("times", 1.0)
        value = row["true"] + noise * heavy + each[row["seed"]]
        value += together[DENSE.index(row["nnz"]), row["seed"]]
        row["test_accuracy"] = value
        row["valid_accuracy"] = value + 0.3 * noise * rng.normal()
    return rows


def chosen(trials: Trials, b: int) -> list[list[tuple[str, int]]]:
    """The sparse and the dense network that each seed's difference is of."""
    places = []
    for points, nnz in ((trials.sparse, trials.nnz), (trials.dense, trials.dense_nnz)):
        among = points.at(b)
        seeds = range(len(trials.seeds))
        at = [choice_without(points, among, k) for k in seeds]
        places.append([(points.names[p], int(nnz[b])) for p in at if p >= 0])
    return places


def claimed(
    named: Sequence[str], leads: Sequence[tuple[dict[str, Any], float]]
) -> Iterator[tuple[str, tuple[float, float, float]]]:
    """Of `claim`: which of `EFFECTS` it is, its limits, and the truth."""
    budgets = [
        {"nnz": nnz, "class": name} for nnz, name in zip(BUDGETS, named, strict=True)
    ]
    # The same means, of what is true: budgets and limits decide which they are of.
    true = [row | {"difference": apart} for row, apart in leads]
    found, truth = claim(budgets, [row for row, _ in leads]), claim(budgets, true)
    for name, lead in found.items():
        if lead is not None:
            value = truth[name]["difference"]
            yield CLAIMS[name], (lead["low"], lead["high"], value)


def gain(
    found: dict[str, Any], rows: Sequence[dict[str, Any]], wanted: float, nnz: int
) -> tuple[float, float, float]:
    """The limits of a gain, and how many doublings small dense truly needs."""
    reached = {
        row["nnz"]: row["true"] for row in rows if row["point"] == f"dense{BELOW[0]}"
    }
    curve = np.array([reached[nnz] for nnz in DENSE])
    value = np.nan
    if (np.diff(curve) > 0).all() and curve[0] <= wanted <= curve[-1]:
        value = float(np.interp(wanted, curve, np.log2(DENSE)) - np.log2(nnz))
    low, high = found["low"], found["high"]
    return (
        -np.inf if low is None else low,
        np.inf if high is None else high,
        value,
    )


def count(
    covered: np.ndarray,
    known: np.ndarray,
    of: str,
    low: float,
    high: float,
    value: float,
) -> None:
    """Whether an interval holds the truth, where both are known."""
    if not np.isnan([low, high, value]).any():
        i = EFFECTS.index(of)
        known[i] += 1
        covered[i] += low <= value <= high


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=500)
    options = parser.parse_args()
    tasks = [(name, shape, options.repeats) for shape in SHAPES for name in WORLDS]
    tasks += [(name, shape, options.repeats) for shape in LESS for name in OF_LESS]
    tasks += [(name, one, options.repeats) for one in UNSTABLE for name in OF_UNSTABLE]
    heads = ("structures × seeds", "truth", *EFFECTS, "decided", "wrong of these")
    print("| " + " | ".join((*heads, "tables with a wrong one")) + " |")
    print("|---" * (len(heads) + 1) + "|")
    with multiprocessing.get_context("spawn").Pool() as pool:
        for (name, shape, _), found in zip(
            tasks, pool.imap(simulate, tasks), strict=True
        ):
            less = f", {shape.missing:.0%} missing" if shape.missing else ""
            less += ", small dense unstable" if shape.unstable else ""
            cells = [f"{shape.structures} × {shape.seeds}{less}", name]
            for covered, known in zip(found.covered, found.known, strict=True):
                # The few tables that have one are not like the others.
                enough = known > options.repeats / 3
                cells.append(f"{100 * covered / known:.1f}" if enough else "–")
            cells.append(f"{100 * found.decided / found.budgets:.0f} %")
            part = 100 * found.wrong / max(found.decided, 1)
            cells.append(f"{part:.1f} %" if found.decided else "–")
            cells.append(f"{100 * found.misleading / options.repeats:.1f} %")
            print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
