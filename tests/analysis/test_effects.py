import numpy as np
import pytest
from region_tables import row, table

from sparse_search.analysis.cells import sparse_cells
from sparse_search.analysis.effects import effects, random_effects, summarise
from sparse_search.analysis.table import read_trials


def summaries(rows):
    return summarise(sparse_cells(read_trials(rows, "accuracy")))


def test_effects_by_hand():
    # Two structures 0.1 apart, both rise by 0.2 then 0.1 a doubling, no noise.
    rows = [
        row(name, nnz, seed, level + add)
        for name, add in (("set", 0.0), ("rigl", 0.1))
        for nnz, level in ((100, 0.1), (200, 0.3), (800, 0.5))
        for seed in range(6)
    ]
    found = [effects(s) for s in summaries(rows)]
    assert [e.weight.value for e in found] == pytest.approx([0.2, 0.4 / 3, 0.1])
    assert [e.structure.value for e in found] == pytest.approx([0.1 / 2**0.5] * 3)
    assert found[0].dominance == pytest.approx([2 * 2**0.5] * 3)


def test_the_structure_sd_is_corrected_for_seed_noise():
    values = [[0.1, 0.2, 0.3], [0.4, 0.3, 0.6], [0.2, 0.4, 0.3]]
    rows = [
        row(f"s{s}", 10, k, v) for s, y in enumerate(values) for k, v in enumerate(y)
    ]
    y = np.array(values)
    residual = y - y.mean(1, keepdims=True) - y.mean(0) + y.mean()
    expected = y.mean(1).var(ddof=1) - (residual**2).sum() / 4 / 3
    (summary,) = summaries(rows)
    assert summary.structure_sd == pytest.approx(expected**0.5)


def test_slopes_use_only_structures_at_both_neighbours():
    rows = [
        row("set", n, k, a) for n, a in ((1, 0.1), (2, 0.2), (4, 0.5)) for k in (0, 1)
    ]
    rows += [row("rigl", n, k, 0.9) for n in (2, 4) for k in (0, 1)]
    found = summaries(rows)
    assert [s.slope_structures for s in found] == [1, 1, 2]
    assert [s.slope for s in found] == pytest.approx([0.1, 0.2, 0.15])


def test_one_seed_gives_a_slope_and_no_limits():
    found = effects(summaries(table(np.random.default_rng(0), seeds=1))[0])
    assert np.isfinite(found.weight.value)
    assert np.isnan(
        [found.weight.low, found.structure.value, found.dominance.low]
    ).all()


def test_a_shift_of_all_structures_by_seed_widens_the_weight_effect():
    steady = summaries(table(np.random.default_rng(0)))[2]
    shifted = summaries(table(np.random.default_rng(0), shift=0.03))[2]
    assert shifted.slope_noise.variance > 5 * steady.slope_noise.variance


def test_more_confidence_widens_every_interval():
    for summary in summaries(table(np.random.default_rng(0))):
        for narrow, wide in zip(
            effects(summary)[:3], effects(summary, 0.999)[:3], strict=True
        ):
            assert wide.value == narrow.value
            assert wide.low < narrow.low and narrow.high < wide.high


def test_structures_not_sampled_have_wider_intervals():
    for summary in summaries(table(np.random.default_rng(0))):
        for wide, narrow in zip(
            random_effects(summary)[:3], effects(summary)[:3], strict=True
        ):
            assert wide.value == pytest.approx(narrow.value)
            assert wide.high - wide.low > narrow.high - narrow.low
