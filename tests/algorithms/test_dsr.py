import jax
import jax.numpy as jnp
import numpy as np
import pytest
from layer_by_hand import WEIGHTS

from sparse_search.algorithms.dsr import DSRState, dsr

SMALL = np.array([[1.0, 0.1], [0.0, 0.0]], np.float32)


def rewire(threshold, fraction, small=SMALL, seed=0):
    params = {"a": jnp.asarray(WEIGHTS), "b": jnp.asarray(small)}
    masks = jax.tree.map(lambda p: p != 0, params)
    state = DSRState(masks, jnp.int32(4), jnp.float32(threshold))
    algorithm = dsr(fraction)
    return jax.jit(algorithm.rewire)(jax.random.key(seed), params, params, state)


@pytest.mark.parametrize(
    # Three of eight weights lie below 0.25.
    "fraction, threshold",
    [(4 / 8, 0.5), (3 / 8, 0.25), (2 / 8, 0.125)],
)
def test_a_rewire_by_hand(fraction, threshold):
    params, state, info = rewire(0.25, fraction)
    # Kept: 4 and 1 weights, so the three dropped are divided as 2.4 + 0.6, 2 + 1.
    assert int(state.masks["a"].sum()) == 6 and int(state.masks["b"].sum()) == 2
    for at in ((0, 0), (1, 3), (2, 0), (2, 3)):
        assert state.masks["a"][at] and params["a"][at] == WEIGHTS[at]
    assert state.masks["b"][0, 0]
    assert float(state.threshold) == threshold and int(state.step) == 5
    for name in ("a", "b"):
        assert 0 <= int(info.grown[name]) <= 2


def test_weights_move_between_layers_and_none_stays_empty():
    weak = np.array([[0.2, 0.1], [0.05, 0.0]], np.float32)
    # Kept: 4 and 0 (counted as 1); five are dropped, 4 + 1.
    _, state, _ = rewire(0.25, 0.5, weak)
    assert int(state.masks["a"].sum()) == 8 and int(state.masks["b"].sum()) == 1


def test_growth_is_random():
    states = [rewire(0.25, 0.5, seed=seed)[1] for seed in range(8)]
    drawn = {np.asarray(state.masks["a"]).tobytes() for state in states}
    assert len(drawn) > 1


def test_a_threshold_below_all_weights_changes_nothing_but_itself():
    params, state, info = rewire(1e-3, 0.1)
    assert np.asarray(params["a"]).tobytes() == WEIGHTS.tobytes()
    assert not any(int(x) for x in jax.tree.leaves((info.dropped, info.grown)))
    assert float(state.threshold) == np.float32(2e-3)
