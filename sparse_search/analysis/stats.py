"""Small-sample statistics: intervals that cover with few seeds and structures.

Percentile bootstraps over three seeds or five structures do not cover; everything
here is a t, F or noncentral chi-square statement instead.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize, special

CONFIDENCE = 0.95
FEWEST = 5
"""Degrees of freedom below which a variance of 0, or one divided by, says nothing.

Accuracies are multiples of 1 / test size: two or three seeds agree by accident.
"""
SHAREABLE = 2
"""Degrees of freedom from which on a variance says something of others, and they of it.

By accident one over two seeds may be any part of the true variance.
"""
ENOUGH_SEEDS = 5
"""From which on a contrast's own variance says enough."""
_TIE = 1e-12  # a variance, of metrics: what single precision makes of equal differences

# Half the degrees of freedom of a prior: beyond, it is as good as known, or worthless.
_LEAST_HALF, _MOST_HALF = 1e-6, 1e6

# Quadrature over the unknown error variance, by its probability.
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(24)
_NODES, _WEIGHTS = (_NODES + 1) / 2, _WEIGHTS / 2
# Where a distribution is represented by its quantiles at some levels, each with its
# share of the probability: as fine in the tails as in the middle, since intervals at
# 99.9 % are needed where a budget is looked at again and again.
_EDGES = special.ndtr(np.linspace(-4.5, 4.5, 91))
_EDGES[0], _EDGES[-1] = 0.0, 1.0
LEVELS = (_EDGES[1:] + _EDGES[:-1]) / 2
SHARES = np.diff(_EDGES)
# Tails are needed to 0.0025, so the grid is finer there than at its middle.
_GRID = special.ndtr(np.linspace(-3.5, 3.5, 64))


def t_interval(
    values: ArrayLike, confidence: float = CONFIDENCE
) -> tuple[float, float, float]:
    """The mean of some values and its t interval; NaN limits for a single value."""
    values = np.asarray(values, float)
    values = values[np.isfinite(values)]
    if len(values) == 0:
        return np.nan, np.nan, np.nan
    mean = float(values.mean())
    if len(values) == 1:
        return mean, np.nan, np.nan
    error = values.std(ddof=1) / np.sqrt(len(values))
    half = float(t_quantile(len(values) - 1, confidence) * error)
    return mean, mean - half, mean + half


def t_quantile(dof: float, confidence: float = CONFIDENCE) -> float:
    """The two-sided quantile: an interval is the estimate ± this × standard error."""
    return float(special.stdtrit(dof, (1 + confidence) / 2))


def holm(p: ArrayLike) -> np.ndarray:
    """Holm's step-down adjusted p values; NaN (not tested) stays NaN, uncounted."""
    p = np.asarray(p, float)
    adjusted = np.full(p.shape, np.nan)
    order = [i for i in np.argsort(p) if np.isfinite(p[i])]
    highest = 0.0
    for rank, i in enumerate(order):
        highest = max(highest, min(1.0, (len(order) - rank) * p[i]))
        adjusted[i] = highest
    return adjusted


def t_values(mean: float, variance: float, dof: float) -> np.ndarray:
    """The values of a mean at `LEVELS`, given its estimate."""
    if variance <= 0:
        return np.full(len(LEVELS), mean)
    return mean + np.sqrt(variance) * special.stdtrit(dof, LEVELS)


def noncentral_cdf(x: np.ndarray, dof: int, noncentrality: np.ndarray) -> np.ndarray:
    """The noncentral chi-square distribution function, fast at any noncentrality.

    The exact series is slow where it has many terms; there Sankaran's normal
    approximation (Biometrika 50, 1963) agrees to 0.001.
    """
    mean = dof + noncentrality
    double = dof + 2 * noncentrality
    power = 1 - 2 / 3 * mean * (dof + 3 * noncentrality) / double**2
    p = double / mean**2
    m = (power - 1) * (1 - 3 * power)
    centre = 1 + power * p * (power - 1 - (2 - power) * m * p / 2)
    scale = power * np.sqrt(2 * p) * (1 + m * p / 2)
    cdf = special.ndtr(((x / mean) ** power - centre) / scale)
    short = mean < 40
    cdf[short] = special.chndtr(x[short], dof, noncentrality[short])
    return cdf


