import pytest
from region_tables import row

from sparse_search.analysis.curves import dense_reference, sparse_curves
from sparse_search.analysis.table import read_trials
from sparse_search.records import SMALL_DENSE


def test_curves_have_t_intervals_over_seeds():
    rows = [row("rigl", 1000, k, v) for k, v in enumerate((0.7, 0.8, 0.9))]
    rows += [row("rigl", 2000, 0, 0.9)]
    first, second = sparse_curves(read_trials(rows, "accuracy"))["rigl"]
    half = 4.302653 * 0.1 / 3**0.5
    assert first == pytest.approx(
        {"nnz": 1000, "mean": 0.8, "low": 0.8 - half, "high": 0.8 + half, "n": 3}
    )
    assert second == {"nnz": 2000, "mean": 0.9, "low": None, "high": None, "n": 1}


def test_the_reference_is_chosen_on_validation():
    rows = []
    for k in range(2):
        rows += [
            row(SMALL_DENSE, 990, k, 0.7, 0.9, point="d1"),
            row(SMALL_DENSE, 1000, k, 0.8, 0.6, point="d2"),
            row(SMALL_DENSE, 1005, k, 0.1, 0.95, point="d3", status="collapsed"),
        ]
    (node,) = dense_reference(read_trials(rows, "accuracy"))
    assert (node["nnz"], node["mean"], node["point"]) == (990, 0.7, "d1")
    assert sparse_curves(read_trials(rows, "accuracy")) == {}
