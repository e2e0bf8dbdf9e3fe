"""The noise of a mean over structures, all of which a seed may shift together.

The error of single trainings averages out over structures; a shift that a seed gives
all of them at one budget does not. With it, the variance of the mean is lambda times
what the error alone would give, lambda >= 1. Two or three seeds say little about
lambda: a t interval with their few degrees of freedom is several times too wide where
there are no shifts, and one without them far too narrow where there are. So the
interval is taken over what lambda may be: 1, with a weight that falls with the p value
of "no shifts", and otherwise as its own estimate and chi-square say.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from sparse_search.analysis import stats

# The weight of "no shifts" is p to this power. By numerical integration the 95 %
# interval of a mean then covers at 93 to 98 % for any lambda with 2 seeds at five
# budgets, at 94 to 97.5 % with 3; a power of 1 (a fiducial distribution cut at 1)
# gives 95 to 99 %, a smaller one too little where lambda is about 4.
_POWER = 0.3
# The part of lambda's distribution that is above 1, by its quantiles.
_EDGES = special.ndtr(np.linspace(-4.0, 4.0, 25))
_EDGES[0], _EDGES[-1] = 0.0, 1.0
_LEVELS, _SHARES = (_EDGES[1:] + _EDGES[:-1]) / 2, np.diff(_EDGES)
_GRID = np.geomspace(1e-2, 1e5, 48)  # of |mean − truth| in standard errors


class Noise(NamedTuple):
    """How far the mean may be from the truth.

    Attributes:
        error: its variance if there are no shifts.
        dof: the degrees of freedom of that.
        ratio: the estimate of lambda, not cut at 1.
        ratio_dof: the degrees of freedom of that, infinite where it is known.
    """

    error: float
    dof: float
    ratio: float = 1.0
    ratio_dof: float = np.inf

    @property
    def variance(self) -> float:
        """The estimate of the variance of the mean."""
        return self.error * max(self.ratio, 1.0)

    @property
    def known(self) -> bool:
        """Whether there is an estimate."""
        return bool(self.dof > 0) and not np.isnan(self.variance)

    def quantiles(self, levels: ArrayLike) -> np.ndarray:
        """The values of truth − mean at some probabilities."""
        levels = np.asarray(levels, float)
        if self.error <= 0:
            return np.zeros(levels.shape)
        if np.isinf(self.ratio_dof):
            return special.stdtrit(self.dof, levels) * np.sqrt(self.variance)
        half = self.ratio_dof / 2
        p = float(special.gammaincc(half, half * self.ratio))
        none = p**_POWER
        # lambda is its estimate over a chi-square over its degrees of freedom.
        chi2 = special.gammainccinv(half, 1 - (1 - p) * (1 - _LEVELS))
        ratios = self.ratio * half / np.maximum(chi2, 1e-12)
        below = none * special.stdtr(self.dof, _GRID)
        scaled = _GRID[:, None] / np.sqrt(np.maximum(ratios, 1.0))
        below += (1 - none) * special.stdtr(self.dof, scaled) @ _SHARES
        # A normal's is a straight line on these axes, the others nearly so.
        score = special.ndtri(np.minimum(below, 1 - 1e-16))
        wanted = special.ndtri(np.maximum(levels, 1 - levels))
        beyond = np.interp(
            np.log(np.maximum(wanted, 1e-9)), np.log(score), np.log(_GRID)
        )
        return np.sign(levels - 0.5) * np.exp(beyond) * np.sqrt(self.error)

    def scaled(self, variance: float, dof: float) -> "Noise":
        """With other numbers of seeds: its variance and degrees of freedom, so much."""
        return Noise(
            self.error * variance,
            self.dof * dof,
            self.ratio,
            self.ratio_dof * dof if dof > 0 else self.ratio_dof,
        )

    def with_structures(self, more: float) -> "Noise":
        """With so many times the structures, over which shifts do not average out."""
        ratio = 1 + max(self.ratio - 1, 0.0) * more
        return self._replace(error=self.error / more, ratio=ratio)


def shifted_means(
    own: np.ndarray,
    own_dof: np.ndarray,
    error: np.ndarray,
    error_dof: np.ndarray,
    factor: np.ndarray,
    independent: float,
) -> list[Noise]:
    """The noise of the means of several contrasts with the same seeds.

    lambda is taken common to all; a contrast whose own variance is clearly larger than
    that keeps its own.

    Args:
        own: (B,) variance over seeds, NaN where unknown, in units of `error`.
        own_dof: (B,) its degrees of freedom.
        error: (B,) the error variance.
        error_dof: (B,) its degrees of freedom.
        factor: (B,) the variance of the mean in units of `error`.
        independent: how many independent contrasts the B are worth.
    """
    pool = stats.pooled_ratio(own, own_dof, error, error_dof, independent, least=1.0)
    noises = []
    for b in range(len(own)):
        if pool is not None and pool.members[b]:
            unit = error[b] * factor[b]
            noises.append(Noise(unit, error_dof[b], pool.ratio, pool.dof))
        elif own[b] == 0 and max(own_dof[b], error_dof[b]) < stats.FEWEST:
            noises.append(Noise(np.nan, own_dof[b]))
        else:
            noises.append(Noise(own[b] * factor[b], own_dof[b]))
    return noises
