"""How sure a look must be at data that grow and are looked at again and again.

A test at 5 % that is repeated as data come in errs far more often than that. A spending
function says how much of the error may be used up until a part t of the data is in; the
level of every look follows from it and from how alike looks at nested data are (Lan and
DeMets 1983, Biometrika 70). Here it is 5 % × t² (Kim and DeMets 1987, Biometrika 74):
early looks, which have few degrees of freedom, get little. The levels are those of a
normal mean whose data come in independent parts; as nominal levels they serve intervals
of other distributions (Jennison and Turnbull 2000, Group Sequential Methods).
"""

from functools import lru_cache, partial

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize, special

_POWER = 2
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(256)


@lru_cache
def levels(sizes: tuple[int, ...], error: float) -> tuple[float, ...]:
    """The two-sided level of every look.

    Args:
        sizes: how much data there are at each look that may come, increasing.
        error: of all looks together.
    """
    parts = np.array(sizes) / sizes[-1]
    spent = np.diff(error * parts**_POWER, prepend=0.0)
    return tuple((2 * special.ndtr(-bounds(parts, spent))).tolist())


def bounds(parts: ArrayLike, spent: ArrayLike) -> np.ndarray:
    """The |z| from which a look decides, so that each errs just as often as it may.

    A sum of noise up to part t of the data is a Brownian motion at time t; its density
    where no look has decided yet is carried from look to look on a grid (Armitage,
    McPherson and Rowe 1969, Journal of the Royal Statistical Society A 132).

    Args:
        parts: of the data, at each look, increasing.
        spent: the probability that a look is the first that decides, wrongly.
    """
    parts, spent = np.asarray(parts), np.asarray(spent)
    at, mass = np.zeros(1), np.ones(1)
    found, before = [], 0.0
    for part, share in zip(parts, spent, strict=True):
        step = np.sqrt(part - before)
        excess = partial(_excess, share, at, mass, np.sqrt(part), step)
        found.append(optimize.brentq(excess, 0.0, 12.0))
        edge = found[-1] * np.sqrt(part)
        moves = np.subtract.outer(edge * _NODES, at) / step
        density = np.exp(-(moves**2) / 2) / (step * np.sqrt(2 * np.pi)) @ mass
        at, mass, before = edge * _NODES, edge * _WEIGHTS * density, part
    return np.array(found)


def _excess(
    share: float,
    at: np.ndarray,
    mass: np.ndarray,
    scale: float,
    step: float,
    bound: float,
) -> float:
    """By how much a bound is crossed too often, on the log scale."""
    beyond = special.ndtr((at - bound * scale) / step)
    beyond = beyond + special.ndtr((-at - bound * scale) / step)
    return float(np.log(max(mass @ beyond, 1e-300)) - np.log(share))
