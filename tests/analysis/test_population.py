import numpy as np
import pytest
from region_tables import row

from sparse_search.analysis.regions import region_map
from sparse_search.records import SMALL_DENSE


def population(rows, **more):
    return region_map(rows, **more)["population"]


def test_a_distribution_by_hand():
    rows = [
        row(f"s{s}", 1000, k, accuracy)
        for s, accuracy in enumerate((0.5, 0.6, 0.7, 0.8, 0.9))
        for k in range(6)
    ]
    rows += [row(SMALL_DENSE, 1000, k, 0.65, point="d") for k in range(6)]
    (found,) = population(rows)
    sparse = found["sparse"]
    assert sparse["errors"] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5])
    named = ("lower_quartile", "median", "upper_quartile", "best")
    assert [sparse[name]["value"] for name in named] == pytest.approx(
        [0.2, 0.3, 0.4, 0.1]
    )
    assert found["better"] == pytest.approx({"value": 0.6, "low": 0.6, "high": 0.6})
    assert found["small_dense"]["errors"] == pytest.approx([0.35])
    # Quartiles of one value are none.
    assert found["small_dense"]["lower_quartile"]["value"] is None


def test_every_shape_and_structure_is_at_its_best_learning_rate():
    rows = []
    for k in range(3):
        for rate, test in ((0.1, 0.7), (1.0, 0.2)):
            more = dict(learning_rate=rate, point=f"r{rate}")
            rows.append(row("rigl", 1000, k, test, **more))
            for depth in (1, 2):
                more |= dict(point=f"d{depth} {rate}", depth=depth)
                rows.append(row(SMALL_DENSE, 1000, k, test - depth / 10, **more))
    (found,) = population(rows)
    assert found["sparse"]["errors"] == pytest.approx([0.3])
    assert found["small_dense"]["errors"] == pytest.approx([0.4, 0.5])


def test_the_best_is_chosen_on_validation_and_judged_on_other_seeds():
    rows = []
    for k, value in enumerate((0.9, 0.1, 0.1)):
        rows += [row("a", 1000, k, value), row("b", 1000, k, 0.3)]
    (found,) = population(rows)
    assert found["sparse"]["best"]["value"] == pytest.approx(1 - 0.5 / 3)
    assert found["small_dense"] is None and found["better"] is None


def test_the_share_is_as_sure_as_its_seeds():
    rng = np.random.default_rng(0)

    def rows(noise, seeds):
        made = []
        for k in range(seeds):
            for s in range(8):
                made.append(row(f"s{s}", 1000, k, 0.5 + (s - 3.6) * 0.02, noise))
            made.append(row(SMALL_DENSE, 1000, k, 0.5))
        for one in made:
            one["test_accuracy"] += noise * rng.normal()
        return made

    sure = population(rows(1e-4, 4))[0]["better"]
    assert (sure["low"], sure["value"], sure["high"]) == (0.5, 0.5, 0.5)
    open_ = population(rows(0.03, 4))[0]["better"]
    assert open_["low"] < 0.5 < open_["high"]
    alone = population(rows(0.03, 1))[0]["better"]
    assert alone["low"] is None and 0 <= alone["value"] <= 1


def test_the_error_of_a_loss_is_the_loss():
    rows = [row("a", 1000, k, 0.5, test_loss=1.5, valid_loss=1.5) for k in range(3)]
    (found,) = population(rows, metric="loss")
    assert found["sparse"]["errors"] == [1.5]
    assert found["sparse"]["median"]["value"] == 1.5
