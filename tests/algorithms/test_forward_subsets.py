"""Top-KAST and SR-STE: the forward pass sees fewer weights than are kept."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sparse_search.algorithms.sr_ste import sr_ste
from sparse_search.algorithms.top_kast import top_kast
from sparse_search.errors import UserError
from sparse_search.masks.patterns import n_m

WEIGHTS = jnp.array([[0.9], [-0.1], [0.3], [-0.8], [0.2], [0.05], [0.01], [0.02]])
PARAMS = {"kernel": WEIGHTS}
ONES = {"kernel": jnp.ones((8, 1))}
KEY = jax.random.key(0)


def on(mask):
    return np.flatnonzero(np.asarray(mask)).tolist()


def test_top_kast_by_hand():
    algorithm = top_kast(until=100, every=2, backward=2.0, penalty=0.1)
    params, state = algorithm.init(KEY, PARAMS, {"kernel": 2})
    assert on(state.forward["kernel"]) == [0, 3]
    assert on(state.backward["kernel"]) == [0, 2, 3, 4]
    assert params["kernel"] is PARAMS["kernel"] and state.masks["kernel"].all()
    seen = algorithm.view(params, state)["kernel"]
    np.testing.assert_array_equal(
        seen, np.where(np.arange(8) % 3, 0, 1)[:, None] * seen
    )
    grads, state = algorithm.filter_grads(ONES, params, state)
    # D = 2 / 8: in the backward set alone the penalty is four times as strong.
    expected = np.zeros((8, 1))
    expected[[0, 3], 0] = 1 + 0.1 * np.array([0.9, -0.8])
    expected[[2, 4], 0] = 1 + 0.4 * np.array([0.3, 0.2])
    np.testing.assert_allclose(grads["kernel"], expected, rtol=1e-6)


def test_top_kast_follows_the_magnitudes_and_ends_sparse():
    algorithm = top_kast(until=4, every=2)
    params, state = algorithm.init(KEY, PARAMS, {"kernel": 2})
    moved = {"kernel": WEIGHTS.at[6, 0].set(5.0)}
    params, state, _ = algorithm.rewire(KEY, moved, ONES, state)
    assert on(state.forward["kernel"]) == [0, 6] and state.masks["kernel"].all()
    state = state._replace(step=jnp.int32(3))
    params, state, _ = algorithm.rewire(KEY, params, ONES, state)
    assert on(state.masks["kernel"]) == on(params["kernel"]) == [0, 6]
    grads, _ = algorithm.filter_grads(ONES, params, state)
    assert on(grads["kernel"]) == [0, 6]


def test_sr_ste_by_hand():
    algorithm = sr_ste(until=100, every=2, pattern=n_m(2, 4), penalty=0.5)
    params, state = algorithm.init(KEY, PARAMS, {"kernel": 4})
    assert on(algorithm.view(params, state)["kernel"]) == [0, 3, 4, 5]
    grads, state = algorithm.filter_grads(ONES, params, state)
    expected = 1 + 0.5 * np.array([0, -0.1, 0.3, 0, 0, 0, 0.01, 0.02])
    np.testing.assert_allclose(np.ravel(grads["kernel"]), expected, rtol=1e-6)
    # The next step sees the largest of the weights that this one had.
    moved = {"kernel": WEIGHTS.at[7, 0].set(-5.0)}
    _, state = algorithm.filter_grads(ONES, moved, state)
    assert on(algorithm.view(moved, state)["kernel"]) == [0, 3, 4, 7]


def test_sr_ste_ends_sparse():
    algorithm = sr_ste(until=2, every=2, pattern=n_m(2, 4))
    params, state = algorithm.init(KEY, PARAMS, {"kernel": 4})
    state = state._replace(step=jnp.int32(1))
    params, state, _ = algorithm.rewire(KEY, params, ONES, state)
    assert on(params["kernel"]) == on(state.masks["kernel"]) == [0, 3, 4, 5]
    _, state = algorithm.filter_grads(ONES, {"kernel": jnp.ones((8, 1))}, state)
    assert on(state.forward["kernel"]) == [0, 3, 4, 5]


def test_a_backward_set_that_is_too_small_is_refused():
    with pytest.raises(UserError, match="at least 1"):
        top_kast(backward=0.5)
