"""Weight effect, structure effect and dominance at every budget, with intervals.

- w(b): mean over the structures at both neighbouring budgets of their own change of
  the metric per doubling of nnz (at the ends: to the one neighbour);
- sigma(b): standard deviation between the structures at b, corrected for seed noise;
- R(b) = |w(b)| / sigma(b).

The declared structures are a fixed set, so the intervals carry seed noise only;
`random_effects` gives the wider ones for structures that were not sampled.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy import special

from sparse_search.analysis import stats
from sparse_search.analysis.cells import Cells
from sparse_search.analysis.layout import Fit, fit_two_way, within_sd
from sparse_search.analysis.shifts import Noise, shifted_means


class Interval(NamedTuple):
    """An estimate and its limits; NaN where unknown, infinite where unbounded."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Summary:
    """What the trials at one budget say, before any interval is drawn."""

    seeds: int
    seed_sd: float  # between seeds of one structure
    # The weight effect: mean slope, its noise, the slopes' spread.
    slope: float
    slope_noise: Noise
    slope_structures: int
    slope_seeds: int
    slope_spread: float  # between structures, variance, seed noise included
    # The structure effect.
    structures: int
    rms: float  # standard deviation of the structures' means, seed noise included
    replicates: float
    error: float
    dof: float
    p: float  # that all structures are equal

    @property
    def structure_sd(self) -> float:
        """The bias-corrected estimate of sigma(b)."""
        if self.structures < 2 or np.isnan(self.error):
            return np.nan
        return float(np.sqrt(max(0.0, self.rms**2 - self.error / self.replicates)))


THRESHOLDS = (0.5, 1.0, 2.0)
"""The values of R that classes are told apart at: 1, and 1/2 and 2 beside it."""


class Effects(NamedTuple):
    """The three effects of one budget, and how sure R is not one of `THRESHOLDS`."""

    weight: Interval
    structure: Interval
    dominance: Interval
    p: tuple[float, ...] = (np.nan,) * len(THRESHOLDS)


def neighbours(budget: int, budgets: int) -> tuple[int, int]:
    """The budgets that the slope at one budget is taken between."""
    return max(budget - 1, 0), min(budget + 1, budgets - 1)


def _slopes(cells: Cells) -> list[np.ndarray]:
    """(S, K) change per doubling of nnz, for every budget."""
    count = len(cells.nnz)
    doublings = np.log2(cells.nnz)
    slopes = []
    for b in range(count):
        left, right = neighbours(b, count)
        change = cells.test[:, right] - cells.test[:, left]
        slopes.append(change / (doublings[right] - doublings[left]))
    return slopes


def _independent(budgets: int) -> float:
    """How many independent contrasts the overlapping slopes are worth."""
    contrasts = np.zeros((budgets, budgets))
    for b in range(budgets):
        left, right = neighbours(b, budgets)
        contrasts[b, left], contrasts[b, right] = -1, 1
    correlation = np.corrcoef(contrasts) if budgets > 2 else np.ones((2, 2))
    return budgets**2 / float((correlation**2).sum())


def _slope_noise(fits: list[Fit | None]) -> list[Noise]:
    """The noise of each mean slope.

    Seeds may shift all structures together from one budget to the next: such shifts
    do not average out over structures, and 3 seeds alone say little about them, so
    their size relative to the error is pooled over budgets.
    """
    own, own_dof, scale, scale_dof, factor = np.full((5, len(fits)), np.nan)
    for b, fit in enumerate(fits):
        own_dof[b] = scale_dof[b] = 0
        if fit is None or fit.dof < 1:
            continue
        scale[b], scale_dof[b] = fit.error, fit.dof
        own[b], own_dof[b], factor[b] = fit.error, fit.dof, fit.mean_factor
        if len(fit.seed) > 1:
            own[b] = fit.seed.var(ddof=1) * fit.per_seed
            own_dof[b] = len(fit.seed) - 1
        else:
            scale_dof[b] = 0  # no seed effects to compare with: stands alone
    independent = _independent(len(fits))
    return shifted_means(own, own_dof, scale, scale_dof, factor, independent)


