"""Whether the best learning rate lies at an end of those that were tried.

Where it does, a network might be better still with another, and a comparison says as
much about the grid as about the networks.
"""

from typing import Any

import numpy as np

from sparse_search.analysis.table import Points, Shape, Trials, best


def at_ends(trials: Trials) -> dict[str, Any]:
    """At which budgets either side's best network has the first or the last rate.

    Args:
        trials: what `table.read_trials` gives.

    Returns:
        For `large_sparse` and `small_dense`: the nnz of the budgets whose best network
        (on validation) has the `smallest` or the `largest` of the learning rates that
        it was trained with, and of all `budgets` where it had several.
    """
    return {
        "large_sparse": _ends(trials.sparse, trials.nnz, trials.tried),
        "small_dense": _ends(trials.dense, trials.dense_nnz, trials.tried),
    }


def _ends(
    points: Points, nnz: np.ndarray, tried: dict[Shape, set[float]]
) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {"smallest": [], "largest": [], "budgets": []}
    for b, weights in enumerate(nnz):
        among = points.at(b)
        if not len(among):
            continue
        chosen = best(points, among)
        rate = points.learning_rate[chosen]
        shape = points.structures[chosen], *points.shapes[chosen]
        rates = tried.get((*shape, float(weights)), set())
        if len(rates) < 2 or not np.isfinite(rate):
            continue
        found["budgets"].append(int(weights))
        same = [
            p
            for p in among
            if (points.structures[p], *points.shapes[p]) == shape and p != chosen
        ]
        # One that is as good, such as another that is at chance level, decides nothing.
        mean = np.nanmean(points.valid[chosen])
        if any(np.nanmean(points.valid[p]) == mean for p in same):
            continue
        for end, last in (("smallest", min(rates)), ("largest", max(rates))):
            if rate == last:
                found[end].append(int(weights))
    return found


def caution(ends: dict[str, Any]) -> str:
    """What `at_ends` found as a sentence; "" where all are within."""
    parts = []
    for side, who in (("large_sparse", "sparse"), ("small_dense", "small dense")):
        said = [
            f"the {end} at {len(ends[side][end])}"
            for end in ("smallest", "largest")
            if ends[side][end]
        ]
        if said:
            budgets = f"{len(ends[side]['budgets'])} budgets"
            parts.append(
                f"the best {who} network has {' and '.join(said)} of {budgets}"
            )
    if not parts:
        return ""
    return (
        f"Of the learning rates that were tried {', '.join(parts)}: with others it may "
        "be better."
    )
