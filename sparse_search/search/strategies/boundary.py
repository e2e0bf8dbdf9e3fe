"""More seeds where the region map is undetermined, until every budget has a class.

All structures are trained at all budgets with a few seeds. Then, look after look, the
region analysis is done on validation accuracy, and each budget that is still open gets
the cheapest seeds that would decide it were the estimates the truth: at the budget
itself, which tell how far its structures are apart, at its two neighbours, which tell
what weights are worth, or both. A budget that is weight- or structure-dominated is
closed, whatever comes later. One that is balanced or saturated stays open as long as
more seeds may well make it one of these.

Looking until a class shows finds classes that are not there. So the error of one look,
5 %, is shared out over all looks that there may be (`analysis.looks`; Lan and DeMets
1983), and over the budgets that are neither weight- nor structure-dominated yet (Holm
1979, as in group sequential trials of several hypotheses: Maurer and Bretz 2013,
Statistics in Biopharmaceutical Research 5): it bounds the probability that a map has
any wrong class. Theory does not cover that where seeds go depends on what was seen, nor
the small-sample intervals; `benchmarks/boundary.py` simulates the whole.
"""

from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from sparse_search.analysis import classes, stats
from sparse_search.analysis.cells import sparse_cells
from sparse_search.analysis.effects import Summary, effects, neighbours, summarise
from sparse_search.analysis.looks import levels as levels_of_looks
from sparse_search.analysis.table import merge_budgets, read_trials
from sparse_search.search.strategies.base import (
    Ask,
    History,
    Problem,
    Seen,
    Strategy,
    is_reference,
    whole,
)
from sparse_search.train.trials import Trial

FIRST = 2  # seeds of the first look, and of the reference
_PART = 4  # a look has a quarter more seeds than the one before, and at least one
_FINAL = (classes.WEIGHT, classes.STRUCTURE)
# A class that may change is one that does if an effect is at a limit of this interval:
# in one of ten cases it is beyond.
_PLAUSIBLE = 0.8

Levels = Callable[[tuple[int, ...], float], Sequence[float]]
Cell = tuple[int, str]
"""A budget's index and a structure."""


class Look(NamedTuple):
    """What was known at one look.

    Attributes:
        trials: names of all that was trained by then.
        classes: by budget, small to large.
    """

    trials: list[str]
    classes: dict[int, str]


def boundary(limit: int) -> Strategy:
    """Train the reference, and of the rest what decides the classes of the budgets.

    It ends when no budget is open, with the last seed of the space, or when as many
    trials as allowed are trained. The small dense reference enters no class, and is
    trained with the seeds of the first look.

    Args:
        limit: trials at most, the reference's among them; 0 for no limit.
    """
    return Strategy(lambda problem, history: replay(problem, history, limit)[0])


def replay(
    problem: Problem,
    history: History,
    limit: int = 0,
    levels: Levels = levels_of_looks,
) -> tuple[list[Ask], list[Look]]:
    """Repeat a search from its history: what it asks next, and its looks until then.

    It looks at nothing but what it has asked for.

    Args:
        problem: the space.
        history: what is known of it.
        limit: see `boundary`.
        levels: the level of every look, of their numbers of seeds and the error of
            all together.
    """
    space = _Space(problem)
    sizes = look_sizes(space.seeds)
    named = dict.fromkeys(range(len(space.budgets)), classes.UNDETERMINED)
    closed: set[int] = set()
    open_: list[tuple[float, int, set[Cell]]] = []
    asked: dict[str, Trial] = {}
    have = dict.fromkeys(space.cells, 0)
    looks: list[Look] = []
    for look, size in enumerate(sizes):
        if look == 0:
            wanted = [set(space.cells)]
            new = space.reference(size)
        else:
            wanted = [cells for *_, cells in sorted(open_, key=lambda one: one[:2])]
            new = []
        for cells in wanted:
            new += space.trials(cells, have, size)
            have |= dict.fromkeys(cells, size)
        room = limit - len(asked) if limit else len(new)
        asked |= {trial.name: trial for trial in new[:room]}
        if missing := whole(problem, list(asked.values()), history):
            return missing, looks
        summaries = space.summaries(asked, history)
        # Those that closed as balanced or saturated keep their part of the error.
        sharing = sum(name not in _FINAL for name in named.values())
        error = (1 - stats.CONFIDENCE) / sharing
        at = dict(zip(sizes, levels(sizes, error), strict=True))
        for b, s in summaries.items():
            if b in closed:
                continue
            name = _class(s, at[size])
            if name != classes.UNDETERMINED:
                named[b] = name
        of_budget = {int(space.budgets[b]): name for b, name in named.items()}
        looks.append(Look(list(asked), of_budget))
        forecast = _Forecast({n: level for n, level in at.items() if n > size})
        closed = {
            b for b in named if not forecast.may_change(summaries.get(b), named[b])
        }
        open_ = [
            forecast.cheapest(space, have, b, s, named[b])
            for b, s in summaries.items()
            if b not in closed
        ]
        if not open_ or len(asked) == limit:
            break
    return [], looks


