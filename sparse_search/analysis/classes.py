"""The five classes of a budget, and how much data an undecided one would need."""

from dataclasses import replace

import numpy as np
from scipy import special

from sparse_search.analysis import stats
from sparse_search.analysis.effects import THRESHOLDS, Effects, Summary, effects

WEIGHT = "weight-dominated"
STRUCTURE = "structure-dominated"
BALANCED = "balanced"
SATURATED = "saturated"
UNDETERMINED = "undetermined"

# An interval at this confidence is 2.8 instead of 1.96 standard errors wide: a decision
# that still holds there is one that new data would reach in 80 % of the cases.
_POWER_CONFIDENCE = 2 * float(special.ndtr(1.96 + 0.84)) - 1
_SIZES = [3, 4, 5, 6, 8, 10, 13, 16, 20, 25, 32, 40, 50, 64, 80, 100, 128]


def weights_matter(effect: Effects) -> bool:
    """Whether w(b) is not 0, with confidence."""
    return effect.weight.low > 0 or effect.weight.high < 0


def classify(
    effect: Effects,
    seed_sd: float,
    significant: bool,
    resolved: bool = True,
    threshold: float = 1.0,
) -> str:
    """The class of one budget.

    Args:
        effect: its effects.
        seed_sd: one seed standard deviation, the width that counts as saturated.
        significant: whether the structure effect is, corrected for all budgets.
        resolved: whether R differs from the threshold, corrected likewise; where the
            effects' own confidence is corrected, it needs no further one.
        threshold: the R at which weight and structure are held to be worth as much.
    """
    weight, structure, dominance, _ = effect
    if np.isnan([weight.low, structure.low, dominance.low]).any():
        return UNDETERMINED
    low, high = dominance.low / threshold, dominance.high / threshold
    matters = weights_matter(effect)
    if matters and resolved and low > 1:
        return WEIGHT
    if significant and resolved and high < 1:
        return STRUCTURE
    if matters and significant and 0.5 <= low <= 1 <= high <= 2:
        return BALANCED
    reach = max(abs(weight.low), abs(weight.high), structure.high)
    if not matters and not significant and reach <= seed_sd:
        return SATURATED
    return UNDETERMINED


def classify_all(
    found: list[Effects], summaries: list[Summary], threshold: float = 1.0
) -> list[str]:
    """The classes of all budgets of one table, which share their errors.

    Where R were 1 at every budget, one class of a table or more would be wrong, on
    either side, in 5 % of the tables.

    Args:
        found: the effects of every budget.
        summaries: what they are of.
        threshold: see `classify`.
    """
    return [
        classify(effect, s.seed_sd, bool(matters), bool(sure), threshold)
        for effect, s, matters, sure in zip(
            found,
            summaries,
            significant_structures(summaries),
            resolved(found, threshold),
            strict=True,
        )
    ]


def resolved(found: list[Effects], threshold: float = 1.0) -> np.ndarray:
    """(B,) whether each R differs from a threshold, by Holm over budgets."""
    place = THRESHOLDS.index(threshold)
    adjusted = stats.holm([effect.p[place] for effect in found])
    return np.nan_to_num(adjusted, nan=0.0) < 1 - stats.CONFIDENCE


def significant_structures(summaries: list[Summary]) -> np.ndarray:
    """(B,) whether each structure effect is significant, by Holm over budgets."""
    adjusted = stats.holm([s.p for s in summaries])
    return np.nan_to_num(adjusted, nan=1.0) < 1 - stats.CONFIDENCE


def needed(summary: Summary, budgets: int) -> dict[str, int | bool | None] | None:
    """How many seeds, or how many structures, an undetermined budget would need.

    A plain power estimate: were the estimates the truth, the size at which a decision
    is reached in about 80 % of repetitions; more structures are taken to be like those
    there are. None stands for more than 128. With too little data to estimate any
    noise it is the least that allows a test, marked `at_least`; `budgets` is there
    where no structure was trained at a neighbouring budget.

    Args:
        summary: the undetermined budget.
        budgets: how many budgets share the Holm correction.
    """
    s = summary
    if budgets < 2 or np.isnan(s.slope):
        return {"seeds": None, "structures": None, "budgets": 2, "at_least": True}
    effect = effects(s)
    if np.isnan(effect.dominance.low):
        # Noise is unknown: a single seed or structure, or too few that differ.
        more = s.structures > 1 and s.seeds > 1
        return {
            "seeds": max(3, s.seeds + more),
            "structures": max(2, s.structures),
            "at_least": True,
        }
    seeds = [(n, with_seeds(s, n, n)) for n in _SIZES if n > s.seeds]
    more = [(n, _with_structures(s, n)) for n in _SIZES if n > s.structures]
    return {
        "seeds": _first_decided(seeds, budgets),
        "structures": _first_decided(more, budgets),
    }


def _first_decided(planned: list[tuple[int, Summary]], budgets: int) -> int | None:
    def decided(s: Summary) -> bool:
        # Bonferroni, its power raised as that of the intervals.
        significant = s.p < (1 - _POWER_CONFIDENCE) / budgets
        effect = effects(s, _POWER_CONFIDENCE)
        sure = effect.p[THRESHOLDS.index(1.0)] < (1 - _POWER_CONFIDENCE) / budgets
        return classify(effect, s.seed_sd, significant, sure) != UNDETERMINED

    if not planned or not decided(planned[-1][1]):
        return None
    low, high = -1, len(planned) - 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if decided(planned[middle][1]) else (middle, high)
    return planned[high][0]


def _expected(s: Summary) -> Summary:
    noise = s.error / s.replicates
    rms = float(np.sqrt(s.structure_sd**2 + noise))
    p = np.nan
    if s.error > 0:
        p = float(special.fdtrc(s.structures - 1, s.dof, rms**2 / noise))
    return replace(s, rms=rms, p=p)


def with_seeds(s: Summary, seeds: int, slope_seeds: int) -> Summary:
    """What would be seen with other numbers of seeds, were the estimates the truth.

    Args:
        s: what is seen.
        seeds: at the budget itself.
        slope_seeds: at both its neighbours.
    """
    return _expected(
        replace(
            s,
            seeds=seeds,
            slope_seeds=slope_seeds,
            slope_noise=s.slope_noise.scaled(
                s.slope_seeds / slope_seeds,
                (slope_seeds - 1) / max(s.slope_seeds - 1, 1),
            ),
            replicates=s.replicates * seeds / s.seeds,
            dof=s.dof * (seeds - 1) / max(s.seeds - 1, 1),
        )
    )


def _with_structures(s: Summary, structures: int) -> Summary:
    more, dof = structures / s.structures, (structures - 1) / (s.structures - 1)
    return _expected(
        replace(
            s,
            structures=structures,
            slope_noise=s.slope_noise.with_structures(more),
            dof=s.dof * dof,
        )
    )
