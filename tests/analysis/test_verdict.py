import numpy as np
from region_tables import row, table

from sparse_search.analysis.claim import claim
from sparse_search.analysis.regions import region_map
from sparse_search.analysis.stats import t_interval
from sparse_search.analysis.verdict import _claim, verdict
from sparse_search.records import SMALL_DENSE


def said(rows, **more):
    sentences = verdict(region_map(rows, **more))
    assert 2 <= len(sentences) <= 7
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


def claimed(*leads, classes, metric="test_accuracy"):
    """The verdict on budgets of these classes, of leads and their half widths."""
    budgets = [{"nnz": n, "class": name} for n, name in enumerate(classes)]
    rows = [
        {"nnz": n, "difference": lead, "low": lead - half, "high": lead + half}
        for n, (lead, half) in enumerate(leads)
    ]
    return " ".join(_claim(claim(budgets, rows), metric.removeprefix("test_")))


W, S = "weight-dominated", "structure-dominated"


def test_whether_the_lead_is_larger_where_weights_decide():
    text = claimed((0.08, 0.03), (0.02, 0.04), (0.01, 0.012), classes=(W, W, S))
    assert text == (
        "Where weights decide the mean lead of large-sparse is 5.0 ± 2.5 points, "
        "elsewhere 1.0 ± 1.2 points: the first is larger by 4.0 ± 2.8 points."
    )
    text = claimed((-0.02, 0.03), (0.1, 0.04), classes=(W, S))
    assert "is −2.0 ± 3.0 points, elsewhere 10.0" in text
    assert "the first is smaller by 12.0 ± 5.0 points." in text
    assert "cannot be told." in claimed((0.1, 0.1), (0.1, 0.0), classes=(W, S))
    less = claimed((-0.2, 0.01), (0.1, 0.01), classes=(W, S), metric="test_loss")
    assert "is 0.2 ± 0.01 in loss, elsewhere −0.1" in less
    assert "the first is larger by 0.3" in less
    assert "is 0.0 ± 1.0 points" in claimed((-1e-6, 0.01), classes=(W,))


def test_half_a_claim_is_not_tested():
    alone = claimed((0.08, 0.03), (0.02, 0.04), classes=(W, W))
    assert "no budget of another known class" in alone
    assert "cannot be tested" in claimed((0.08, 0.03), classes=(S,))
    assert "cannot be tested" in claimed((0.08, 0.03), classes=("balanced",))
    assert claimed(classes=(W, S)) == ""
    assert claimed((0.5, np.nan), (0.5, 0.1), classes=(W, "undetermined")) == ""
    alone = claimed((0.5, 0.1), (0.5, 0.1), classes=(W, "undetermined"))
    assert "no budget of another known class" in alone
    assert "no such budget" in claimed((0.5, np.nan), (0.5, 0.1), classes=(W, S))


def test_the_difference_of_leads_covers():
    rng, covered = np.random.default_rng(0), []
    truth = np.array([0.3, 0.1, 0.5, 0.0, 0.2])
    budgets = [{"nnz": n, "class": W if n < 2 else S} for n in range(5)]
    scale = np.array([1.0, 0.2, 0.5, 1.0, 0.1])[:, None]
    for _ in range(1500):
        seeds = truth[:, None] + rng.normal(size=(5, 5)) * scale
        rows = []
        for n, values in enumerate(seeds):
            mean, low, high = t_interval(values)
            rows.append({"nnz": n, "difference": mean, "low": low, "high": high})
        found = claim(budgets, rows)["contrast"]
        covered.append(found["low"] <= 0.2 - 0.7 / 3 <= found["high"])
    assert 0.94 < np.mean(covered) < 0.99


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
