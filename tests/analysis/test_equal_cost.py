import math

import numpy as np
import pytest
from region_tables import row

from sparse_search.analysis.dense_costs import monotone_curve
from sparse_search.analysis.regions import region_map
from sparse_search.analysis.verdict import verdict
from sparse_search.records import SMALL_DENSE

DENSE = (1000, 2000, 4000, 8000)


def dense_rows(seeds=6, level=lambda nnz: 0.4 + 0.1 * math.log2(nnz / 1000), **more):
    """Small dense: as many parameters as weights, 0.1 more a doubling."""
    return [
        row(SMALL_DENSE, nnz, k, level(nnz), parameters=nnz, **more)
        for nnz in DENSE
        for k in range(seeds)
    ]


def sparse_rows(name, nnz, test, parameters, seeds=6, **more):
    return [
        row(name, nnz, k, test, parameters=parameters, **more) for k in range(seeds)
    ]


def at_equal(rows, cost="parameters", **more):
    return region_map(rows, **more)["at_equal_cost"][cost]


def test_difference_and_gain_by_hand():
    # Ahead by 0.1 at its nnz; but with the parameters of small dense at 0.55.
    rows = sparse_rows("rigl", 1000, 0.5, 1000 * 2**1.5) + dense_rows()
    (found,) = at_equal(rows)["rows"]
    assert found["nnz"] == 1000 and found["cost"] == pytest.approx(1000 * 2**1.5)
    assert found["difference"] == pytest.approx(-0.05)
    assert (found["low"], found["high"]) == pytest.approx((-0.05, -0.05))
    assert found["gain"]["value"] == pytest.approx(-0.5, abs=0.01)
    assert (found["compared"], found["beyond"], found["unknown"]) == (1, 0, 0)


def test_comparisons_that_contradict_each_other_are_named():
    rows = sparse_rows("rigl", 1000, 0.5, 1000 * 2**1.5) + dense_rows()
    found = region_map(rows)
    (entry,) = found["disagreements"]
    assert entry == {
        "nnz": 1000,
        "better": ["nnz"],
        "worse": ["parameters"],
        "open": [],
        "decided": True,
    }
    said = " ".join(verdict(found))
    assert "At equal parameters large-sparse beats small-dense at 0 of 1" in said
    assert "at 1,000 weights it is better at equal nnz and worse at equal par" in said
    # With one seed nothing is decided, but the signs still differ.
    one = region_map([r for r in rows if r["seed"] == 0])
    (entry,) = one["disagreements"]
    assert not entry["decided"] and entry["open"] == ["nnz", "parameters"]
    assert "At equal parameters" not in " ".join(verdict(one))


def test_the_sign_of_a_loss_is_turned():
    rows = sparse_rows("rigl", 1000, 0.5, 1000 * 2**1.5) + dense_rows()
    for r in rows:
        r["test_loss"] = r["valid_loss"] = 2 - r["test_accuracy"]
    found = region_map(rows, metric="loss")
    (entry,) = found["at_equal_cost"]["parameters"]["rows"]
    assert entry["difference"] == pytest.approx(0.05)
    assert found["disagreements"][0]["worse"] == ["parameters"]


@pytest.mark.parametrize(
    "parameters, side, low, high",
    [(32000, "above", None, -0.2), (500, "below", 0.1, None)],
)
def test_beyond_the_dense_curve_there_is_only_a_bound(parameters, side, low, high):
    (found,) = at_equal(sparse_rows("rigl", 1000, 0.5, parameters) + dense_rows())[
        "rows"
    ]
    assert found["censored"] == side and found["difference"] is None
    assert [found["low"], found["high"]] == [
        end if end is None else pytest.approx(end) for end in (low, high)
    ]
    # The metric is on the curve, so the gain is known even there.
    assert found["gain"]["value"] == pytest.approx(math.log2(2000 / parameters))
    assert found["beyond"] == 1


