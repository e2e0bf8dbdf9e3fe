"""Does `boundary` find the grid's classes with fewer trainings; how often wrong ones?

    python benchmarks/boundary.py [--repeats=200]
    python benchmarks/boundary.py --workdir=DIR [--seeds=5,10] [--orders=20]

Without a workdir, in simulated worlds whose classes are known: 12 structures at 5
budgets with at most 10 seeds. A map is wrong when any class that is announced at any
look contradicts the truth. "naive" looks as often, each time as if it were the only
one, corrected for the number of budgets alone. "report" is what a report on the trials
of `boundary` says, and "grid" one on all trials: every budget at 95 %, on test.

With the workdir of a finished grid, what `boundary` would have trained of it and which
classes it would have found, from the journals: a trial has the same bits whatever
strategy asks for it. With fewer seeds the grid is that of the first ones; with orders,
seeds also come in that many random orders.
"""

import argparse
import multiprocessing
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from sparse_search import records
from sparse_search.analysis import classes
from sparse_search.analysis.cells import sparse_cells
from sparse_search.analysis.effects import effects, summarise
from sparse_search.analysis.looks import levels
from sparse_search.analysis.table import read_trials
from sparse_search.config import freeze
from sparse_search.search.journals import Journals
from sparse_search.search.space import population
from sparse_search.search.strategies.base import Problem, is_reference
from sparse_search.search.strategies.boundary import Look, look_sizes, replay
from sparse_search.testing.strategies import problem
from sparse_search.testing.worlds import World, contradicts, draw, truths
from sparse_search.train.single import load_dataset
from sparse_search.train.trials import Trial

SPACE = problem(
    budgets=(1000, 2000, 4000, 8000, 16000),
    widths=(16, 32, 64, 128),
    methods=("static", "set", "rigl"),
    seeds=10,
)
BUDGETS = 5
WORLDS = {
    "no effect": World(0.0, 0.0),
    "no effect, shifts": World(0.0, 0.0, shift=0.01),
    "R = 1": World(0.02, 0.02),
    "R = 1, small": World(0.01, 0.01),
    "R = 1, small, shifts": World(0.01, 0.01, shift=0.01),
    "R = 1, small, heavy tails": World(0.01, 0.01, heavy=True),
    "R from 4 to 1/4": World(
        (0.04, 0.03, 0.02, 0.01, 0.005), (0.01,) * 2 + (0.02,) * 3
    ),
}
RULES = {"boundary": levels, "naive": lambda sizes, error: [error] * len(sizes)}


def _classes(
    trials: Iterable[Trial], accuracy: Callable[[str], float | None]
) -> list[str]:
    """The classes of budgets as a report gives them; chosen and compared on one."""
    rows = [
        {
            "point": trial.point,
            "structure": trial.structure,
            "method": trial.method,
            "seed": trial.seed,
            "nnz": trial.nnz,
            "valid_accuracy": accuracy(trial.name),
            "test_accuracy": accuracy(trial.name),
        }
        for trial in trials
        if not is_reference(trial)
    ]
    found = summarise(sparse_cells(read_trials(rows, "accuracy")))
    return classes.classify_all([effects(s) for s in found], found)


def _simulated(what: tuple[World, int]) -> dict[str, tuple[list[str], float]]:
    """Classes, and the part of the grid that was trained, of every rule."""
    world, repeat = what
    history, test = draw(world, SPACE, np.random.default_rng(repeat))
    found = {}
    for rule, of_looks in RULES.items():
        _, looks = replay(SPACE, history, levels=of_looks)
        trained = set(looks[-1].trials)
        part = len(trained) / len(SPACE.trials)
        found[rule] = list(looks[-1].classes.values()), part
        if rule == "boundary":
            trials = [trial for trial in SPACE.trials if trial.name in trained]
            found["report"] = _classes(trials, test.get), part
    found["grid"] = _classes(SPACE.trials, test.get), 1.0
    return found


def simulate(repeats: int) -> None:
    """Print how often maps are wrong, and what they cost."""
    print(f"looks at {look_sizes(10)} seeds; {repeats} maps a world")
    print("wrong maps (wrong budgets), decided budgets, part of the grid's trials")
    with multiprocessing.Pool(len(os.sched_getaffinity(0))) as pool:
        for name, world in WORLDS.items():
            truth = truths(world, BUDGETS)
            all_ = pool.map(_simulated, [(world, n) for n in range(repeats)], 4)
            print(f"\n{name}")
            for rule in ("boundary", "naive", "report", "grid"):
                named = [one[rule][0] for one in all_]
                wrong = np.array(
                    [
                        [contradicts(c, t) for c, t in zip(m, truth, strict=True)]
                        for m in named
                    ]
                )
                decided = np.mean([c != classes.UNDETERMINED for m in named for c in m])
                part = np.mean([one[rule][1] for one in all_])
                print(
                    f"  {rule:10}{wrong.any(axis=1).mean():8.1%} "
                    f"({wrong.mean():.1%}){decided:8.0%}{part:8.0%}",
                    flush=True,
                )


