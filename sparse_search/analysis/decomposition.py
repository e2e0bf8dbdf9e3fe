"""What the whole map is made of: weights, structure, their interaction, and seeds.

The shares of the variance of one trial, y[structure, budget, seed], beside the held-out
R² of the nested models (`nested`). In a table with missing cells the order of weights
and structure matters, so both orders are averaged (the Shapley value; Lindeman, Merenda
and Gold 1980, section 4.8; Grömping 2007, The American Statistician 61). The mean of a
few seeds varies more than what it estimates: that noise is subtracted from each part.

All describe the declared cells, each with the same weight, and no others.
"""

from typing import Any

import numpy as np

from sparse_search.analysis import stats
from sparse_search.analysis.cells import Cells
from sparse_search.analysis.nested import (
    FEWEST_SEEDS,
    UNKNOWN,
    Bases,
    Table,
    bases_of,
    held_out,
    read,
    without_each_seed,
)

SHARES = ("weights", "structure", "interaction", "seeds")


def decompose(cells: Cells) -> dict[str, Any]:
    """The nested models and the shares of one set of structures.

    Returns:
        `cells`, `structures`, `budgets`, `seeds`: what it is about; `left_out`: cells
        with one seed beside others with several. `models`: by model its `held_out_r2`
        and `removes`, the part of the squared held-out error of the model before it
        that it removes. `shares`: by `SHARES` the part of the variance, and
        `weights_minus_structure`. `notes`: what cannot be said, and why. Unknown
        values are NaN.
    """
    table, left_out = read(cells)
    counts = np.isfinite(table.y).sum(axis=1)
    about = {
        "cells": len(counts),
        "structures": len(np.unique(table.structure)),
        "budgets": len(np.unique(table.budget)),
        "seeds": int(np.isfinite(table.y).any(axis=0).sum()),
        "left_out": left_out,
    }
    bases = bases_of(table)
    shares, notes = _shares(table, bases, about)
    return {
        **about,
        "models": held_out(table, bases),
        "shares": shares,
        "notes": notes,
    }


def _shares(
    table: Table, bases: Bases, about: dict[str, int]
) -> tuple[dict[str, Any], list[str]]:
    """The shares, and what cannot be said of them."""
    counts = np.isfinite(table.y).sum(axis=1)
    names = (*SHARES, "weights_minus_structure")
    shares: dict[str, Any] = dict.fromkeys(names, UNKNOWN)
    if not counts.size:
        return shares, ["No sparse structure has a finished trial."]
    budgets, structures = about["budgets"] > 1, about["structures"] > 1
    rank = bases.structure.shape[1] + bases.inside.shape[1]
    several = counts.max() > 1
    notes = []
    if not budgets:
        notes.append("One budget: what weights explain is unknown.")
    if not structures:
        notes.append("One structure: what structure explains is unknown.")
    if rank == len(counts) and budgets and structures:
        notes.append("Too few cells to tell an interaction from the two effects.")
    if bases.inside.shape[1] < about["budgets"] - 1:
        notes.append(
            "Some structures have no budgets in common with others: between them "
            "weights and structure cannot be told apart, and share what they explain."
        )
    if not several:
        notes.append(
            "One seed: interaction and seeds cannot be told apart, and the other "
            "shares hold noise too."
        )
    elif about["seeds"] < FEWEST_SEEDS:
        notes.append(f"Intervals take {FEWEST_SEEDS} seeds.")
    known = {
        "weights": budgets,
        "structure": structures,
        "interaction": rank < len(counts) and several,
        "seeds": several,
        "weights_minus_structure": budgets and structures,
    }
    values, half = _estimates(table.y, bases)
    for index, (name, there) in enumerate(known.items()):
        if there:
            value = values[index]
            ends = np.array([value, value - half[index], value + half[index]])
            # A share that the noise made negative is none.
            ends = np.clip(
                ends, -1.0 if name == "weights_minus_structure" else 0.0, 1.0
            )
            shares[name] = dict(zip(UNKNOWN, ends.tolist(), strict=True))
    return shares, notes


def _parts(bases: Bases, means: np.ndarray) -> np.ndarray:
    """(3, ...) sums of squares of `means` [C, ...]: weights, structure, interaction."""

    def squares(values: np.ndarray) -> np.ndarray:
        return (values**2).sum(axis=0)

    constant = squares(bases.constant.T @ means)
    budget = squares(bases.budget.T @ means) - constant
    structure = squares(bases.structure.T @ means) - constant
    both = structure + squares(bases.inside.T @ means)
    return np.stack(
        [
            (budget + both - structure) / 2,
            (structure + both - budget) / 2,
            squares(means) - constant - both,
        ]
    )


def _estimates(y: np.ndarray, bases: Bases) -> tuple[np.ndarray, np.ndarray]:
    """(5,) shares without the noise of seeds, and the half widths of their intervals.

    The covariance of the cells' means is estimated by the seeds' deviations from them,
    whatever shifts cells together (a seed everywhere, or at one budget). Half widths
    are by the jackknife over seeds.
    """
    there = np.isfinite(y)
    counts = there.sum(axis=1, keepdims=True)
    means = np.nansum(y, axis=1, keepdims=True) / counts
    found = _parts(bases, means[:, 0])
    if counts.max() < 2:
        return _normal(found, 0.0), np.full(5, np.nan)
    deviations = np.where(there, y - means, 0.0)
    noise = _parts(bases, deviations / np.sqrt(counts * (counts - 1))).sum(axis=1)
    within = float(((deviations**2).sum(axis=1) / (counts[:, 0] - 1)).sum())
    values = _normal(found - noise, within)
    seeds = y.shape[1]
    if seeds < FEWEST_SEEDS:
        return values, np.full(5, np.nan)
    others, left = without_each_seed(y)
    grown = counts.mean() / left.mean(axis=0)
    parts = _parts(bases, others) - noise[:, None] * grown
    repeats = np.array(
        [_normal(parts[:, k], _within(y, k, within)) for k in range(seeds)]
    )
    variance = (seeds - 1) * repeats.var(axis=0)
    return values, stats.t_quantile(seeds - 1) * np.sqrt(variance)


def _within(y: np.ndarray, left_out: int, otherwise: float) -> float:
    """The sum over cells of the variance within them, without one seed."""
    rest = np.delete(y, left_out, axis=1)
    rest = rest[np.isfinite(rest).sum(axis=1) > 1]
    if not len(rest):
        return otherwise
    return float(np.nanvar(rest, axis=1, ddof=1).mean() * len(y))


def _normal(parts: np.ndarray, within: float) -> np.ndarray:
    """(5,) the shares, which sum to 1, and weights − structure."""
    total = parts.sum() + within
    shares = np.append(parts, within) / (total if total > 0 else np.nan)
    return np.append(shares, shares[0] - shares[1])
