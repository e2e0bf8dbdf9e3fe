import numpy as np
import pytest
from region_tables import row

from sparse_search.analysis.cells import sparse_cells
from sparse_search.analysis.table import best, merge_budgets, read_trials
from sparse_search.errors import UserError
from sparse_search.records import SMALL_DENSE


def test_budgets_within_two_percent_are_one():
    assert merge_budgets([1000, 1000, 1015, 2000]).tolist() == [1000, 2000]
    assert merge_budgets([1000, 1030]).tolist() == [1000, 1030]


def test_small_dense_is_matched_within_two_percent():
    rows = [row("rigl w8", 1000, 0, 0.8)]
    for nnz in (985, 1019, 1960, 2035, 4000):
        rows.append(row(SMALL_DENSE, nnz, 0, 0.7))
    trials = read_trials(rows, "accuracy")
    assert trials.nnz.tolist() == [1000]
    assert trials.dense_nnz.tolist() == [1000, 1960, 4000]
    assert [len(trials.dense.at(b)) for b in range(3)] == [2, 2, 1]


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
