"""The contract of a strategy: what a search trains next, from what it has seen.

A strategy is one pure function, asked again and again:

    asks = strategy.ask(problem, history)     # [] when the search is over

All that is asked is trained before it asks next. What a strategy would be told is in
the journals, and the history is read from them, so a search that was killed goes on
with the same questions. It holds validation metrics only.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from sparse_search.records import SMALL_DENSE
from sparse_search.train.trials import Trial


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


def points(trials: Sequence[Trial]) -> dict[str, list[Trial]]:
    """Trials that differ by their seed alone, by the name of what they share."""
    found: dict[str, list[Trial]] = {}
    for trial in trials:
        found.setdefault(trial.point, []).append(trial)
    return found


def is_reference(trial: Trial) -> bool:
    """Whether a trial is of the small dense family, which is always trained whole."""
    return trial.structure == SMALL_DENSE


def of_points(choose: Callable[[dict[str, list[Trial]]], list[str]]) -> Strategy:
    """The strategy that trains the reference and some points, all of them at once.

    Args:
        choose: names of points, of those that are not of the reference.
    """

    def ask(problem: Problem, history: History) -> list[Ask]:
        reference = [trial for trial in problem.trials if is_reference(trial)]
        others = points([t for t in problem.trials if not is_reference(t)])
        trials = [trial for name in choose(others) for trial in others[name]]
        return whole(problem, [*reference, *trials], history)

    return Strategy(ask)


def whole(problem: Problem, trials: Sequence[Trial], history: History) -> list[Ask]:
    """Asks for whole trainings, of what has not ended."""
    asks = [Ask(trial, problem.rounds) for trial in trials]
    return [ask for ask in asks if not reached(ask, history)]
