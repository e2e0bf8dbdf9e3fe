import numpy as np
import pytest
from scipy import stats as scipy_stats

from sparse_search.analysis import looks


def brownian(parts, runs=200_000):
    steps = np.diff(parts, prepend=0.0) ** 0.5
    noise = np.random.default_rng(0).normal(size=(runs, len(parts)))
    return np.cumsum(noise * steps, axis=1) / np.sqrt(parts)


def test_one_look_is_a_plain_test():
    assert looks.levels((5,), 0.05) == pytest.approx((0.05,))
    assert looks.bounds([1.0], [0.05]) == pytest.approx([1.959964])


def test_two_looks_by_the_bivariate_normal():
    first, second = looks.bounds([0.5, 1.0], [0.02, 0.03])
    assert first == pytest.approx(scipy_stats.norm.isf(0.01))
    law = scipy_stats.multivariate_normal(cov=[[1, 0.5**0.5], [0.5**0.5, 1]])
    inside = law.cdf([first, second], lower_limit=[-first, -second])
    assert inside == pytest.approx(0.95, abs=1e-5)


def test_pocock_s_constant():
    # Pocock 1977, Biometrika 64: five looks at 5 % take |z| > 2.413.
    parts = np.arange(1, 6) / 5
    z = np.abs(brownian(parts)) > 2.413
    first = z & (np.cumsum(z, axis=1) == 1)
    assert looks.bounds(parts, first.mean(axis=0)) == pytest.approx(2.413, abs=0.02)


@pytest.mark.parametrize("sizes", [(2, 3, 4, 5, 6, 7, 8, 10), (3, 30), range(1, 65)])
def test_all_looks_together_err_as_often_as_they_may(sizes):
    levels = np.array(looks.levels(tuple(sizes), 0.05))
    assert (np.diff(levels) > 0).all() and levels[-1] < 0.05
    z = np.abs(brownian(np.array(sizes) / sizes[-1]))
    found = z > scipy_stats.norm.isf(levels / 2)
    assert found.any(axis=1).mean() == pytest.approx(0.05, abs=0.002)
    half = found[:, : len(sizes) // 2].any(axis=1).mean()
    spent = 0.05 * (sizes[len(sizes) // 2 - 1] / sizes[-1]) ** 2
    assert half == pytest.approx(spent, abs=0.001)


def test_small_errors():
    # Two independent looks: the second has nearly all the data.
    levels = looks.levels((1, 1000), 1e-4)
    assert levels == pytest.approx((1e-10, 1e-4), rel=0.01)
