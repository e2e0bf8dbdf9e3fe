"""Where R crosses 1 along nnz, in either direction and as often as it does."""

from typing import Any

import numpy as np

from sparse_search.analysis.classes import STRUCTURE, WEIGHT, weights_matter
from sparse_search.analysis.effects import Effects

# Limits of R may be 0 or infinite; on the log scale they are cut here to interpolate.
_FARTHEST = np.log(64)


def boundaries(
    nnz: np.ndarray, effects: list[Effects], significant: np.ndarray
) -> list[dict[str, Any]]:
    """Every crossing between budgets at which R is more than a ratio of two noises.

    Crossings are interpolated linearly in log nnz, on log R, as their intervals are.
    An interval reaches to where the limits of R pass 1; it is unbounded (NaN) on a
    side where no budget is decided.

    Args:
        nnz: (B,) budgets.
        effects: their effects.
        significant: (B,) whether each structure effect is.
    """
    x = np.log2(nnz)
    with np.errstate(divide="ignore", invalid="ignore"):
        w = np.array([abs(e.weight.value) for e in effects])
        sigma = np.array([e.structure.value for e in effects])
        gap = np.clip(np.log(w) - np.log(sigma), -_FARTHEST, _FARTHEST)
    clear = np.array([weights_matter(e) for e in effects], bool) | significant
    clear &= np.isfinite(gap)
    limits = [_limits(effects, side) for side in (WEIGHT, STRUCTURE)]
    found = []
    known = np.flatnonzero(clear)
    for left, right in zip(known[:-1], known[1:], strict=True):
        if (gap[left] > 0) == (gap[right] > 0):
            continue
        part = gap[left] / (gap[left] - gap[right])
        at = x[left] + part * (x[right] - x[left])
        down = gap[left] > 0
        before, after = limits if down else limits[::-1]
        # Never on the wrong side of the estimate, which has its own interpolation.
        low = np.minimum(_first_undecided(x, before, after, left, -1), at)
        high = np.maximum(_first_undecided(x, after, before, right, 1), at)
        found.append(
            {
                "nnz": float(2**at),
                "low": float(2**low),
                "high": float(2**high),
                "from": WEIGHT if down else STRUCTURE,
                "to": STRUCTURE if down else WEIGHT,
            }
        )
    return found


def _limits(effects: list[Effects], side: str) -> np.ndarray:
    """(B,) how far inside `side` the interval of R lies, on the log scale."""
    with np.errstate(divide="ignore"):
        if side == WEIGHT:
            inside = np.log([e.dominance.low for e in effects])
        else:
            inside = -np.log([e.dominance.high for e in effects])
    return np.clip(inside, -_FARTHEST, _FARTHEST)


def _first_undecided(
    x: np.ndarray, side: np.ndarray, other: np.ndarray, start: int, step: int
) -> float:
    """Walks away from a crossing to the first decided budget; where `side` began.

    NaN if there is none, or one decided the other way comes first.
    """
    b = start
    while 0 <= b < len(x) and not side[b] > 0:
        if other[b] > 0:
            return np.nan
        b += step
    if not 0 <= b < len(x):
        return np.nan
    inner = b - step
    outside = side[inner] if side[inner] < 0 else 0.0
    part = side[b] / (side[b] - outside)
    return float(x[b] + part * (x[inner] - x[b]))
