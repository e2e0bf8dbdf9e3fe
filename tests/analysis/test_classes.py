from dataclasses import replace

import numpy as np
import pytest
from region_tables import table

from sparse_search.analysis import classes
from sparse_search.analysis.boundaries import boundaries
from sparse_search.analysis.cells import sparse_cells
from sparse_search.analysis.effects import Effects, Interval, effects, summarise
from sparse_search.analysis.fragile import fragile_because
from sparse_search.analysis.table import read_trials


def effect(weight, structure, dominance):
    return Effects(Interval(*weight), Interval(*structure), Interval(*dominance))


CASES = [
    ("weight-dominated", (4, 3, 5), (1, 0.8, 1.2), (4, 2.5, 6), True),
    ("structure-dominated", (0.2, -1, 1), (4, 3, 5), (0.05, 0, 0.3), True),
    ("undetermined", (0.2, -1, 1), (4, 3, 5), (0.05, 0, 0.3), False),
    ("balanced", (1, 0.8, 1.2), (1, 0.8, 1.2), (1, 0.7, 1.5), True),
    ("undetermined", (1, 0.8, 1.2), (1, 0.8, 1.2), (1, 0.4, 1.5), True),
    ("saturated", (0.1, -0.4, 0.6), (0, 0, 0.9), (np.inf, 0, np.inf), False),
    ("undetermined", (0.1, -0.4, 1.6), (0, 0, 0.9), (np.inf, 0, np.inf), False),
    ("undetermined", (1, np.nan, np.nan), (1, 0.5, 2), (1, np.nan, np.nan), True),
]


@pytest.mark.parametrize(("name", "weight", "structure", "dominance", "matters"), CASES)
def test_the_five_classes(name, weight, structure, dominance, matters):
    found = effect(weight, structure, dominance)
    assert classes.classify(found, 1.0, matters) == name


def test_the_threshold_moves_the_border():
    found = effect((3, 2.8, 3.2), (2, 1.9, 2.1), (1.5, 1.3, 1.7))
    assert classes.classify(found, 1.0, True) == "weight-dominated"
    assert classes.classify(found, 1.0, True, threshold=2.0) == "structure-dominated"


def ladder(values, spread=1.2):
    return [
        effect((r, r / spread, r * spread), (1, 0.9, 1.1), (r, r / spread, r * spread))
        for r in values
    ]


def test_every_crossing_is_found_with_its_direction():
    nnz = 1000.0 * 2 ** np.arange(5)
    found = boundaries(nnz, ladder([2, 0.5, 0.4, 3, 4]), np.ones(5, bool))
    assert [(b["from"], b["to"]) for b in found] == [
        (classes.WEIGHT, classes.STRUCTURE),
        (classes.STRUCTURE, classes.WEIGHT),
    ]
    # R goes from 2 to 1/2: it is 1 after half of a doubling.
    assert found[0]["nnz"] == pytest.approx(1000 * 2**0.5)
    for b in found:
        assert b["low"] <= b["nnz"] <= b["high"]
    assert 1000 < found[0]["low"] and found[0]["high"] < 2000


def test_a_crossing_reaches_through_undecided_budgets():
    nnz = 1000.0 * 2 ** np.arange(4)
    (b,) = boundaries(nnz, ladder([4, 1.1, 0.9, 0.2], 1.3), np.ones(4, bool))
    assert 1000 < b["low"] < 2000 < b["nnz"] < 4000 < b["high"] < 8000
    (b,) = boundaries(nnz[1:3], ladder([1.1, 0.9], 1.3), np.ones(2, bool))
    assert np.isnan([b["low"], b["high"]]).all()


def test_noise_over_noise_crosses_nothing():
    noise = [effect((r, -5, 5), (1, 0, 3), (r, 0, np.inf)) for r in (2, 0.5, 2)]
    assert boundaries(np.array([1.0, 2, 4]), noise, np.zeros(3, bool)) == []


@pytest.mark.parametrize(
    ("name", "dominance", "reasons"),
    [
        # All undetermined at the other threshold: the estimate's side counts.
        (classes.WEIGHT, (1.5, 1.05, 5), ["R threshold 2"]),
        (classes.WEIGHT, (2.5, 1.05, 5), []),
        (classes.STRUCTURE, (0.7, 0.2, 0.9), ["R threshold 1/2"]),
        (classes.STRUCTURE, (0.4, 0.2, 0.9), []),
        (classes.UNDETERMINED, (1.5, 0.2, 5), []),
    ],
)
def test_a_lost_class_is_fragile_only_if_the_estimate_changes_sides(
    name, dominance, reasons
):
    rows = table(np.random.default_rng(0), structures=1, nnz=(1000, 2000))
    cells = sparse_cells(read_trials(rows, "accuracy"))
    found = [effect((3, 2, 4), (2, 1, 3), dominance)] * 2
    seen = [replace(s, p=0.0) for s in summarise(cells)]
    flips = fragile_because(cells, "accuracy", None, found, seen, [name] * 2)
    assert flips == [reasons] * 2


def test_what_is_needed_is_enough():
    rng = np.random.default_rng(3)

    def third(**sizes):
        rows = table(rng, slope=0.02, sd=0.013, noise=0.015, **sizes)
        found = summarise(sparse_cells(read_trials(rows, "accuracy")))
        return found[2], classes.classify_all([effects(s) for s in found], found)[2]

    summary, _ = third(structures=6, seeds=3)
    # The truth in place of the estimates: the plan must be right on average.
    summary = replace(summary, slope=0.02, error=0.015**2)
    summary = replace(summary, rms=(0.013**2 + 0.015**2 / 3) ** 0.5)
    seeds = classes.needed(summary, 5)["seeds"]
    assert 5 < seeds < 100
    decided = [third(structures=6, seeds=seeds)[1] != "undetermined" for _ in range(25)]
    assert sum(decided) >= 15
    fewer = [third(structures=6, seeds=3)[1] != "undetermined" for _ in range(25)]
    assert sum(fewer) < sum(decided)


def test_all_budgets_of_a_map_share_the_error_of_one():
    rows = table(np.random.default_rng(0), slope=0.02, sd=0.02, seeds=4)
    seen = summarise(sparse_cells(read_trials(rows, "accuracy")))
    found = [effect((3, 2, 4), (1, 0.5, 1.5), (3, 1.1, 9))._replace(p=(0.0, 0.03, 1.0))]
    other = found[0]._replace(p=(0.0, 0.9, 1.0))
    alone = classes.classify_all(found, seen[:1])
    among = classes.classify_all(found + [other] * (len(seen) - 1), seen)
    assert alone == [classes.WEIGHT]
    # 0.03 is above 0.05 / 5.
    assert among[0] == classes.UNDETERMINED
