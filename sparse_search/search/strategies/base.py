"""The contract of a strategy: what a search trains next, from what it has seen.

A strategy is one pure function, asked again and again:

    asks = strategy.ask(problem, history)     # [] when the search is over

All that is asked is trained before it asks next. What a strategy would be told is in
the journals, and the history is read from them, so a search that was killed goes on
with the same questions. It holds validation metrics only.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import NamedTuple

from sparse_search.records import SMALL_DENSE
from sparse_search.train.trials import Trial

ORDERED = ("budget", "width", "depth", "learning_rate")
UNORDERED = ("method", "allocation", "pattern")
"""The dimensions of a space: those whose values lie along a line, and the others."""

Points = dict[str, list[Trial]]
"""Trials that differ by their seed alone, by the name of what they share."""


class Problem(NamedTuple):
    """What may be asked.

    Attributes:
        trials: all of the space, in a fixed order.
        rounds: of a whole training.
    """

    trials: tuple[Trial, ...]
    rounds: int


class Ask(NamedTuple):
    """A trial and the rounds that it shall have been trained for."""

    trial: Trial
    rounds: int


class Seen(NamedTuple):
    """What is known of a trial.

    Attributes:
        losses: on the validation split after every round; infinite where undefined. The
            last round counts when the trial has ended.
        accuracy: on the validation split at the end; None before, or if it diverged.
        ended: whether it has a result or has failed.
        failed: whether it broke in this search; it is not asked again.
    """

    losses: tuple[float, ...] = ()
    accuracy: float | None = None
    ended: bool = False
    failed: bool = False


History = Mapping[str, Seen]
"""By the names of trials; those that were not begun are not in it."""


class Strategy(NamedTuple):
    """A strategy.

    Attributes:
        ask: `(problem, history) -> asks`, in the order of their importance; pure, and
            the same for the same history.
        pauses: whether it asks for parts of trainings. Such trials are trained in
            lanes of their own, so that what is given up costs nothing.
    """

    ask: Callable[[Problem, History], list[Ask]]
    pauses: bool = False


def reached(ask: Ask, history: History) -> bool:
    """Whether there is nothing left to do for an ask."""
    seen = history.get(ask.trial.name, Seen())
    return seen.ended or seen.failed or len(seen.losses) >= ask.rounds


def points(trials: Sequence[Trial]) -> Points:
    """The points that trials belong to."""
    found: Points = {}
    for trial in trials:
        found.setdefault(trial.point, []).append(trial)
    return found


def places(of: Points) -> dict[str, tuple]:
    """The values of points in all dimensions; no two are in one place."""
    axes = (*ORDERED, *UNORDERED)
    return {
        name: tuple(getattr(trials[0], axis) for axis in axes)
        for name, trials in of.items()
    }


def is_reference(trial: Trial) -> bool:
    """Whether a trial is of the small dense family."""
    return trial.structure == SMALL_DENSE


def split(trials: Sequence[Trial]) -> tuple[list[Trial], list[Trial]]:
    """The small dense family, which is the reference, and what is compared with it."""
    reference = [trial for trial in trials if is_reference(trial)]
    return reference, [trial for trial in trials if not is_reference(trial)]


def by_budget(trials: Sequence[Trial]) -> list[Points]:
    """The points of every budget."""
    found: dict[int, list[Trial]] = {}
    for trial in trials:
        found.setdefault(trial.budget, []).append(trial)
    return [points(members) for members in found.values()]


def whole(problem: Problem, trials: Sequence[Trial], history: History) -> list[Ask]:
    """Asks for whole trainings, of what has not ended."""
    asks = [Ask(trial, problem.rounds) for trial in trials]
    return [ask for ask in asks if not reached(ask, history)]


def loss(trials: Sequence[Trial], history: History, rounds: int) -> float:
    """The mean over seeds after some rounds; infinite where one of them failed."""
    losses = []
    for trial in trials:
        seen = history.get(trial.name, Seen())
        known = () if seen.failed else seen.losses[:rounds]
        losses.append(known[-1] if known else math.inf)
    return sum(losses) / len(losses)


def of_points(choose: Callable[[Points], list[str]]) -> Strategy:
    """The strategy that trains the reference and some points, all of them at once.

    Args:
        choose: names of points, of those that are not of the reference.
    """

    def ask(problem: Problem, history: History) -> list[Ask]:
        reference, others = split(problem.trials)
        of = points(others)
        trials = [trial for name in choose(of) for trial in of[name]]
        return whole(problem, [*reference, *trials], history)

    return Strategy(ask)


Losses = Mapping[str, float | None]
"""Of points that were trained, in the order in which they were chosen; None: failed."""


class Pick(NamedTuple):
    """A point to train, and the one that it inherits from, or ""."""

    point: str
    parent: str = ""


Choose = Callable[[Losses, int], Sequence[Pick]]
"""`(losses, size) -> picks`: so many more points, others than those with losses."""


def of_generations(
    number: int,
    generation: int,
    chooser: Callable[[Points], Choose],
    *,
    apart: bool = True,
) -> Strategy:
    """The strategy that trains the reference, and points generation after generation.

    What was chosen before is found by choosing it again, so that the order of points
    is the same whatever was trained first.

    Args:
        number: of points.
        generation: how many of them are trained at the same time.
        chooser: what chooses among some points.
        apart: whether every budget has its own generations, and its part of the number.
    """

    def ask(problem: Problem, history: History) -> list[Ask]:
        reference, others = split(problem.trials)
        spaces = by_budget(others) if apart else [points(others)]
        each = max(number // max(len(spaces), 1), 1)
        asks = whole(problem, reference, history)
        for space in spaces:
            asks += _missing(space, min(each, len(space)), problem, history)
        return asks

    def _missing(
        space: Points, most: int, problem: Problem, history: History
    ) -> list[Ask]:
        losses: dict[str, float | None] = {}
        begun: dict[str, str] = {}  # the name of what was trained, by the point's
        choose = chooser(space)
        while len(losses) < most:
            picks = choose(losses, min(generation, most - len(losses)))
            members = {
                pick.point: [
                    dataclasses.replace(trial, parent=begun.get(pick.parent, ""))
                    for trial in space[pick.point]
                ]
                for pick in picks
            }
            if asks := whole(problem, [*chain(*members.values())], history):
                return asks
            for name, trials in members.items():
                failed = any(history.get(t.name, Seen()).failed for t in trials)
                found = loss(trials, history, problem.rounds)
                losses[name] = None if failed else found
                begun[name] = trials[0].point
        return []

    return Strategy(ask)
