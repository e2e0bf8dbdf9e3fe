"""Successive halving (Jamieson and Talwalkar 2016, arXiv:1502.07943).

All points train for a few rounds; those with the smaller validation loss go on for η
times as many, from their checkpoints, until the last train to the end. Points compete
with those of the same budget, and small dense networks with each other, so that every
budget keeps its curve and its reference.
"""

import math
from collections.abc import Sequence

from sparse_search.search.strategies.base import (
    Ask,
    History,
    Problem,
    Seen,
    Strategy,
    is_reference,
    points,
    reached,
)
from sparse_search.train.trials import Trial


def halving(first: int, reduction: int) -> Strategy:
    """Successive halving.

    Args:
        first: rounds that every point trains for.
        reduction: η: of so many points one goes on, for so many times the rounds.
    """

    def ask(problem: Problem, history: History) -> list[Ask]:
        return [
            one
            for members in _competitions(problem.trials)
            for one in _rung(members, problem.rounds, history)
        ]

    def _rung(
        members: dict[str, list[Trial]], whole: int, history: History
    ) -> list[Ask]:
        left, rounds = members, min(first, whole)
        while True:
            asks = [Ask(trial, rounds) for of in left.values() for trial in of]
            missing = [one for one in asks if not reached(one, history)]
            if missing or rounds == whole:
                return missing
            order = sorted(left, key=lambda point: _loss(left[point], rounds, history))
            kept = order[: math.ceil(len(order) / reduction)]
            left = {point: left[point] for point in kept}
            rounds = min(rounds * reduction, whole)

    return Strategy(ask, pauses=True)


def _competitions(trials: Sequence[Trial]) -> list[dict[str, list[Trial]]]:
    groups: dict[tuple[bool, int], list[Trial]] = {}
    for trial in trials:
        groups.setdefault((is_reference(trial), trial.budget), []).append(trial)
    return [points(members) for members in groups.values()]


def _loss(trials: list[Trial], rounds: int, history: History) -> float:
    """The mean over seeds after some rounds; infinite where one of them failed."""
    losses = []
    for trial in trials:
        seen = history.get(trial.name, Seen())
        if seen.failed or len(seen.losses) < rounds:
            return math.inf
        losses.append(seen.losses[rounds - 1])
    return sum(losses) / len(losses)
