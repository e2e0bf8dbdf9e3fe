"""Evolution of structures that keeps the budget (after Real et al. 2019, 1802.01548).

Every budget has a population of its own. The first generation is random. Each child of
a later one has a parent, the best of a few drawn from all that were trained, and
differs from it in one dimension: a step wider or narrower, deeper or shallower (its
number of weights stays), another allocation, method, pattern or learning rate. A child
that cannot be trained or has been before is drawn again.

Departures from the paper: parents do not age, since in a space that is finite and
without noise between repeats nothing is gained by training a point again; and children
come in generations, so that many are trained at the same time.
"""

import math
from collections.abc import Sequence

import numpy as np

from sparse_search.search.strategies.base import (
    Ask,
    History,
    Problem,
    Seen,
    Strategy,
    is_reference,
    points,
    whole,
)
from sparse_search.search.strategies.random import word
from sparse_search.train.trials import Trial

_STEPPED = ("width", "depth", "learning_rate")  # to a value near by
_CHOSEN = ("method", "allocation", "pattern")  # any other value
_CONTENDERS = 3  # for being a parent
_DRAWS = 32  # of a child, before a random point takes its place


def evolution(number: int, generation: int, seed: int) -> Strategy:
    """Train some points of the space, those of later generations near the best.

    Args:
        number: of points, divided equally among budgets; small dense besides.
        generation: points of a budget that are trained at the same time.
        seed: of what is drawn.
    """

    def ask(problem: Problem, history: History) -> list[Ask]:
        reference = [trial for trial in problem.trials if is_reference(trial)]
        budgets: dict[int, list[Trial]] = {}
        for trial in problem.trials:
            if not is_reference(trial):
                budgets.setdefault(trial.budget, []).append(trial)
        each = max(number // max(len(budgets), 1), 1)
        asks = whole(problem, reference, history)
        for members in budgets.values():
            asks += _evolve(members, problem, history, each)
        return asks

    def _evolve(
        trials: Sequence[Trial], problem: Problem, history: History, number: int
    ) -> list[Ask]:
        of_point = points(trials)
        space = _Space(of_point)
        order = sorted(of_point, key=lambda name: word(name, seed))
        chosen: list[str] = []
        number = min(number, len(order))
        while len(chosen) < number:
            size = min(generation, number - len(chosen))
            losses = {name: _loss(of_point[name], history) for name in chosen}
            for _ in range(size):
                key = int.from_bytes(word(f"{trials[0].budget} {len(chosen)}", seed))
                rng = np.random.default_rng(key)
                child = space.child(rng, losses, chosen) if losses else None
                chosen.append(child or next(n for n in order if n not in chosen))
            asked = [trial for name in chosen[-size:] for trial in of_point[name]]
            if missing := whole(problem, asked, history):
                return missing
        return []

    return Strategy(ask)


class _Space:
    """Points by their values, and the values of every dimension."""

    def __init__(self, of_point: dict[str, list[Trial]]):
        self._axes = (*_STEPPED, *_CHOSEN)
        self._places = {
            name: tuple(getattr(members[0], axis) for axis in self._axes)
            for name, members in of_point.items()
        }
        self._names = {place: name for name, place in self._places.items()}
        columns = zip(*self._places.values(), strict=True)
        self._values = [sorted(set(column)) for column in columns]

    def child(
        self, rng: np.random.Generator, losses: dict[str, float], taken: Sequence[str]
    ) -> str | None:
        """A point beside a good one, that is not taken; None if none is found."""
        names = list(losses)
        open_axes = [i for i, values in enumerate(self._values) if len(values) > 1]
        for _ in range(_DRAWS if open_axes else 0):
            contenders = rng.choice(names, min(_CONTENDERS, len(names)), replace=False)
            parent = self._places[min(contenders, key=lambda name: losses[name])]
            axis = int(rng.choice(open_axes))
            values = self._values[axis]
            at = values.index(parent[axis])
            if axis < len(_STEPPED):
                at += int(rng.choice((-1, 1))) * int(rng.geometric(0.5))
            else:
                at = int(rng.integers(len(values)))
            if 0 <= at < len(values):
                place = (*parent[:axis], values[at], *parent[axis + 1 :])
                name = self._names.get(place)
                if name is not None and name not in taken:
                    return name
        return None


def _loss(trials: Sequence[Trial], history: History) -> float:
    """The mean over seeds at the end; infinite where one failed."""
    losses = []
    for trial in trials:
        seen = history.get(trial.name, Seen())
        losses.append(math.inf if seen.failed or not seen.losses else seen.losses[-1])
    return sum(losses) / len(losses)
