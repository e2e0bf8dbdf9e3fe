import numpy as np
import pytest
from region_tables import table

from sparse_search.analysis.cells import Cells
from sparse_search.analysis.decomposition import SHARES, decompose
from sparse_search.analysis.regions import region_map


def cells(test, nnz=None):
    """Cells of structures x budgets x seeds, a doubling between budgets."""
    test = np.asarray(test, float)
    structures, budgets, _ = test.shape
    nnz = 1000.0 * 2 ** np.arange(budgets) if nnz is None else np.array(nnz, float)
    names = [f"s{s}" for s in range(structures)]
    return Cells(nnz, names, names, test, np.zeros(test.shape, bool))


def values(found):
    return {name: found["shares"][name]["value"] for name in SHARES}


def test_shares_by_hand():
    # Budgets 0 and 4, structures 0 and 2, an interaction of ±0.5; seeds ±1: means of
    # squares 4, 1, 0.25 and, since two seeds at ±1 have variance 2, seeds 2.
    means = np.array([[0.5, 3.5], [1.5, 6.5]])
    test = means[:, :, None] + np.array([1.0, -1.0])
    found = decompose(cells(test))
    # One shift common to all cells moves no difference between them.
    total = 4 + 1 + 0.25 + 2
    expected = dict(zip(SHARES, np.array([4, 1, 0.25, 2]) / total, strict=True))
    assert values(found) == pytest.approx(expected)
    assert (found["cells"], found["seeds"], found["left_out"]) == (4, 2, 0)
    assert found["shares"]["weights"]["low"] != found["shares"]["weights"]["low"]
    assert found["notes"] == ["Intervals take 3 seeds."]


def test_held_out_models_by_hand():
    # On a line in log2 nnz, the same for both structures: nothing is left to add.
    line = np.tile(np.array([0.1, 0.2, 0.3, 0.4]), (2, 1))[:, :, None] + np.zeros(3)
    found = decompose(cells(line))
    assert [m["held_out_r2"]["value"] for m in found["models"]] == pytest.approx(
        [1] * 4
    )
    # A curve that no line follows, and structures apart by 1 at every budget.
    curve = np.array([0.0, 1.0, 1.0, 0.0])[None, :, None] + np.zeros((2, 1, 3))
    curve[1] += 1
    r2 = [m["held_out_r2"]["value"] for m in decompose(cells(curve))["models"]]
    assert r2 == pytest.approx([0, 0.5, 1, 1])
    first, second, *_ = decompose(cells(curve))["models"]
    assert first["removes"] is None
    assert second["removes"]["value"] == pytest.approx(0.5)


def test_noise_is_not_called_structure():
    rng = np.random.default_rng(0)
    found = decompose(cells(rng.normal(size=(12, 5, 3))))
    assert found["shares"]["seeds"]["value"] > 0.8
    # With more terms the fit is better, and the prediction worse.
    r2 = [m["held_out_r2"]["value"] for m in found["models"]]
    assert r2[-1] < r2[-2] < 0.05


def test_missing_cells_do_not_depend_on_an_order():
    # Narrow structures lack the large budgets, and are worse: without the average over
    # both orders, whoever comes first would be given what they share.
    rng = np.random.default_rng(1)
    budget, structure = np.arange(4) * 0.1, np.repeat([0.0, 0.2], 3)
    test = structure[:, None, None] + budget[None, :, None] + np.zeros((6, 4, 3))
    test += 1e-3 * rng.normal(size=test.shape)
    test[:3, 2:] = np.nan
    shares = values(decompose(cells(test)))
    there = np.isfinite(test[:, :, 0])
    mu = (structure[:, None] + budget[None, :])[there]
    rows, columns = np.nonzero(there)

    def explained(groups):
        means = np.array([mu[groups == g].mean() for g in groups])
        return means.var() / mu.var()

    weights, structures = explained(columns), explained(rows)
    expected = (weights + 1 - structures) / 2, (structures + 1 - weights) / 2
    assert (shares["weights"], shares["structure"]) == pytest.approx(expected, abs=2e-3)
    # The order of the structures in the table is none either.
    again = values(decompose(cells(test[::-1])))
    assert again == pytest.approx(shares)


@pytest.mark.parametrize("missing", [0.0, 0.1])
def test_shares_cover(missing):
    rng = np.random.default_rng(3)
    budget = np.array([-0.08, -0.01, 0.01, 0.03, 0.05])
    structure = rng.normal(size=(8, 1)) * 0.02
    apart = rng.normal(size=(8, 5)) * 0.01
    means = budget + structure + apart
    exact = decompose(cells(np.stack([means, means], axis=-1)))
    noise = (0.01, 0.005, 0.01)  # a seed everywhere, at one budget, in one cell
    within = sum(sd**2 for sd in noise)
    truth = {n: v * means.var() for n, v in values(exact).items()} | {"seeds": within}
    total = sum(truth.values())
    tables, covered = 80, dict.fromkeys(SHARES, 0)
    for _ in range(tables):
        shape = ((3,), (1, 5, 3), (8, 5, 3))
        test = means[:, :, None] + sum(
            sd * rng.normal(size=s) for sd, s in zip(noise, shape, strict=True)
        )
        test = np.where(rng.random(test.shape) < missing, np.nan, test)
        shares = decompose(cells(test))["shares"]
        for name in SHARES:
            low, high = shares[name]["low"], shares[name]["high"]
            covered[name] += low <= truth[name] / total <= high
    assert min(covered.values()) / tables >= 0.86, covered


def test_what_cannot_be_told_is_said():
    rng = np.random.default_rng(0)
    test = rng.normal(size=(3, 4, 3))
    one_seed = decompose(cells(test[:, :, :1]))
    assert one_seed["shares"]["weights"]["value"] > 0
    assert np.isnan(one_seed["shares"]["interaction"]["value"])
    assert all(np.isnan(m["held_out_r2"]["value"]) for m in one_seed["models"])
    assert "One seed" in one_seed["notes"][0]
    one_structure = decompose(cells(test[:1]))
    assert np.isnan(one_structure["shares"]["structure"]["value"])
    assert one_structure["shares"]["weights"]["value"] > 0
    one_budget = decompose(cells(test[:, :1]))
    assert "One budget" in one_budget["notes"][0]
    apart = np.full((2, 2, 3), np.nan)
    apart[0, 0], apart[1, 1] = rng.normal(size=(2, 3))
    notes = " ".join(decompose(cells(apart))["notes"])
    assert "Too few cells" in notes and "no budgets in common" in notes
    none = decompose(cells(np.full((1, 1, 1), np.nan)))
    assert none["notes"] == ["No sparse structure has a finished trial."]


def test_cells_with_one_seed_are_left_out_beside_others():
    rng = np.random.default_rng(0)
    test = rng.normal(size=(3, 4, 3))
    test[0, 0, 1:] = np.nan
    found = decompose(cells(test))
    assert (found["left_out"], found["cells"]) == (1, 11)


def test_every_map_has_it():
    found = region_map(table(np.random.default_rng(0), slope=0.05, sd=0.01))
    assert found["decomposition"]["shares"]["weights"]["low"] > 0.5
    for part in found["by_method"].values():
        assert part["decomposition"]["structures"] == 4
