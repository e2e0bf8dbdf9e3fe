import numpy as np
import pytest
from region_tables import row

from sparse_search.analysis.cells import sparse_cells
from sparse_search.analysis.regions import region_map
from sparse_search.analysis.table import (
    at_budgets,
    best,
    merge_budgets,
    read_trials,
)
from sparse_search.errors import UserError
from sparse_search.records import SMALL_DENSE


def test_budgets_within_two_percent_are_one():
    assert merge_budgets([1000, 1000, 1015, 2000]).tolist() == [1000, 2000]
    assert merge_budgets([1000, 1030]).tolist() == [1000, 1030]


def test_small_dense_is_matched_within_five_percent():
    rows = [row("rigl w8", 1000, 0, 0.8)]
    for nnz in (952, 1049, 1960, 2035, 4000):
        rows.append(row(SMALL_DENSE, nnz, 0, 0.7))
    trials = read_trials(rows, "accuracy")
    assert trials.nnz.tolist() == [1000]
    assert trials.dense_nnz.tolist() == [1000, 1960, 4000]
    assert [len(trials.dense.at(b)) for b in range(3)] == [2, 2, 1]


def test_small_dense_stands_for_its_budget_though_others_are_nearer():
    rows = [row("rigl w8", nnz, 0, 0.8) for nnz in (1000, 4000)]
    for nnz in (1045, 1060, 1130, 4000):
        rows.append(row(SMALL_DENSE, nnz, 0, 0.7, learning_rate=nnz / 1e4, point=""))
    trials = read_trials(rows, "accuracy")
    assert trials.dense_nnz.tolist() == [1000, 1060, 1130, 4000]
    assert [trials.dense.nnz[trials.dense.at(b)].tolist() for b in range(4)] == [
        [1045],
        [1060],
        [1130],
        [4000],
    ]
    assert {shape[3]: rates for shape, rates in trials.tried.items()}[1000] >= {0.1045}
    found = region_map(rows, "accuracy")["large_sparse_vs_small_dense"]
    assert [one["nnz"] for one in found] == [1000, 4000]


def test_small_dense_without_a_name_is_told_by_its_weights():
    rows = [row("rigl w8", 1000, 0, 0.8)]
    for nnz, level in ((960, 0.7), (1000, 0.6)):
        rows.append(row(SMALL_DENSE, nnz, 0, level, point=""))
    trials = read_trials(rows, "accuracy")
    assert trials.dense.test.tolist() == [[0.7], [0.6]]


def test_slopes_are_not_read_off_neighbours_or_what_collapsed():
    rows = []
    sizes = ((500, 0.1, "collapsed"), (960, 0.75, "done"), (1000, 0.65, "done"))
    for nnz, level, status in (*sizes, (4000, 0.85, "done")):
        rows.append(row(SMALL_DENSE, nnz, 0, level, status=status))
    rows += [row("rigl", nnz, 0, 0.9) for nnz in (500, 1000, 4000)]
    dense = at_budgets(read_trials(rows, "accuracy")).dense
    # 0.1 from 960 to 4000 weights.
    moved = 0.75 + 0.1 * np.log2(1000 / 960) / np.log2(4000 / 960)
    assert dense.test[dense.nnz == 1000].max() == pytest.approx(moved)


def test_the_learning_rate_is_chosen_on_validation():
    rows = []
    for seed in (0, 1):
        rows += [
            row("rigl w8", 1000, seed, 0.7, 0.9, point="a"),
            row("rigl w8", 1000, seed, 0.8, 0.6, point="b"),
        ]
    cells = sparse_cells(read_trials(rows, "accuracy"))
    assert cells.test.tolist() == [[[0.7, 0.7]]]


def test_of_losses_the_lower_is_chosen():
    rows = [
        row("set", 10, 0, 0.0, point=p, valid_loss=v, test_loss=t)
        for p, v, t in (("a", 1.0, 1.1), ("b", 0.5, 0.6))
    ]
    assert sparse_cells(read_trials(rows, "loss")).test.tolist() == [[[0.6]]]


