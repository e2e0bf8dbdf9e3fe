"""Points of the space at random (Bergstra and Bengio 2012)."""

import hashlib

from sparse_search.search.strategies.base import (
    Ask,
    History,
    Problem,
    Strategy,
    is_reference,
    points,
    whole,
)


def random(number: int, seed: int) -> Strategy:
    """Train some points of the space, each with all its seeds.

    The order of points follows from their names and the seed, so that in a space that
    grows, or with a larger number, what was chosen before stays chosen but for what
    newly comes before it.

    Args:
        number: of points, of the small dense family's besides.
        seed: of the choice.
    """

    def ask(problem: Problem, history: History) -> list[Ask]:
        reference = [trial for trial in problem.trials if is_reference(trial)]
        others = points([t for t in problem.trials if not is_reference(t)])
        chosen = sorted(others, key=lambda name: word(name, seed))[:number]
        trials = [trial for name in chosen for trial in others[name]]
        return whole(problem, [*reference, *trials], history)

    return Strategy(ask)


def word(name: str, seed: int) -> bytes:
    """Random bytes that a name and a seed decide."""
    return hashlib.sha256(f"{seed} {name}".encode()).digest()
