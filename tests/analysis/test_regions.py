import json

import numpy as np
import pytest
from region_tables import row, table

from sparse_search.analysis.regions import region_map
from sparse_search.records import SMALL_DENSE

BUDGET_KEYS = {
    "nnz",
    "weight_effect",
    "structure_sd",
    "seed_sd",
    "dominance",
    "class",
    "fragile",
    "structures",
    "seeds",
    "collapsed",
    "needed",
}


def plain(rows, **more):
    found = region_map(rows, **more)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    return found


def named(found):
    return [b["class"] for b in found["budgets"]]


def test_the_map_has_the_promised_keys():
    found = plain(table(np.random.default_rng(0), dense=-0.03), task="digits")
    assert (found["task"], found["metric"]) == ("digits", "test_accuracy")
    assert set(found["by_method"]) == {"static", "set", "rigl"}
    for part in (found, *found["by_method"].values()):
        assert len(part["budgets"]) == 5
        for budget in part["budgets"]:
            assert set(budget) >= BUDGET_KEYS
            for key in ("weight_effect", "structure_sd", "dominance"):
                assert list(budget[key]) == ["value", "low", "high"]
            assert (budget["needed"] is None) == (budget["class"] != "undetermined")
    assert found["without_collapsed"] is None
    assert [b["structures"] for b in found["by_method"]["set"]["budgets"]] == [4] * 5


def test_a_boundary_in_either_direction():
    rng = np.random.default_rng(0)
    slopes = [0.16, 0.16, 0.16, 0.001, 0.001, 0.001]
    nnz = 1000 * 2 ** np.arange(6)
    found = plain(table(rng, slope=slopes, sd=0.03, base=0.1, nnz=nnz.tolist()))
    assert named(found)[0] == "weight-dominated"
    assert named(found)[-1] == "structure-dominated"
    (boundary,) = found["boundaries"]
    assert (boundary["from"], boundary["to"]) == (named(found)[0], named(found)[-1])
    assert 4000 < boundary["low"] <= boundary["nnz"] <= boundary["high"] < 32000
    found = plain(table(rng, slope=slopes[::-1], sd=0.03, base=0.1, nnz=nnz.tolist()))
    assert [b["to"] for b in found["boundaries"]] == ["weight-dominated"]


def test_losses_are_mapped_too():
    rows = table(np.random.default_rng(0), dense=-0.03, seeds=5)
    for r in rows:
        r["test_loss"] = float(np.exp(-4 * r["test_accuracy"]))
        r["valid_loss"] = float(np.exp(-4 * r["valid_accuracy"]))
    found = plain(rows, metric="loss")
    assert all(b["weight_effect"]["high"] < 0 for b in found["budgets"])
    assert all(r["high"] < 0 for r in found["large_sparse_vs_small_dense"])
    assert named(found) == ["weight-dominated"] * 5


def test_a_class_that_hangs_on_one_structure_is_fragile():
    rows = table(np.random.default_rng(0), slope=0.03, sd=0.002, noise=0.004)
    for r in rows:
        if r["structure"] == "set w0":
            r["test_accuracy"] += 0.4
            r["valid_accuracy"] += 0.4
    found = plain(rows)
    assert named(found) == ["structure-dominated"] * 5
    for budget in found["budgets"]:
        assert budget["fragile"]
        assert "without set w0" in budget["fragile_because"]
        assert "without method set" in budget["fragile_because"]
        assert "without rigl w0" not in budget["fragile_because"]


def test_a_class_near_the_threshold_is_fragile():
    found = plain(table(np.random.default_rng(0), slope=0.03, sd=0.02, noise=0.002))
    assert named(found) == ["weight-dominated"] * 5
    assert all(b["fragile_because"] == ["R threshold 2"] for b in found["budgets"])
    found = plain(table(np.random.default_rng(0), slope=0.04, sd=0.004, noise=0.002))
    assert not any(b["fragile"] for b in found["budgets"])


def test_collapsed_and_failed_trials_are_counted():
    rows = table(np.random.default_rng(0), slope=0.03, sd=0.005, noise=0.003)
    here = [r for r in rows if r["nnz"] == 1000 and r["structure"] == "set w1"]
    for r in here:
        r |= {"status": "collapsed", "test_accuracy": 0.1, "valid_accuracy": 0.1}
    other = next(r for r in rows if r["nnz"] == 2000 and r["structure"] == "set w1")
    other |= {"status": "diverged", "test_accuracy": None, "valid_accuracy": None}
    found = plain(rows)
    assert [b["collapsed"] for b in found["budgets"]] == [3, 0, 0, 0, 0]
    assert [b["excluded"] for b in found["budgets"]] == [0, 1, 0, 0, 0]
    assert found["excluded"] == 1
    assert found["budgets"][0]["structure_sd"]["value"] > 0.05
    without = found["without_collapsed"]["budgets"][0]
    assert without["structure_sd"]["value"] < 0.01
    assert without["structures"] == 11


def test_chance_level_everywhere_is_saturated():
    rows = [
        row(f"set w{s}", nnz, k, 0.103)
        for s in range(4)
        for nnz in (100, 200)
        for k in range(3)
    ]
    assert named(plain(rows)) == ["saturated"] * 2


@pytest.mark.parametrize(
    "shape",
    [
        {"seeds": 1},
        {"structures": 1},
        {"structures": 1, "seeds": 1},
        {"nnz": (1000,)},
        {"nnz": (1000,), "structures": 1, "seeds": 1},
        {"structures": 2, "seeds": 2, "nnz": (1000, 2000)},
        {"noise": 0.0, "block": 0.0},
        {"structures": 2, "noise": 0.0, "block": 0.0, "sd": 0.0, "slope": 0.0},
    ],
)
def test_small_tables_do_not_crash(shape):
    found = plain(table(np.random.default_rng(0), dense=-0.03, **shape))
    if min(shape.get(k, 9) for k in ("seeds", "structures")) == 1 or "nnz" in shape:
        if shape.get("structures") != 2:
            assert set(named(found)) == {"undetermined"}
            assert all(b["needed"] for b in found["budgets"])


def test_holes_do_not_crash():
    rng = np.random.default_rng(0)
    for share in (0.1, 0.5, 0.8, 0.95):
        for _ in range(5):
            rows = table(rng, dense=0.01, structures=4, nnz=(10, 20, 40))
            for r in rows:
                if rng.random() < share:
                    r |= {"status": "failed", "test_accuracy": float("nan")}
            plain(rows)


def test_two_seeds_that_agree_by_accident_prove_nothing():
    rows = [
        row(f"set w{s}", nnz, k, 0.5 + 0.1 * s + nnz / 1e4)
        for s in range(2)
        for nnz in (100, 200)
        for k in range(2)
    ]
    rows += [row(SMALL_DENSE, nnz, k, 0.5) for nnz in (100, 200) for k in range(2)]
    found = plain(rows)
    assert named(found) == ["undetermined"] * 2
    assert [r["low"] for r in found["large_sparse_vs_small_dense"]] == [None] * 2


def test_nothing_sparse_is_an_empty_map():
    found = plain([])
    assert found["budgets"] == found["boundaries"] == []
    assert found["large_sparse_vs_small_dense"] == []