def test_a_point_with_a_diverged_seed_is_not_preferred():
    rows = [
        row("set", 10, 0, 0.9, point="lucky"),
        row("set", 10, 1, None, point="lucky", status="diverged"),
        row("set", 10, 0, 0.7, point="steady"),
        row("set", 10, 1, 0.7, point="steady"),
    ]
    trials = read_trials(rows, "accuracy")
    assert trials.excluded[0]["set"] == 1
    assert trials.sparse.names[best(trials.sparse, trials.sparse.at(0))] == "steady"


def test_without_validation_the_choice_says_so():
    rows = [row("set", 10, 0, 0.9, float("nan"))]
    assert read_trials(rows, "accuracy").chosen_on == "test"


def test_keeping_structures_drops_their_missing_budgets():
    rows = [row("set", 10, 0, 0.9), row("rigl", 20, 0, 0.9)]
    cells = sparse_cells(read_trials(rows, "accuracy"))
    assert cells.nnz.tolist() == [10, 20]
    assert cells.of_method("rigl").nnz.tolist() == [20]
    assert np.isfinite(cells.of_method("rigl").test).all()


@pytest.mark.parametrize(
    ("change", "words"),
    [({"nnz": None}, "no 'nnz'"), ({"nnz": 0}, "not > 0"), ({"seed": None}, "'seed'")],
)
def test_bad_rows_are_named(change, words):
    with pytest.raises(UserError, match=words):
        read_trials([{**row("set", 10, 0, 0.9), **change}], "accuracy")


def test_unknown_metric():
    with pytest.raises(UserError, match="Did you mean 'accuracy'"):
        read_trials([], "acuracy")


def line(nnz, metric="accuracy"):
    """Where all networks lie: a straight line in log2 nnz."""
    value = 0.5 + 0.04 * np.log2(nnz / 1000)
    return value if metric == "accuracy" else 2 - value


@pytest.mark.parametrize("metric", ["accuracy", "loss"])
def test_what_networks_have_more_than_their_budget_is_taken_away(metric):
    rows, sign = [], 1 if metric == "accuracy" else -1
    for b, nnz in enumerate((1000, 2000, 4000)):
        for seed in range(3):
            families = (("a", 1.0), ("b", 1.015), ("small_dense", 0.985))
            for place, (name, more) in enumerate(families):
                own = round(nnz * more)
                # The same noise in another order: structures are equal.
                value = line(own, metric) + 0.001 * ((seed + place) % 3)
                # So that the choice is a's whatever the seed.
                worse = sign * 0.1 * (name == "b")
                both = {f"test_{metric}": value, f"valid_{metric}": value - worse}
                point = f"{name} {b}"
                key = {"nnz": own, "structure": name, "seed": seed, "point": point}
                rows.append({**key, **both})
    trials = read_trials(rows, metric)
    assert trials.nnz.tolist() == trials.dense_nnz.tolist() == [1000, 2000, 4000]
    level = at_budgets(trials)
    for points in (level.sparse, level.dense):
        expected = line(points.nnz, metric)[:, None] + 0.001 * np.arange(3)
        assert np.sort(points.test) == pytest.approx(expected, abs=1e-12)
        less = [0.1 if name == "b" else 0.0 for name in points.structures]
        valid = sign * points.test - np.array(less)[:, None]
        assert points.valid == pytest.approx(valid, abs=1e-12)
    found = region_map(rows, metric)
    for budget in found["budgets"]:
        assert budget["structure_sd"]["value"] == pytest.approx(0, abs=1e-9)
        assert budget["weight_effect"]["value"] == pytest.approx(sign * 0.04)
    for against in found["large_sparse_vs_small_dense"]:
        assert against["difference"] == pytest.approx(0, abs=1e-9)


def test_exact_budgets_stay_as_they_are():
    rows = [
        {"nnz": nnz, "structure": "a", "seed": 0, "test_accuracy": nnz / 1e4}
        for nnz in (1000, 2000)
    ]
    trials = read_trials(rows, "accuracy")
    level = at_budgets(trials)
    assert level.sparse is trials.sparse
