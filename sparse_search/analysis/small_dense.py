"""Large-sparse against small-dense at equal nnz: the claim that the map is held to.

Both sides are chosen on validation and compared on test, the choice repeated for every
seed on the other seeds; the difference is paired by seed.
"""

from typing import Any

import numpy as np

from sparse_search.analysis import stats
from sparse_search.analysis.cells import Cells
from sparse_search.analysis.effects import Summary
from sparse_search.analysis.gains import (
    DenseCurve,
    cross_fitted,
    gains,
    reference_points,
)
from sparse_search.analysis.table import Trials, best, nearest


def compare(
    trials: Trials, cells: Cells, summaries: list[Summary], curve: DenseCurve | None
) -> list[dict[str, Any]]:
    """A row for every budget that has a small dense reference.

    `difference` is sparse − dense in units of the metric (for a loss, negative is
    better). `gain` is the best structure's; `gain_mean` and `gain_sd` are over all
    structures (null where any is censored). A gain that is "above" is at least `low`
    doublings, with confidence; one that is "below" at most `high`.
    """
    count, seeds = len(trials.nnz), len(trials.seeds)
    sparse, dense = np.full((2, count, seeds), np.nan)
    agreed = np.ones(count, bool)
    for b, nnz in enumerate(trials.nnz):
        sparse[b], agreed[b] = cross_fitted(trials.sparse, trials.sparse.at(b))
        budget = nearest(trials.dense_nnz, nnz)
        if budget is not None:
            among = reference_points(trials, budget)
            dense[b], same = cross_fitted(trials.dense, among)
            agreed[b] &= same
    difference = sparse - dense
    half = half_widths(difference, agreed, summaries, len(agreed))
    if curve is not None:
        gained, censored = gains(cells, curve)
        # At another nnz than the budget's own the seeds may be shifted otherwise.
        far = sparse - _reached(sparse, difference, curve)
        half_far = half_widths(far, agreed, summaries, len(agreed))
        half_far = np.where(np.isnan(half_far), half, half_far)
    rows = []
    for b in np.flatnonzero(np.isfinite(difference).any(axis=1)).tolist():
        value = float(np.nanmean(difference[b]))
        chosen = best(trials.sparse, trials.sparse.at(b))
        row = {
            "nnz": int(trials.nnz[b]),
            "difference": value,
            "low": value - half[b],
            "high": value + half[b],
            "best_structure": trials.sparse.structures[chosen],
            "best_density": trials.sparse.density[chosen],
            "seeds": int(np.isfinite(difference[b]).sum()),
        }
        if curve is not None:
            # The noise of the difference to the curve there, read off the curve: what
            # lies within it of the sparse metric cannot be told from it.
            mean = _paired_mean(sparse[b], difference[b])
            row["gain"] = gain_of(curve, np.log2(trials.nnz[b]), mean, half_far[b])
            row |= _spread(gained[:, b], censored[:, b])
        else:
            row["gain"] = dict(value=None, low=None, high=None, censored=None)
            row |= {"gain_mean": None, "gain_sd": None}
        rows.append(row)
    return rows


def _paired_mean(sparse: np.ndarray, difference: np.ndarray) -> float:
    """The mean over the seeds that small dense has, too."""
    return float(np.nanmean(np.where(np.isfinite(difference), sparse, np.nan)))


def _reached(
    sparse: np.ndarray, difference: np.ndarray, curve: DenseCurve
) -> np.ndarray:
    """(B, K) each seed of small dense where it is, on average, as good as sparse."""
    found = np.full(sparse.shape, np.nan)
    for b in np.flatnonzero(np.isfinite(difference).any(axis=1)).tolist():
        mean = _paired_mean(sparse[b], difference[b])
        found[b] = curve.at_seeds(float(curve.reach(np.array(mean))[0]))
    return found


def half_widths(
    difference: np.ndarray,
    agreed: np.ndarray,
    summaries: list[Summary],
    independent: float,
) -> np.ndarray:
    """(B,) half widths of the differences' intervals, NaN where they have none.

    Args:
        difference: (B, K) sparse − dense, paired by seed.
        agreed: (B,) whether the choices are the same for all seeds.
        summaries: of the sparse structures at those budgets.
        independent: how many independent differences the B are worth.
    """
    counts = np.isfinite(difference).sum(axis=1)
    own = np.full(len(counts), np.nan)
    several = counts > 1
    own[several] = np.nanvar(difference[several], axis=1, ddof=1)
    variance, dof = stats.pooled_variance(
        own,
        np.maximum(counts - 1, 0),
        np.array([s.error for s in summaries]),
        np.array([s.dof for s in summaries]),
        independent=independent,
        # With fewer seeds budgets share what their variances have in common.
        alone=counts >= stats.ENOUGH_SEEDS,
    )
    # Where the choice changes with the seed left out, each seed's choice leans on the
    # others' luck, and the mean varies twice as much as its seeds say (simulated: 1.9
    # to 2.1 times for equally good structures, 2 to 5 seeds, 3 to 40 structures).
    variance = np.where(agreed, variance, 2 * variance)
    half = np.full(len(counts), np.nan)
    for b in np.flatnonzero(several):
        quantile = stats.t_quantile(dof[b], stats.CONFIDENCE)
        half[b] = quantile * np.sqrt(variance[b] / counts[b])
    return half


def gain_of(
    curve: DenseCurve, start: float, mean: float, half: float
) -> dict[str, Any]:
    """How many doublings beyond `start` (log2) the curve reaches a metric."""
    at = [mean, mean - curve.sign * half, mean + curve.sign * half]
    (value, low, high), (side, low_side, high_side) = curve.reach(np.array(at))
    known = np.isfinite(half)
    return {
        "value": value - start if side == 0 else None,
        # The end of the curve still bounds what lies beyond it.
        "low": low - start if known and low_side != -1 else None,
        "high": high - start if known and high_side != 1 else None,
        "censored": {-1: "below", 0: None, 1: "above"}[int(side)],
    }


def _spread(gained: np.ndarray, censored: np.ndarray) -> dict[str, Any]:
    there = np.isfinite(gained).any(axis=1)
    if censored[there].any():
        return {"gain_mean": None, "gain_sd": None}
    means = np.nanmean(gained[there], axis=1)
    sd = float(means.std(ddof=1)) if len(means) > 1 else None
    return {"gain_mean": float(means.mean()), "gain_sd": sd}
