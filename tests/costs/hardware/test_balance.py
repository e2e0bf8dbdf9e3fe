import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparse_search.costs.hardware import balance


def test_the_busiest_by_hand():
    # Two elements: neurons 0, 2, 4 and 1, 3.
    assert balance.busiest(np.array([1, 5, 1, 2, 1]), 2) == 7
    assert balance.dealt(5, 2) == ((1, 3), (1, 2))
    assert balance.dealt(3, 8) == ((3, 1),)
    # Two coins: the larger is 1 with chance 3/4.
    assert balance.busiest_binomial(2, 1, 0.5, 2) == pytest.approx(0.75)
    assert balance.busiest_binomial(5, 10, 1.0, 2) == 30
    assert balance.busiest_rounded(((1, 3), (1, 2)), 10, 1.0, 4) == pytest.approx(9)


@pytest.mark.parametrize(
    "neurons, entries, density, elements",
    [(300, 64, 0.1, 64), (100, 784, 0.02, 16), (37, 20, 0.5, 8), (5, 50, 0.3, 64)],
)
def test_expected_is_what_random_weights_have(neurons, entries, density, elements):
    rng = np.random.default_rng(0)
    draws = rng.binomial(entries, density, (2000, neurons))
    for by in (1, 4):
        work = -(-draws // by)
        found = [balance.busiest(row, elements) for row in work]
        groups = balance.dealt(neurons, elements)
        expected = balance.busiest_rounded(groups, entries, density, by)
        error = np.std(found) / len(found) ** 0.5
        assert abs(np.mean(found) - expected) < 4 * error
        mean = balance.rounded_up(entries, density, by)
        assert mean == pytest.approx(work.mean(), rel=0.02)
        if by == 1:
            binomial = balance.busiest_binomial(neurons, entries, density, elements)
            assert binomial == pytest.approx(expected)


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 200), st.integers(1, 500), st.floats(1e-3, 1), st.integers(1, 64))
def test_the_busiest_has_at_least_its_share_and_at_most_all(n, entries, part, elements):
    busiest = balance.busiest_binomial(n, entries, part, elements)
    mean = n * entries * part
    assert mean / elements * (1 - 1e-9) <= busiest <= mean + 1e-6
