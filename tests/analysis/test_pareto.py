import numpy as np
import pytest
from region_tables import row

from sparse_search.analysis.pareto import front, fronts
from sparse_search.analysis.table import read_trials
from sparse_search.records import SMALL_DENSE


def of(rows, metric="accuracy"):
    return fronts(rows, read_trials(rows, metric))


def members(points, cost="nnz"):
    return [p.name for p in points[cost] if p.member]


def test_a_front_by_hand():
    cost = np.array([1.0, 2, 2, 3, 4, 1])
    gain = np.array([0.5, 0.7, 0.6, 0.7, 0.9, 0.4])
    # The third is worse at the same cost, the fourth as good for more.
    assert front(cost, gain).tolist() == [True, True, False, False, True, False]


def test_equals_are_members_together_and_what_is_unknown_is_none():
    cost = np.array([1.0, 1, 2, np.nan, 0.5])
    gain = np.array([0.5, 0.5, 0.5, 0.9, np.nan])
    assert front(cost, gain).tolist() == [True, True, False, False, False]
    assert front(np.array([]), np.array([])).tolist() == []


@pytest.mark.parametrize("seed", range(5))
def test_no_member_is_dominated_and_every_other_point_is(seed):
    rng = np.random.default_rng(seed)
    # Few levels, so that there are many ties.
    cost, gain = rng.integers(0, 9, (2, 60)).astype(float)
    no_worse = (cost[:, None] <= cost) & (gain[:, None] >= gain)
    better = (cost[:, None] < cost) | (gain[:, None] > gain)
    dominated = (no_worse & better).any(axis=0)
    assert (front(cost, gain) == ~dominated).all()


def test_chosen_on_validation_and_said_on_test():
    rows = [row("a", 1000, k, 0.5 + 0.1 * k, valid=0.6) for k in range(3)]
    rows += [row("lucky", 1000, k, 0.9, valid=0.4) for k in range(3)]
    rows += [row(SMALL_DENSE, 2000, k, 0.55, valid=0.7) for k in range(3)]
    found = of(rows)
    assert list(found) == ["nnz"]
    assert members(found) == ["a 1000", f"{SMALL_DENSE} 2000"]
    first, _, dense = found["nnz"]
    assert (first.nnz, first.cost, first.seeds, first.dense) == (1000, 1000, 3, False)
    # t(2) at 97.5 % is 4.303, and the standard error 0.1 / √3.
    half = 4.3027 * 0.1 / 3**0.5
    ends = first.reached, first.low, first.high
    assert ends == pytest.approx((0.6, 0.6 - half, 0.6 + half), abs=1e-5)
    assert first.kept == 3
    assert dense.dense and dense.mean == pytest.approx(0.55)


def test_the_choice_is_repeated_for_every_seed_on_the_others():
    # `a` is the best on validation through seed 0 alone, whose test it may not see.
    valid = {"a": (0.9, 0.5, 0.5), "b": (0.6, 0.6, 0.6)}
    test = {"a": (0.8, 0.4, 0.4), "b": (0.5, 0.6, 0.7)}
    rows = [
        row(name, 1000, k, test[name][k], valid=valid[name][k])
        for name in test
        for k in range(3)
    ]
    (member,) = (p for p in of(rows)["nnz"] if p.member)
    assert (member.name, member.kept) == ("a 1000", 2)
    # Without seed 0 it is b (0.5), without another a (0.4 twice).
    assert member.reached == pytest.approx((0.5 + 0.4 + 0.4) / 3)
    # t(2) × standard error, and √2 as the choice hangs on the seed.
    half = 4.3027 * np.std([0.5, 0.4, 0.4], ddof=1) / 3**0.5 * 2**0.5
    assert member.high - member.reached == pytest.approx(half, rel=1e-4)
    assert member.mean == pytest.approx(1.6 / 3)


def test_the_sign_of_a_loss_and_a_single_seed():
    rows = [
        {**row(name, nnz, 0, 0.5), "test_loss": loss, "valid_loss": loss}
        for name, nnz, loss in (("a", 100, 1.0), ("b", 200, 0.5), ("c", 300, 0.7))
    ]
    found = of(rows, "loss")
    assert members(found) == ["a 100", "b 200"]
    assert found["nnz"][0].low is None and found["nnz"][0].seeds == 1


def test_each_cost_has_its_own_front_and_only_what_records_it():
    rows = []
    for k in range(2):
        rows.append(row("wide", 1000, k, 0.7, train_flops=9000, inference_flops=5))
        rows.append(row("slim", 1500, k, 0.6, train_flops=4000))
    found = of(rows)
    assert list(found) == ["nnz", "train_flops", "inference_flops"]
    assert members(found) == ["wide 1000"]
    assert members(found, "train_flops") == ["slim 1500", "wide 1000"]
    assert [p.name for p in found["inference_flops"]] == ["wide 1000"]
    assert [p.cost for p in found["train_flops"]] == [4000, 9000]


def test_equal_costs_over_different_numbers_of_seeds_are_equal():
    rows = [row("a", 1000, k, 0.5, train_flops=119808001) for k in range(3)]
    rows += [row("b", 1000, k, 0.6, train_flops=119808001) for k in range(7)]
    costs = [p.cost for p in of(rows)["train_flops"]]
    assert costs == [119808001, 119808001]
    assert members(of(rows), "train_flops") == ["b 1000"]


def test_what_trains_only_sometimes_is_on_no_front():
    rows = [row("steady", 1000, k, 0.5) for k in range(3)]
    rows += [row("lost", 1000, k, 0.9) for k in range(2)]
    rows.append(row("lost", 1000, 2, None, status="diverged"))
    rows += [row("low", 500, k, 0.8) for k in range(2)]
    rows.append(row("low", 500, 2, 0.1, status="collapsed"))
    found = of(rows)
    assert members(found) == ["steady 1000"]
    assert [p.name for p in found["nnz"] if not p.whole] == ["low 500", "lost 1000"]
