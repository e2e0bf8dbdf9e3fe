"""Points that fill the space evenly: a Sobol sequence (Sobol 1967)."""

import math

import numpy as np

from sparse_search.search.strategies.base import Strategy, of_points
from sparse_search.train.trials import Trial

_AXES = (
    "budget",
    "width",
    "depth",
    "method",
    "allocation",
    "pattern",
    "learning_rate",
)
_TRIES = 64  # for every point


def quasi_random(number: int, seed: int) -> Strategy:
    """Train some points of the space, evenly spread along all of its dimensions.

    A term of the sequence names a value of every dimension; combinations that cannot
    be trained, and those that were named before, are passed over.

    Args:
        number: of points, of the small dense family's besides.
        seed: of the sequence.
    """

    def choose(points: dict[str, list[Trial]]) -> list[str]:
        examples = [members[0] for members in points.values()]
        return [one.point for one in _spread(examples, number, seed)]

    return of_points(choose)


def _spread(candidates: list[Trial], number: int, seed: int) -> list[Trial]:
    from scipy.stats import qmc  # a third of a second, which other searches save

    def place(trial: Trial) -> tuple:
        return tuple(getattr(trial, axis) for axis in _AXES)

    if number >= len(candidates):
        return candidates
    places = {place(trial): trial for trial in candidates}
    values = [sorted(set(axis)) for axis in zip(*places, strict=True)]
    # Shifted as a whole, which keeps it even (Cranley and Patterson 1976).
    shift = np.random.default_rng(seed).random(len(_AXES))
    length = 2 ** math.ceil(math.log2(_TRIES * number))
    terms = (qmc.Sobol(len(_AXES), scramble=False).random(length) + shift) % 1
    chosen: dict[tuple, Trial] = {}
    for term in terms:
        named = tuple(
            axis[int(part * len(axis))] for axis, part in zip(values, term, strict=True)
        )
        if named in places and len(chosen) < number:
            chosen.setdefault(named, places[named])
    # A space of which nearly nothing can be trained: what is left, in order.
    for named, trial in places.items():
        if len(chosen) < number:
            chosen.setdefault(named, trial)
    return list(chosen.values())
