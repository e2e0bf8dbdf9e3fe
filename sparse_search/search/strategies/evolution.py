"""Evolution of structures that keeps the budget (after Real et al. 2019, 1802.01548).

Every budget has a population of its own. The first generation is random. Each child of
a later one has a parent, the best of a few drawn from all that were trained, and
differs from it in one dimension: a step wider or narrower, deeper or shallower (its
number of weights stays), another allocation, method, pattern or learning rate. A child
that cannot be trained or has been before is drawn again.

Children may begin with the weights and masks of their parent (`train.inheritance`),
which then have been trained for longer than those of a first generation; a parent
that broke has none to give.

Departures from the paper: parents do not age, since in a space that is finite and
without noise between repeats nothing is gained by training a point again; and children
come in generations, so that many are trained at the same time.
"""

import math
from collections.abc import Callable

import numpy as np

from sparse_search.search.strategies.base import (
    ORDERED,
    Choose,
    Losses,
    Pick,
    Points,
    Strategy,
    of_generations,
    places,
)
from sparse_search.search.strategies.random import word
from sparse_search.train.trials import Trial

_CONTENDERS = 3  # for being a parent
_DRAWS = 32  # of a child, before a random point takes its place


def evolution(
    number: int,
    generation: int,
    seed: int,
    inherits: Callable[[Trial], bool] = lambda trial: False,
) -> Strategy:
    """Train some points of the space, those of later generations near the best.

    Args:
        number: of points, divided equally among budgets; small dense besides.
        generation: points of a budget that are trained at the same time.
        seed: of what is drawn.
        inherits: whether a child begins with what its parent ended with.
    """

    def chooser(points: Points) -> Choose:
        space = _Space(points)
        budget = next(iter(points.values()))[0].budget
        order = sorted(points, key=lambda name: word(name, seed))

        def choose(losses: Losses, size: int) -> list[Pick]:
            known = {name: math.inf if x is None else x for name, x in losses.items()}
            taken, picks = list(losses), []
            for _ in range(size):
                key = int.from_bytes(word(f"{budget} {len(taken)}", seed))
                rng = np.random.default_rng(key)
                pick = space.child(rng, known, taken) if known else None
                pick = pick or Pick(next(n for n in order if n not in taken))
                heir = inherits(points[pick.point][0])
                if not heir or known.get(pick.parent, math.inf) == math.inf:
                    pick = Pick(pick.point)
                picks.append(pick)
                taken.append(pick.point)
            return picks

        return choose

    return of_generations(number, generation, chooser)


class _Space:
    """Points by their values, and the values of every dimension."""

    def __init__(self, points: Points):
        self._places = places(points)
        self._names = {place: name for name, place in self._places.items()}
        columns = zip(*self._places.values(), strict=True)
        self._values = [sorted(set(column)) for column in columns]

    def child(
        self, rng: np.random.Generator, losses: dict[str, float], taken: list[str]
    ) -> Pick | None:
        """A point beside a good one, that is not taken; None if none is found."""
        names = list(losses)
        open_axes = [i for i, values in enumerate(self._values) if len(values) > 1]
        for _ in range(_DRAWS if open_axes else 0):
            contenders = rng.choice(names, min(_CONTENDERS, len(names)), replace=False)
            best = min(contenders, key=lambda name: losses[name])
            parent = self._places[best]
            axis = int(rng.choice(open_axes))
            values = self._values[axis]
            at = values.index(parent[axis])
            if axis < len(ORDERED):
                at += int(rng.choice((-1, 1))) * int(rng.geometric(0.5))
            else:
                at = int(rng.integers(len(values)))
            if 0 <= at < len(values):
                place = (*parent[:axis], values[at], *parent[axis + 1 :])
                name = self._names.get(place)
                if name is not None and name not in taken:
                    return Pick(name, str(best))
        return None