def sd_distribution(
    rms: float, groups: int, replicates: float, error: float, dof: float
) -> tuple[np.ndarray, np.ndarray]:
    """The confidence distribution of the standard deviation between fixed groups.

    With n replicates, n (G−1) rms² / error is noncentral chi-square, noncentrality
    n (G−1) sd² / error. The error variance is itself an estimate, and is integrated
    over its chi-square; at sd = 0 that is the F test, at a large sd the t interval.

    Args:
        rms: standard deviation of the observed group means, noise included.
        groups: G.
        replicates: n, the values that a group mean is over.
        error: estimated error variance of one value.
        dof: its degrees of freedom.

    Returns:
        Values of the standard deviation (increasing) and their probabilities.
    """
    if error <= 0:
        return np.array([rms, rms]), np.array([0.0, 1.0])
    p = groups - 1
    noise = error / replicates
    # Less spread than noise alone would give says nothing more than "as much":
    # without this, lucky tables would get absurdly narrow intervals.
    observed = max(rms**2, noise)
    centre = np.sqrt(observed - noise)
    flat = noise * np.sqrt(2 / p)
    scale = max(np.sqrt(noise / p), flat / max(centre, np.sqrt(flat)))
    grid = np.maximum(centre + 1.5 * scale * special.stdtrit(dof, _GRID), 0.0)
    grid = np.concatenate([[0.0], grid[grid > 0]])
    chi2 = 2 * special.gammaincinv(dof / 2, _NODES)
    unit = replicates * p * chi2 / (error * dof)
    noncentrality = np.outer(grid**2, unit)
    x = np.broadcast_to(observed * unit, noncentrality.shape)
    tail = 1 - noncentral_cdf(x, p, noncentrality)
    return grid, np.maximum.accumulate(tail @ _WEIGHTS)


def quantiles(
    distribution: tuple[np.ndarray, np.ndarray], levels: ArrayLike
) -> np.ndarray:
    """Values of a distribution at some probabilities; a mass at its start counts."""
    values, probabilities = distribution
    return np.interp(np.asarray(levels), probabilities, values)


def shared_quantiles(values: np.ndarray, levels: ArrayLike) -> np.ndarray:
    """Quantiles of f(x, y) from its values at `LEVELS` of two independent x and y.

    They are among the values: between a number and infinity there is nothing.

    Args:
        values: (L, L).
        levels: the probabilities.
    """
    order = np.argsort(values, axis=None)
    below = np.cumsum(np.outer(SHARES, SHARES).ravel()[order])
    index = np.minimum(np.searchsorted(below, levels), len(order) - 1)
    return values.ravel()[order][index]


