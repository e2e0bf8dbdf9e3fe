"""Every trial of the space."""

from sparse_search.search.strategies.base import (
    Ask,
    History,
    Problem,
    Strategy,
    whole,
)


def grid() -> Strategy:
    """Train everything, in the order of the space."""

    def ask(problem: Problem, history: History) -> list[Ask]:
        return whole(problem, problem.trials, history)

    return Strategy(ask)
