import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparse_search.masks import across

SHAPES = [(4, 5), (3, 7), (2, 2)]
shares = jax.jit(across.shares)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10**6), st.integers(0, 45), st.booleans())
def test_the_largest_of_all_layers(seed, total, coarse):
    rng = np.random.default_rng(seed)
    scores = [rng.normal(size=s).astype(np.float32) for s in SHAPES]
    if coarse:  # many ties
        scores = [np.round(s) for s in scores]
    where = [rng.random(s) < 0.8 for s in SHAPES]
    found = [int(n) for n in shares(scores, where, total)]
    numbers = [int(w.sum()) for w in where]
    assert sum(found) == min(total, sum(numbers))
    assert all(0 <= n <= m for n, m in zip(found, numbers, strict=True))
    everything = np.concatenate([s[w] for s, w in zip(scores, where, strict=True)])
    least = np.sort(everything)[::-1][min(total, everything.size) - 1 : total]
    for score, mask, n in zip(scores, where, found, strict=True):
        if least.size and total:
            assert (
                (score[mask] > least[0]).sum() <= n <= (score[mask] >= least[0]).sum()
            )


def test_equal_scores_are_divided_by_size():
    ones = [jnp.ones((10, 10)), jnp.ones((10, 30))]
    found = shares(ones, [x > 0 for x in ones], 40)
    assert [int(n) for n in found] == [10, 30]


def test_what_is_not_a_number_is_taken_last():
    scores = [jnp.array([[1.0, jnp.nan]]), jnp.array([[jnp.inf, -1.0]])]
    where = [jnp.ones((1, 2), bool)] * 2
    assert [int(n) for n in shares(scores, where, 3)] == [1, 2]
    assert [int(n) for n in shares(scores, where, 4)] == [2, 2]


@pytest.mark.parametrize("seed", range(3))
def test_lamp_is_the_paper_s_formula(seed):
    rng = np.random.default_rng(seed)
    weights = np.abs(rng.normal(size=(5, 6))).astype(np.float32)
    where = rng.random((5, 6)) < 0.7
    found = np.asarray(across.lamp(weights, where))
    for i, j in np.argwhere(where):
        larger = where & (weights >= weights[i, j])
        expected = weights[i, j] ** 2 / (weights[larger] ** 2).sum()
        assert found[i, j] == pytest.approx(expected, rel=1e-4)
    assert found[where].max() == pytest.approx(1)  # so no layer ever ends empty
