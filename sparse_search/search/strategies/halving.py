"""Successive halving (Jamieson and Talwalkar 2016, arXiv:1502.07943).

All points train for a few rounds; those with the smaller validation loss go on for η
times as many, from their checkpoints, until the last train to the end. Points compete
with those of the same budget, and small dense networks with each other, so that every
budget keeps its curve and its reference.
"""

import math

from sparse_search.search.strategies.base import (
    Ask,
    History,
    Points,
    Problem,
    Strategy,
    by_budget,
    loss,
    reached,
    split,
)
from sparse_search.train.trials import Trial


def halving(first: int, reduction: int) -> Strategy:
    """Successive halving.

    Args:
        first: rounds that every point trains for.
        reduction: η: of so many points one goes on, for so many times the rounds.
    """

    def ask(problem: Problem, history: History) -> list[Ask]:
        rounds = rungs(first, reduction, problem.rounds)
        return [
            one
            for members in competitions(problem.trials)
            for one in climb(members, rounds, reduction, history)
        ]

    return Strategy(ask, pauses=True)


def competitions(trials: tuple[Trial, ...]) -> list[Points]:
    """The points that are held against each other."""
    reference, others = split(trials)
    return [*by_budget(others), *by_budget(reference)]


def rungs(first: int, reduction: int, whole: int) -> list[int]:
    """The rounds after which points are compared, up to those of a whole training."""
    found = [min(first, whole)]
    while found[-1] < whole:
        found.append(min(found[-1] * reduction, whole))
    return found


def climb(
    members: Points, rungs: list[int], reduction: int, history: History
) -> list[Ask]:
    """What is missing of the first rung that is not complete.

    Args:
        members: points that begin at the first rung.
        rungs: rounds, rising.
        reduction: η: of so many points one goes on to the next rung.
        history: what is known.
    """
    left = members
    for rounds in rungs:
        asks = [Ask(trial, rounds) for trials in left.values() for trial in trials]
        if missing := [one for one in asks if not reached(one, history)]:
            return missing
        order = sorted(left, key=lambda name: loss(left[name], history, rounds))
        left = {name: left[name] for name in order[: math.ceil(len(order) / reduction)]}
    return []