def summarise(cells: Cells) -> list[Summary]:
    """The summary of every budget of a table."""
    count = len(cells.nnz)
    levels = [fit_two_way(cells.test[:, b]) for b in range(count)]
    changes = _slopes(cells) if count > 1 else []
    slopes: list[Fit | None] = [None] * count
    noises = [Noise(np.nan, 0)] * count
    if count > 1:
        slopes = [fit_two_way(s) for s in changes]
        noises = _slope_noise(slopes)
    summaries = []
    for b, (level, slope) in enumerate(zip(levels, slopes, strict=True)):
        assert level is not None  # a budget is one because a structure has it
        spread = np.nan
        if slope is not None and len(slope.structure) > 1:
            # Seed shifts common to all structures come on top of their spread.
            common = max(0.0, noises[b].variance - slope.error * slope.mean_factor)
            spread = slope.structure.var(ddof=1) + common * len(slope.structure)
        rms = float(level.structure.std(ddof=1)) if len(level.structure) > 1 else np.nan
        summaries.append(
            Summary(
                seeds=_seeds(cells.test[:, b]),
                seed_sd=within_sd(cells.test[:, b]),
                slope=slope.mean if slope else np.nan,
                slope_noise=noises[b],
                slope_structures=len(slope.structure) if slope else 0,
                slope_seeds=_seeds(changes[b]) if slope else 0,
                slope_spread=spread,
                structures=len(level.structure),
                rms=0.0 if level.error == 0 and level.p == 1 else rms,
                replicates=level.replicates,
                error=level.error,
                dof=level.dof,
                p=level.p,
            )
        )
    return summaries


def _seeds(y: np.ndarray) -> int:
    return int(np.isfinite(y).any(axis=0).sum())


def weight_effect(summary: Summary, confidence: float = stats.CONFIDENCE) -> Interval:
    """w(b) with its interval."""
    s = summary
    if not s.slope_noise.known:
        return Interval(s.slope, np.nan, np.nan)
    half = float(s.slope_noise.quantiles((1 + confidence) / 2))
    return Interval(s.slope, s.slope - half, s.slope + half)


def effects(summary: Summary, confidence: float = stats.CONFIDENCE) -> Effects:
    """The effects of one budget: intervals for the declared structures."""
    s = summary
    weight = weight_effect(s, confidence)
    value = s.structure_sd
    unknown = Interval(np.nan, np.nan, np.nan)
    if np.isnan(value):
        return Effects(weight, unknown, unknown)
    distribution = stats.sd_distribution(
        s.rms, s.structures, s.replicates, s.error, s.dof
    )
    tails = [(1 - confidence) / 2, (1 + confidence) / 2]
    low, high = stats.quantiles(distribution, tails)
    structure = Interval(value, float(low), float(high))
    if np.isnan(weight.low):
        return Effects(weight, structure, unknown)
    slopes = s.slope + s.slope_noise.quantiles(stats.LEVELS)
    spread = stats.quantiles(distribution, stats.LEVELS)
    ratio = stats.ratios(slopes, spread)
    dominance = _dominance(weight, value, ratio, confidence)
    p = tuple(stats.ratio_p(ratio, threshold) for threshold in THRESHOLDS)
    return Effects(weight, structure, dominance, p)


def _dominance(
    weight: Interval,
    sd: float,
    ratio: np.ndarray,
    confidence: float,
) -> Interval:
    if weight.value == 0 and sd == 0:
        return Interval(np.nan, 0.0, np.inf)
    low, high = stats.ratio_interval(ratio, confidence)
    if weight.low <= 0 <= weight.high:
        low = 0.0
    return Interval(abs(weight.value) / sd if sd > 0 else np.inf, low, high)


def random_effects(summary: Summary, confidence: float = stats.CONFIDENCE) -> Effects:
    """The same, with the structures as a random sample of all that might be tried."""
    s, fixed = summary, effects(summary, confidence)
    unknown = Interval(np.nan, np.nan, np.nan)
    if s.structures < 2 or s.slope_structures < 2 or np.isnan(fixed.dominance.low):
        return Effects(unknown, unknown, unknown)
    variance, dof = s.slope_spread / s.slope_structures, s.slope_structures - 1
    half = stats.t_quantile(dof, confidence) * np.sqrt(variance)
    weight = Interval(s.slope, s.slope - half, s.slope + half)
    # Both mean squares over their chi-squares; the difference is the variance.
    between = (
        s.rms**2
        * (s.structures - 1)
        / special.chdtri(s.structures - 1, 1 - stats.LEVELS)
    )
    seeds = s.error / s.replicates * s.dof / special.chdtri(s.dof, 1 - stats.LEVELS)
    both = np.sqrt(np.maximum(np.subtract.outer(between, seeds), 0.0))
    tails = [(1 - confidence) / 2, (1 + confidence) / 2]
    low, high = stats.shared_quantiles(both, tails)
    structure = Interval(fixed.structure.value, float(low), float(high))
    slopes = stats.t_values(s.slope, variance, dof)
    spread = stats.shared_quantiles(both, stats.LEVELS)
    ratio = stats.ratios(slopes, spread)
    dominance = _dominance(weight, structure.value, ratio, confidence)
    return Effects(weight, structure, dominance)
