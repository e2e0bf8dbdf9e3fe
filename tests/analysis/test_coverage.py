"""Small simulations; longer ones gave the same: see the numbers in each test."""

from collections import Counter

import numpy as np
import pytest
from region_tables import NNZ, table

from sparse_search.analysis import classes
from sparse_search.analysis.cells import sparse_cells
from sparse_search.analysis.effects import effects, summarise
from sparse_search.analysis.table import read_trials

TABLES = 60


def simulate(drop=0.0, slope=0.04, sd=0.02, **shape):
    """Coverage of (w, sigma, R), shares of classes, tables with a structure class."""
    rng = np.random.default_rng(1)
    covered, named, structural = np.zeros(3), Counter(), 0
    for _ in range(TABLES):
        rows = table(rng, slope=slope, sd=sd, **shape)
        rows = [r for r in rows if rng.random() >= drop]
        found = summarise(sparse_cells(read_trials(rows, "accuracy")))
        every = [effects(summary) for summary in found]
        here = classes.classify_all(every, found)
        for effect, name in zip(every, here, strict=True):
            truth = (slope, sd, slope / sd if sd else 0)
            covered += [
                e.low <= t <= e.high for e, t in zip(effect[:3], truth, strict=True)
            ]
            named[name] += 1
        structural += classes.STRUCTURE in here
    count = TABLES * len(NNZ)
    shares = {name: times / count for name, times in named.items()}
    return covered / count, shares, structural / TABLES


@pytest.mark.parametrize(
    "shape",
    [
        {},
        {"shift": 0.01},
        {"noise": [0.04, 0.03, 0.01, 0.005, 0.002], "shift": 0.003},
        {"drop": 0.2, "shift": 0.005},
        {"heavy": True},
        {"structures": 5, "seeds": 5, "slope": 0.01},
        {"structures": 4, "seeds": 2, "shift": 0.005},
        {"structures": 2, "seeds": 3},
    ],
)
def test_intervals_cover(shape):
    covered, _, _ = simulate(**shape)
    # 300 intervals, 5 and 5 of a table related: 0.95 has a standard error of 0.015.
    assert (covered >= 0.9).all(), covered


def test_no_effect_is_not_called_structure():
    _, shares, structural = simulate(slope=0.0, sd=0.0)
    assert structural <= 0.1  # 0.03 in 200 tables
    assert shares.get(classes.WEIGHT, 0) <= 0.05
    assert shares[classes.SATURATED] > 0.8


@pytest.mark.parametrize(
    ("slope", "sd", "name"),
    [(0.04, 0.01, classes.WEIGHT), (0.005, 0.02, classes.STRUCTURE)],
)
def test_clear_cases_are_decided(slope, sd, name):
    _, shares, _ = simulate(slope=slope, sd=sd)
    assert shares[name] > 0.95


def test_wide_intervals_are_never_saturated():
    _, shares, _ = simulate(slope=0.0, sd=0.0, structures=2, seeds=2)
    assert shares.get(classes.SATURATED, 0) < 0.5
    assert shares[classes.UNDETERMINED] > 0.5
