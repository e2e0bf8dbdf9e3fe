"""Whether the best learning rate lies at an end of those that were tried.

Where it does, a network might be better still with another, and a comparison says as
much about the grid as about the networks.
"""

from typing import Any

import numpy as np

from sparse_search.analysis.table import Points, Trials, best


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
        "large_sparse": _ends(trials.sparse, trials.nnz),
        "small_dense": _ends(trials.dense, trials.dense_nnz),
    }


def _ends(points: Points, nnz: np.ndarray) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {"smallest": [], "largest": [], "budgets": []}
    for b, weights in enumerate(nnz):
        among = points.at(b)
        if not len(among):
            continue
        chosen = best(points, among)
        same = [
            points.learning_rate[p]
            for p in among
            if points.structures[p] == points.structures[chosen]
            and points.shapes[p] == points.shapes[chosen]
        ]
        tried = np.unique(np.array(same)[np.isfinite(same)])
        if len(tried) < 2:
            continue
        found["budgets"].append(int(weights))
        for end, rate in (("smallest", tried[0]), ("largest", tried[-1])):
            if points.learning_rate[chosen] == rate:
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
