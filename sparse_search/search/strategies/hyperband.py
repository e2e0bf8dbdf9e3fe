"""Hyperband (Li et al. 2018, JMLR 18(185), arXiv:1603.06560).

Successive halving has to be told after how many rounds a point may be given up: early
is cheap, and wrong where good points begin slowly. Hyperband hedges. Its brackets are
halvings that begin at different rungs: the first gives up earliest and has most points,
the last trains its few to the end. A bracket with s halvings before it has the part
⌈(s_max + 1) / (s + 1) · ηˢ⌉ of the points, so that all cost about the same.

Departures from the paper: the points are those of the space, each dealt to one bracket,
instead of new ones drawn for every bracket; and points compete with those of their own
budget. Promotion waits for a rung to be complete: that of ASHA (Li et al. 2020,
arXiv:1810.05934) goes by who comes first, which depends on timing, and here the same
seed asks the same questions.
"""

import math
from itertools import accumulate

from sparse_search.search.strategies.base import (
    Ask,
    History,
    Points,
    Problem,
    Strategy,
)
from sparse_search.search.strategies.halving import climb, competitions, rungs
from sparse_search.search.strategies.random import word


def hyperband(first: int, reduction: int, seed: int) -> Strategy:
    """Halving with several first rounds side by side.

    Args:
        first: rounds that the points of the first bracket train for at least.
        reduction: η: of so many points one goes on, for so many times the rounds.
        seed: of the brackets that points belong to.
    """

    def ask(problem: Problem, history: History) -> list[Ask]:
        rounds = rungs(first, reduction, problem.rounds)
        return [
            one
            for members in competitions(problem.trials)
            for begin, bracket in enumerate(_deal(members, len(rounds)))
            for one in climb(bracket, rounds[begin:], reduction, history)
        ]

    def _deal(members: Points, brackets: int) -> list[Points]:
        """Divide points among brackets, in the paper's proportions."""
        halvings = range(brackets - 1, -1, -1)
        sizes = [math.ceil(brackets / (s + 1) * reduction**s) for s in halvings]
        ends = list(accumulate(sizes))
        dealt: list[Points] = [{} for _ in sizes]
        order = sorted(members, key=lambda name: word(name, seed))
        for place, name in enumerate(order):
            at = (place + 0.5) / len(order) * ends[-1]
            to = next(index for index, end in enumerate(ends) if at < end)
            dealt[to][name] = members[name]
        return dealt

    return Strategy(ask, pauses=True)
