import numpy as np
from region_tables import row, table

from sparse_search.analysis.regions import region_map
from sparse_search.analysis.verdict import verdict
from sparse_search.records import SMALL_DENSE


def said(rows, **more):
    sentences = verdict(region_map(rows, **more))
    assert 2 <= len(sentences) <= 6
    assert all(s[0].isupper() and s.endswith(".") for s in sentences)
    return " ".join(sentences)


def test_what_is_clear_is_said():
    nnz = [1000 * 2**i for i in range(6)]
    slope = [0.16, 0.16, 0.16, 0.001, 0.001, 0.001]
    rng = np.random.default_rng(0)
    text = said(table(rng, slope=slope, sd=0.03, base=0.1, nnz=nnz, dense=-0.1))
    assert text.startswith("Weight-dominated at 1,000")
    assert "from weight-dominated to structure-dominated near" in text
    assert "Large-sparse beats small-dense at 6 of 6 budgets" in text
    assert "points, a gain of" in text


def test_what_explains_more_is_said_where_it_is_decided():
    rng = np.random.default_rng(0)
    text = said(table(rng, slope=0.08, sd=0.005, noise=0.002))
    assert "Over the whole map the number of weights explains 98 % (" in text
    rows = table(rng, slope=0.0, sd=0.0, noise=0.02)
    assert "Over the whole map" not in said(rows)


def test_losing_is_said_too():
    text = said(table(np.random.default_rng(0), dense=0.2))
    assert "loses to small-dense at 5 of 5" in text
    assert "beats" not in text


def test_what_cannot_be_told_is_not_claimed():
    text = said(table(np.random.default_rng(0), seeds=1, dense=0.0))
    assert "Undetermined at all budgets" in text
    assert "at least 3 seeds" in text
    assert "beats" not in text and "loses" not in text
    rows = [row("set", 10, k, v) for k, v in enumerate((0.5, 0.6, 0.7))]
    rows += [row(SMALL_DENSE, 10, k, v) for k, v in enumerate((0.7, 0.5, 0.65))]
    assert "cannot be told apart" in said(rows)


def test_a_lower_loss_is_a_win():
    rows = table(np.random.default_rng(0), dense=-0.05)
    for r in rows:
        r["test_loss"] = 2 - r["test_accuracy"]
        r["valid_loss"] = 2 - r["valid_accuracy"]
    text = said(rows, metric="loss")
    assert "beats small-dense at 5 of 5" in text
    assert "in loss" in text


def test_a_budget_without_a_reference_is_named():
    rows = table(np.random.default_rng(0), dense=0.2)
    nnz = min(r["nnz"] for r in rows)
    rows = [r for r in rows if r["structure"] != SMALL_DENSE or r["nnz"] > 1.1 * nnz]
    assert f"There is no reference at {nnz:,.0f} weights" in said(rows)


def test_an_empty_map_has_a_verdict():
    assert "no regions to map" in said([])


def test_no_number_is_minus_nothing():
    rows = table(np.random.default_rng(0), dense=0.2)
    found = region_map(rows)
    for compared in found["large_sparse_vs_small_dense"]:
        none = {"value": None, "low": None, "high": -0.04, "censored": "below"}
        compared["gain"] = none
    assert "a gain of at most 0.0 doublings" in " ".join(verdict(found))