class Grid:
    """The trials of a finished grid, and what came of them."""

    def __init__(self, workdir: Path):
        """Reads the journals."""
        config = freeze(records.read_config(workdir)["config"])
        self.trials = population(config, load_dataset(config)).trials
        self.seeds = list(dict.fromkeys(trial.seed for trial in self.trials))
        self.rounds = config.steps // config.sparsity.rewire_every
        self._history = Journals(workdir, self.rounds).history()
        found = records.read_trials(workdir)
        missing = sum(trial.name not in found for trial in self.trials)
        if missing:
            raise SystemExit(f"{workdir} is no finished grid: {missing} trials lack.")
        self.test = {
            name: None if record["status"] == "diverged" else record["test_accuracy"]
            for name, record in found.items()
        }

    def valid(self, name: str) -> float | None:
        """The validation accuracy of a trial."""
        return self._history[name].accuracy

    def boundary(self, seeds: Sequence[int]) -> tuple[list[Trial], list[Look]]:
        """The grid of some seeds, and the looks of boundary at it."""
        order = {seed: i for i, seed in enumerate(seeds)}
        grid = [trial for trial in self.trials if trial.seed in order]
        grid.sort(key=lambda trial: order[trial.seed])
        asks, looks = replay(Problem(tuple(grid), self.rounds), self._history)
        assert not asks
        return grid, looks


def print_replay(grid: Grid, seeds: Sequence[int]) -> None:
    """What boundary would have done in place of a grid."""
    every, looks = grid.boundary(seeds)
    trained = set(looks[-1].trials)
    some = [trial for trial in every if trial.name in trained]
    columns = {
        "grid, validation": _classes(every, grid.valid),
        "boundary": list(looks[-1].classes.values()),
        "grid, test": _classes(every, grid.test.get),
        "boundary's report": _classes(some, grid.test.get),
    }
    print(f"\n{len(seeds)} seeds, looks at {look_sizes(len(seeds))}")
    print(f"{'weights':>10}  " + "".join(f"{name:21}" for name in columns))
    for b, nnz in enumerate(looks[-1].classes):
        row = "".join(f"{column[b]:21}" for column in columns.values())
        print(f"{nnz:10,}  {row}")
    for kind, reference in (("sparse", False), ("small dense", True)):
        counts = [sum(is_reference(t) == reference for t in ts) for ts in (some, every)]
        print(f"{kind}: {counts[0]} of {counts[1]} trials")
    part = len(some) / len(every)
    print(f"all: {len(some)} of {len(every)} trials, {part:.0%}")
    for look in looks:
        print(f"  {len(look.trials)}: {', '.join(look.classes.values())}")


def print_orders(grid: Grid, seeds: Sequence[int], orders: int) -> None:
    """How much of that hangs on the order of the seeds."""
    rng = np.random.default_rng(0)
    parts, pairs = [], []
    for _ in range(orders):
        every, looks = grid.boundary(rng.permutation(seeds).tolist())
        parts.append(len(looks[-1].trials) / len(every))
        pairs += zip(
            looks[-1].classes.values(), _classes(every, grid.valid), strict=True
        )
    decided = [(ours, grids) for ours, grids in pairs if grids != classes.UNDETERMINED]
    same = np.mean([ours == grids for ours, grids in decided])
    lost = np.mean([ours == classes.UNDETERMINED for ours, _ in decided])
    print(
        f"{len(seeds)} seeds in {orders} random orders: {np.mean(parts):.0%} of the "
        f"trials ({min(parts):.0%} to {max(parts):.0%}); of the classes of the grid "
        f"on validation {same:.0%} are found, {lost:.0%} are left undetermined"
    )


def main() -> None:
    """Simulate, or replay."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=200)
    parser.add_argument("--workdir", type=Path)
    parser.add_argument("--orders", type=int, default=0)
    parser.add_argument("--seeds", default="0", help="of the grid; 0 for all")
    args = parser.parse_args()
    if args.workdir is None:
        return simulate(args.repeats)
    grid = Grid(args.workdir)
    for number in map(int, args.seeds.split(",")):
        seeds = grid.seeds[: number or None]
        print_replay(grid, seeds)
        if args.orders:
            print_orders(grid, seeds, args.orders)


if __name__ == "__main__":
    main()
