"""Means over structures that seeds shift together: as sure as the data allow."""

import numpy as np
import pytest
from scipy import special

from sparse_search.analysis import stats
from sparse_search.analysis.shifts import Noise


def test_a_known_ratio_is_a_t_interval():
    noise = Noise(error=4.0, dof=7, ratio=2.25)
    assert noise.variance == 9
    t = special.stdtrit(7, [0.025, 0.5, 0.9])
    assert noise.quantiles([0.025, 0.5, 0.9]) == pytest.approx(3 * t)


def test_many_degrees_of_freedom_are_the_same_as_a_known_ratio():
    sure, known = Noise(1.0, 9, 6.0, 1e6), Noise(1.0, 9, 6.0)
    levels = [0.001, 0.025, 0.2, 0.7, 0.999]
    assert sure.quantiles(levels) == pytest.approx(known.quantiles(levels), rel=0.01)


def test_a_large_ratio_of_few_seeds_is_their_own_t_interval():
    # The error is known, so all that is uncertain is the ratio.
    found = Noise(1.0, 1e6, 1e6, 2.0).quantiles([0.9, 0.975])
    assert found == pytest.approx(1e3 * special.stdtrit(2, [0.9, 0.975]), rel=0.01)


@pytest.mark.parametrize(("dof", "least"), [(3.3, 0.925), (6.6, 0.93), (13.2, 0.935)])
def test_intervals_cover_whatever_the_shifts(dof, least):
    """By integration over the estimates; dof of 2, 3 and 5 seeds at five budgets."""
    for ratio in (1.0, 3.0, 30.0):
        estimates = ratio * special.gammaincinv(dof / 2, stats.LEVELS) / (dof / 2)
        half = [Noise(1.0, 1e4, e, dof).quantiles(0.975) for e in estimates]
        within = 2 * special.ndtr(np.array(half) / np.sqrt(ratio)) - 1
        assert least < stats.SHARES @ within < 0.985
