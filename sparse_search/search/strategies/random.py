"""Points of the space at random (Bergstra and Bengio 2012)."""

import hashlib

from sparse_search.search.strategies.base import Strategy, of_points


def random(number: int, seed: int) -> Strategy:
    """Train some points of the space, each with all its seeds.

    The order of points follows from their names and the seed, so that in a space that
    grows, or with a larger number, what was chosen before stays chosen but for what
    newly comes before it.

    Args:
        number: of points, of the small dense family's besides.
        seed: of the choice.
    """
    return of_points(
        lambda points: sorted(points, key=lambda name: word(name, seed))[:number]
    )


def word(name: str, seed: int) -> bytes:
    """Random bytes that a name and a seed decide."""
    return hashlib.sha256(f"{seed} {name}".encode()).digest()