def ratios(top: np.ndarray, bottom: np.ndarray) -> np.ndarray:
    """(L, L) |top| / bottom from their values at `LEVELS` (independent)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.abs(top)[:, None] / bottom[None, :]
    return np.where(np.isnan(ratio), np.inf, ratio)


def ratio_p(ratio: np.ndarray, is_: float) -> float:
    """The two-sided p value of a ratio, by its values at `LEVELS`, being a number."""
    below = float(SHARES @ (ratio < is_) @ SHARES)
    above = float(SHARES @ (ratio > is_) @ SHARES)
    return min(1.0, 2 * min(below, above))


def ratio_interval(
    ratio: np.ndarray, confidence: float = CONFIDENCE
) -> tuple[float, float]:
    """Limits of a ratio from its values at `LEVELS`."""
    low, high = shared_quantiles(ratio, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


class Pool(NamedTuple):
    """A ratio of variances, common to several contrasts.

    Attributes:
        ratio: the estimate.
        dof: its degrees of freedom.
        known: (B,) bool, the contrasts that it is estimated from.
        members: (B,) bool, those of them that it holds for.
    """

    ratio: float
    dof: float
    known: np.ndarray
    members: np.ndarray


def pooled_ratio(
    own: np.ndarray,
    own_dof: np.ndarray,
    scale: np.ndarray,
    scale_dof: np.ndarray,
    independent: float,
    least: float = 0.0,
) -> Pool | None:
    """By how much variances over few seeds exceed well-estimated ones, pooled.

    A contrast whose own variance is clearly larger than that is no member.

    Args:
        own: (B,) the contrasts' own variances.
        own_dof: (B,) their degrees of freedom.
        scale: (B,) the variances they are compared with.
        scale_dof: (B,) their degrees of freedom.
        independent: how many independent contrasts the B are worth.
        least: what the true ratio cannot be below.

    Returns:
        The ratio, not cut at `least`; None where no contrast has both variances.
    """
    known = (scale > 0) & (scale_dof >= FEWEST) & (own_dof > 0)
    if not known.any():
        return None
    # The factor corrects the mean of 1 / chi-square.
    ratios = own[known] / scale[known] * (scale_dof[known] - 2) / scale_dof[known]
    ratio = float(np.average(ratios, weights=own_dof[known]))
    dof = float(own_dof[known].mean()) * independent * known.sum() / len(own)
    with np.errstate(divide="ignore", invalid="ignore"):
        excess = special.fdtrc(own_dof, dof, own / (max(ratio, least) * scale))
    return Pool(ratio, dof, known, known & (excess > 0.01))


class Prior(NamedTuple):
    """What ratios of variances are like, before a contrast's own is seen.

    Attributes:
        ratio: about which they are.
        dof: how many degrees of freedom that is worth.
    """

    ratio: float
    dof: float


def moderation(
    ratio: np.ndarray, dof: np.ndarray, scale_dof: np.ndarray
) -> Prior | None:
    """How much ratios of variances have in common.

    True ratios are taken as a multiple of an inverse chi-square variable, and fitted by
    the mean and the variance of the logarithms (Smyth 2004, Statistical Applications in
    Genetics and Molecular Biology 3, 3).

    Args:
        ratio: (B,) estimates; those that are 0 say nothing.
        dof: (B,) their degrees of freedom; those with fewer than `SHAREABLE` say too
            little.
        scale_dof: (B,) those of what they are ratios to.

    Returns:
        The prior; None where the ratios differ no more than by chance.
    """
    seen = (ratio > 0) & (dof >= SHAREABLE)
    if seen.sum() < 3:
        return None
    half, half_scale = dof[seen] / 2, scale_dof[seen] / 2
    logs = np.log(ratio[seen]) - special.digamma(half) + np.log(half)
    chance = special.polygamma(1, half) + special.polygamma(1, half_scale)
    spread = float(logs.var(ddof=1) - chance.mean())
    if spread <= special.polygamma(1, _MOST_HALF):
        return None
    found = optimize.root_scalar(
        lambda x: special.polygamma(1, x) - spread, bracket=(_LEAST_HALF, _MOST_HALF)
    )
    prior = float(found.root)
    at = logs.mean() + special.digamma(prior) - np.log(prior)
    return Prior(float(np.exp(at)), 2 * prior)


def pooled_variance(
    own: np.ndarray,
    own_dof: np.ndarray,
    scale: np.ndarray,
    scale_dof: np.ndarray,
    independent: float,
    alone: np.ndarray,
    least: float = 0.0,
) -> tuple[np.ndarray, np.ndarray]:
    """Variances of several contrasts that have too few seeds to stand alone.

    Each contrast has its own estimate over seeds (2 degrees of freedom with 3 seeds)
    and a `scale`, a well-estimated variance that it should be a multiple of. The
    multiple is taken common to all contrasts, and one whose own estimate is clearly
    larger than that keeps its own. Where multiples differ by more than chance, each
    is moderated instead (`moderation`), and one that varies more than that keeps its
    own: networks that fail with some seeds at some budgets say nothing of the others.
    With fewer degrees of freedom than `SHAREABLE`, two seeds, each keeps its own.

    Args:
        own: (B,) the contrasts' own variances.
        own_dof: (B,) their degrees of freedom.
        scale: (B,) the variances they are compared with.
        scale_dof: (B,) their degrees of freedom.
        independent: how many independent contrasts the B are worth.
        alone: (B,) bool, those that keep their own variance, if they have one; others
            still learn from them.
        least: how many times the scale the true variance is at least.

    Returns:
        (B,) variances, NaN where unknown, and (B,) degrees of freedom.
    """
    own = np.where(own < _TIE, 0.0, own)
    variance, dof = own.copy(), own_dof.astype(float)
    shared = (~alone & (own_dof >= SHAREABLE)) | (own == 0)
    variance[(own == 0) & (np.maximum(own_dof, scale_dof) < FEWEST)] = np.nan
    pool = pooled_ratio(own, own_dof, scale, scale_dof, independent, least)
    if pool is None:
        return variance, dof
    known = pool.known
    prior = moderation(own[known] / scale[known], own_dof[known], scale_dof[known])
    if prior is None:
        told = pool.members & shared
        variance[told] = pool.ratio * scale[told]
        dof[told] = pool.dof
    else:
        weight = own_dof + prior.dof
        moderated = (own_dof * own + prior.dof * prior.ratio * scale) / weight
        # What varies more than its prior is believed: else networks that fail with
        # some seeds would have intervals that hold the truth too seldom.
        told = known & shared & (own <= moderated)
        variance[told] = moderated[told]
        dof[told] = np.minimum(weight[told], pool.dof)
    variance[told] = np.maximum(variance[told], least * scale[told])
    dof[told] = 1 / (1 / dof[told] + 1 / scale_dof[told])
    return variance, dof