def test_the_structure_is_chosen_at_its_own_cost_and_on_validation():
    # `wide` is better at equal nnz, and behind small dense of its parameters.
    rows = sparse_rows("wide", 1000, 0.55, 8000, valid_accuracy=0.55)
    rows += sparse_rows("slim", 1000, 0.52, 1500) + dense_rows()
    # The best on test is no choice.
    rows += sparse_rows("lucky", 1000, 0.9, 1500, valid_accuracy=0.1)
    found = region_map(rows)
    (entry,) = found["at_equal_cost"]["parameters"]["rows"]
    assert entry["best_structure"] == "slim"
    assert found["large_sparse_vs_small_dense"][0]["best_structure"] == "wide"
    level = 0.4 + 0.1 * math.log2(1.5)
    assert entry["difference"] == pytest.approx(0.52 - level)


def test_the_choice_for_a_seed_does_not_see_that_seed():
    rows = dense_rows(3)
    # `a` has the better mean, but only through seed 0.
    for k, value in enumerate((0.9, 0.1, 0.1)):
        rows.append(row("a", 1000, k, value, parameters=1000))
        rows.append(row("b", 1000, k, 0.3, parameters=1000))
    (found,) = at_equal(rows)["rows"]
    assert found["difference"] == pytest.approx((0.3 + 0.1 + 0.1) / 3 - 0.4)


def test_what_has_no_such_cost_is_left_out_and_says_so():
    rows = sparse_rows("rigl", 1000, 0.5, 1500) + dense_rows()
    assert "no sparse trial" in at_equal(rows, "train_flops")["left_out"]
    for r in rows:
        r["train_flops"] = None if r["structure"] == SMALL_DENSE else 10
    assert "no small dense trial" in at_equal(rows, "train_flops")["left_out"]
    few = [r for r in rows if r["structure"] != SMALL_DENSE or r["nnz"] == 1000]
    assert "at least two costs" in at_equal(few)["left_out"]
    # One structure without the cost is counted, the others are compared.
    rows += sparse_rows("str", 1000, 0.6, None)
    (found,) = at_equal(rows)["rows"]
    assert (found["compared"], found["unknown"]) == (1, 1)


def test_the_curve_is_monotone_and_bends():
    at = np.array([0.0, 1.0, 2.0, 3.0])
    flat = monotone_curve(at, np.array([0.1, 0.5, 0.4, 0.6]), 1.0)
    assert (np.diff(flat.metric) >= 0).all()
    assert np.interp([1.0, 2.0], flat.doublings, flat.metric) == pytest.approx(0.45)
    # A chord lies 0.02 below this curve half-way.
    bent = monotone_curve(at, 1 - 0.5 * 2**-at, 1.0)
    middle = np.interp(1.5, bent.doublings, bent.metric)
    assert middle == pytest.approx(1 - 0.5 * 2**-1.5, abs=0.004)


@pytest.mark.parametrize("structures", [1, 6])
def test_differences_cover(structures):
    """At equal parameters, of structures that are 0.02 ahead of a curve that bends."""
    rng = np.random.default_rng(5)
    sizes = [1000 * 2**i for i in range(7)]

    def level(parameters):
        return 1 - 0.5 * (parameters / 1000) ** -0.4

    tables, covered, found = 40, 0, 0
    trials = [(SMALL_DENSE, nnz, nnz, 0.0) for nnz in sizes]
    trials += [
        (f"s{s}", nnz, 1.45 * nnz, 0.02) for nnz in sizes[:5] for s in range(structures)
    ]
    for _ in range(tables):
        rows = []
        for k, each in enumerate(rng.normal(size=3) * 0.01):
            for name, nnz, parameters, ahead in trials:
                test = level(parameters) + ahead + each + 0.006 * rng.normal()
                valid = test + 0.002 * rng.normal()
                rows.append(row(name, nnz, k, test, valid, parameters=parameters))
        for entry in at_equal(rows)["rows"]:
            covered += entry["low"] <= 0.02 <= entry["high"]
            found += 1
    assert found == 5 * tables
    assert covered / found >= 0.88, covered / found
