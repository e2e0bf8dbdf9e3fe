"""Do the region map's intervals cover, and how often is a class wrong?

    python benchmarks/coverage.py [--repeats=500]

Simulated tables whose truth is known: structures at 5 budgets, each with twice the
weights of the one before. Of every table and budget: whether the 95 % intervals of the
weight effect, the structure effect and R hold the truth, whether the class is decided
(not "undetermined"), and whether it then contradicts the truth. Prints the table of
docs/coverage.md.
"""

import argparse
import multiprocessing
import zlib
from typing import NamedTuple

import numpy as np

from sparse_search.analysis import classes
from sparse_search.analysis.cells import sparse_cells
from sparse_search.analysis.effects import effects, summarise
from sparse_search.analysis.table import read_trials
from sparse_search.search.strategies.base import is_reference
from sparse_search.testing.strategies import problem
from sparse_search.testing.worlds import World, contradicts, draw, truths

BUDGETS = (1000, 2000, 4000, 8000, 16000)
WIDTHS = (16, 32, 64, 128)


class Shape(NamedTuple):
    """How much data a table has.

    Attributes:
        structures: at every budget.
        seeds: of each.
        missing: the part of the trials that have no result.
    """

    structures: int = 12
    seeds: int = 5
    missing: float = 0.0


NOISE = {"noise": 0.01, "block": 0.01}
WORLDS = {
    "no effect at all": World(0.0, 0.0, **NOISE),
    "weights alone": World(0.03, 0.0, **NOISE),
    "structure alone": World(0.0, 0.03, **NOISE),
    "R = 4": World(0.04, 0.01, **NOISE),
    "R = 2": World(0.03, 0.015, **NOISE),
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
SHAPES = (
    Shape(),
    Shape(5, 5),
    Shape(5, 3),
    Shape(12, 3),
    Shape(12, 2),
    Shape(12, 5, missing=0.2),
)


class Counts(NamedTuple):
    """What was seen of some tables.

    Attributes:
        covered: of (w, sigma, R), the intervals that hold the truth.
        known: of each, how many there were.
        decided: budgets that have a class.
        wrong: those of them whose class contradicts the truth.
        budgets: all.
    """

    covered: np.ndarray
    known: np.ndarray
    decided: int
    wrong: int
    budgets: int


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
    covered, known = np.zeros((2, 3), int)
    decided = wrong = 0
    for _ in range(repeats):
        _, test = draw(world, space, rng)
        rows = [
            {
                "structure": trial.structure,
                "point": trial.point,
                "method": trial.method,
                "nnz": trial.nnz,
                "seed": trial.seed,
                "test_accuracy": test[trial.name],
                "valid_accuracy": test[trial.name],
            }
            for trial in sparse
            if rng.random() >= shape.missing
        ]
        found = summarise(sparse_cells(read_trials(rows, "accuracy")))
        matters = classes.significant_structures(found)
        for summary, truth, significant in zip(found, expected, matters, strict=True):
            effect = effects(summary)
            ratio = truth.weight / truth.structure if truth.structure else np.inf
            if truth.weight == truth.structure == 0:
                ratio = np.nan  # there is no truth to hold
            values = (truth.weight, truth.structure, ratio)
            for i, (interval, value) in enumerate(zip(effect, values, strict=True)):
                if np.isnan(interval.low) or np.isnan(value):
                    continue
                known[i] += 1
                covered[i] += interval.low <= value <= interval.high
            named = classes.classify(effect, summary.seed_sd, bool(significant))
            decided += named != classes.UNDETERMINED
            wrong += contradicts(named, truth)
    return Counts(covered, known, decided, wrong, repeats * len(BUDGETS))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=500)
    options = parser.parse_args()
    tasks = [(name, shape, options.repeats) for shape in SHAPES for name in WORLDS]
    print("| structures × seeds | truth | w | σ | R | decided | wrong of these |")
    print("|---|---|---|---|---|---|---|")
    with multiprocessing.get_context("spawn").Pool() as pool:
        for (name, shape, _), found in zip(
            tasks, pool.imap(simulate, tasks), strict=True
        ):
            less = f", {shape.missing:.0%} missing" if shape.missing else ""
            cells = [f"{shape.structures} × {shape.seeds}{less}", name]
            for covered, known in zip(found.covered, found.known, strict=True):
                cells.append(f"{100 * covered / known:.1f}" if known else "–")
            cells.append(f"{100 * found.decided / found.budgets:.0f} %")
            part = 100 * found.wrong / max(found.decided, 1)
            cells.append(f"{part:.1f} %" if found.decided else "–")
            print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