def look_sizes(seeds: int) -> tuple[int, ...]:
    """The numbers of seeds at which it is looked, of at most `seeds`."""
    sizes = [min(FIRST, seeds)]
    while sizes[-1] < seeds:
        sizes.append(min(sizes[-1] + max(sizes[-1] // _PART, 1), seeds))
    return tuple(sizes)


def _class(s: Summary, level: float) -> str:
    return classes.classify(effects(s, 1 - level), s.seed_sd, s.p < level)


class _Forecast(NamedTuple):
    """What more seeds would do, were the estimates the truth.

    Attributes:
        looks: the levels of those that are left, by their numbers of seeds.
    """

    looks: dict[int, float]

    def may_change(self, s: Summary | None, name: str) -> bool:
        """Whether a budget is open: more seeds may give it another class."""
        if s is None or s.structures < 2 or np.isnan(s.slope):
            return False  # there is nothing to compare
        if name in _FINAL or not self.looks:
            return False
        last = max(self.looks)
        return name == classes.UNDETERMINED or any(
            self._name(other, last, last, last) in _FINAL for other in _plausible(s)
        )

    def cheapest(
        self, space: "_Space", have: dict[Cell, int], b: int, s: Summary, name: str
    ) -> tuple[float, int, set[Cell]]:
        """The least cost of a class, the budget, and the structures to train for it.

        If nothing would do, the estimates may be wrong, and all that could is wanted.
        """
        here, beside = space.at[b], space.beside[b]
        found = []
        for cells, level, slope in (
            (here, True, False),
            (beside, False, True),
            (here | beside, True, True),
        ):
            size = self._size(s, name, level, slope)
            cost = np.inf if size is None else space.cost(cells, have, size)
            found.append((cost, b, cells))
        best = min(found, key=lambda one: one[0])
        return best if best[0] < np.inf else found[-1]

    def _size(self, s: Summary, name: str, level: bool, slope: bool) -> int | None:
        """How many seeds, here or beside, change the class; None if all do not."""

        def changes(size: int) -> bool:
            seeds = size if level else s.seeds
            new = self._name(s, size, seeds, size if slope else s.slope_seeds)
            return new not in (name, classes.UNDETERMINED)

        sizes = list(self.looks)
        if not changes(sizes[-1]):
            return None
        return sizes[bisect_left(sizes, True, key=changes)]

    def _name(self, s: Summary, look: int, seeds: int, slope_seeds: int) -> str:
        return _class(classes.with_seeds(s, seeds, slope_seeds), self.looks[look])


def _plausible(s: Summary) -> Iterator[Summary]:
    """The estimates, and others in which one effect is at a limit of its interval."""
    yield s
    effect = effects(s, _PLAUSIBLE)
    for slope in effect.weight[1:]:
        yield replace(s, slope=slope)
    for sd in effect.structure[1:]:
        yield replace(s, rms=float(np.hypot(sd, np.sqrt(s.error / s.replicates))))


class _Space:
    """The trials of a problem by budget, structure and seed."""

    def __init__(self, problem: Problem):
        sparse = [t for t in problem.trials if not is_reference(t)]
        self._reference = [t for t in problem.trials if is_reference(t)]
        seeds = dict.fromkeys(trial.seed for trial in sparse)
        self._order = {seed: i for i, seed in enumerate(seeds)}
        self.seeds = len(seeds)
        self.budgets = merge_budgets(trial.nnz for trial in sparse)
        self.cells: dict[Cell, list[Trial]] = {}
        self._rows: dict[str, dict[str, Any]] = {}
        for trial in sparse:
            b = int(np.argmin(np.abs(self.budgets - trial.nnz)))
            self.cells.setdefault((b, trial.structure), []).append(trial)
            self._rows[trial.name] = {
                "point": trial.point,
                "structure": trial.structure,
                "method": trial.method,
                "seed": trial.seed,
                "nnz": self.budgets[b],
            }
        count = len(self.budgets)
        self.at = [{cell for cell in self.cells if cell[0] == b} for b in range(count)]
        """The structures at every budget."""
        self.beside = [self._beside(neighbours(b, count)) for b in range(count)]
        """The structures that slopes are taken of, at both sides of every budget."""

    def _beside(self, sides: Iterable[int]) -> set[Cell]:
        at = [{structure for _, structure in self.at[side]} for side in sides]
        common = set.intersection(*at)
        return {(side, structure) for side in sides for structure in common}

    def cost(self, cells: Iterable[Cell], have: dict[Cell, int], size: int) -> float:
        """How many trials it takes to give some structures so many seeds."""
        each = ((len(self.cells[cell]) / self.seeds, have[cell]) for cell in cells)
        return sum(rates * max(size - seeds, 0) for rates, seeds in each)

    def trials(
        self, cells: Collection[Cell], have: dict[Cell, int], size: int
    ) -> list[Trial]:
        """The next seeds of some structures, seed by seed."""
        found = [
            trial
            for cell, trials in self.cells.items()
            if cell in cells
            for trial in trials
            if have[cell] <= self._order[trial.seed] < size
        ]
        return sorted(found, key=lambda trial: self._order[trial.seed])

    def reference(self, size: int) -> list[Trial]:
        """The small dense networks of the first seeds."""
        return [t for t in self._reference if self._order.get(t.seed, 0) < size]

    def summaries(self, names: Iterable[str], history: History) -> dict[int, Summary]:
        """The analysis of what is known of some trials, by budget."""
        rows = []
        for row, name in ((self._rows[n], n) for n in names if n in self._rows):
            accuracy = history.get(name, Seen()).accuracy
            # The analysis chooses on one and compares on the other.
            rows.append(row | dict(valid_accuracy=accuracy, test_accuracy=accuracy))
        cells = sparse_cells(read_trials(rows, "accuracy"))
        index = {float(nnz): b for b, nnz in enumerate(self.budgets)}
        found = summarise(cells) if len(cells.nnz) else []
        return {index[float(n)]: s for n, s in zip(cells.nnz, found, strict=True)}
