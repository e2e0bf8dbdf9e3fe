"""The two-way layout: structures × seeds at one budget, cells may be missing."""

from dataclasses import dataclass

import numpy as np
from scipy import special

from sparse_search.analysis.stats import FEWEST


@dataclass(frozen=True)
class Fit:
    """An additive fit y[s, k] = structure[s] + seed[k] + error, seeds summing to 0."""

    structure: np.ndarray  # (S,) adjusted for seeds
    seed: np.ndarray  # (K,) empty where seeds could not be told from error
    error: float  # residual variance, NaN where unknown
    dof: int
    replicates: float  # seeds a structure, had the table been complete
    per_seed: float  # structures a seed (harmonic mean)
    mean_factor: float  # variance of the mean of `structure`, in units of `error`
    p: float  # that all structures are equal

    @property
    def mean(self) -> float:
        """The mean over structures."""
        return float(self.structure.mean())


def fit_two_way(y: np.ndarray) -> Fit | None:
    """Fits structures and seeds by least squares; cells may be missing (NaN).

    Seeds are blocks (they share data split and order). Where the cells do not connect
    all structures through common seeds, or leave no error to estimate, the seeds are
    dropped from the fit.

    Args:
        y: (S, K) metrics.

    Returns:
        The fit over the structures that have any cell; None for an empty table.
    """
    y = y[:, np.isfinite(y).any(axis=0)]
    y = y[np.isfinite(y).any(axis=1)]
    if y.size == 0:
        return None
    there = np.isfinite(y).astype(float)
    n_structure, n_seed = there.sum(axis=1), there.sum(axis=0)
    rows, columns = y.shape
    filled = np.nan_to_num(y)
    row_mean = filled.sum(axis=1) / n_structure
    share = there / n_structure[:, None]
    # The normal equations of the seeds, structures eliminated: a K x K matrix.
    matrix = np.diag(n_seed) - there.T @ share
    values, vectors = np.linalg.eigh(matrix)
    rank = int((values > 1e-9 * columns * rows).sum())
    dof = int(there.sum()) - rows - columns + 1
    blocked = rank == columns - 1 and rank > 0 and dof > 0
    if blocked:
        inverse = (vectors[:, -rank:] / values[-rank:]) @ vectors[:, -rank:].T
        seed = inverse @ (filled.sum(axis=0) - there.T @ row_mean)
        structure = row_mean - share @ seed
        spread = np.einsum("sk,kl,sl->s", share, inverse, share)
        middle = share.mean(axis=0)
        extra = float(middle @ inverse @ middle)
    else:
        seed, structure = np.zeros(0), row_mean
        dof = int(there.sum()) - rows
        spread, extra = np.zeros(rows), 0.0
    mean_factor = float((1 / n_structure).sum()) / rows**2 + extra
    seeds = seed[None, :] if blocked else 0.0
    residual = np.where(there > 0, y - structure[:, None] - seeds, 0.0)
    # Rounding of equal values is not variance.
    noise = (1e-10 * np.abs(filled).max()) ** 2
    sse = float((residual**2).sum())
    error = sse / dof if dof > 0 else np.nan
    if error <= noise:
        error = 0.0 if dof >= FEWEST else np.nan
    replicates = np.nan
    if rows > 1:
        trace = float((1 / n_structure + spread).sum()) - rows * mean_factor
        replicates = (rows - 1) / trace
    return Fit(
        structure=structure,
        seed=seed,
        error=error,
        dof=max(dof, 0),
        replicates=replicates,
        per_seed=columns / float((1 / n_seed).sum()),
        mean_factor=mean_factor,
        p=_equality_p(y, there, error, sse, dof, blocked),
    )


def _equality_p(
    y: np.ndarray,
    there: np.ndarray,
    error: float,
    sse: float,
    dof: int,
    blocked: bool,
) -> float:
    rows = y.shape[0]
    if rows < 2 or np.isnan(error):
        return np.nan
    centre = np.nanmean(y, axis=0, keepdims=True) if blocked else np.nanmean(y)
    between = float((np.where(there > 0, y - centre, 0.0) ** 2).sum()) - sse
    between = max(between, 0.0) / (rows - 1)
    if error == 0:
        return 1.0 if between <= (1e-10 * np.nanmax(np.abs(y))) ** 2 else 0.0
    return float(special.fdtrc(rows - 1, dof, between / error))


def within_sd(y: np.ndarray) -> float:
    """The standard deviation between seeds of one structure, pooled; NaN if unknown."""
    counts = np.isfinite(y).sum(axis=1)
    y = y[counts > 1]
    if y.size == 0:
        return np.nan
    deviations = y - np.nanmean(y, axis=1, keepdims=True)
    return float(np.sqrt(np.nansum(deviations**2) / (counts[counts > 1] - 1).sum()))
