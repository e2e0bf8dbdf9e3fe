"""GraNet and gradual magnitude pruning: fewer and fewer weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from layer_by_hand import GRADS, WEIGHTS

from sparse_search.algorithms.gradual import gradual
from sparse_search.algorithms.granet import ShrinkingState, granet

# All stored but (0, 1) and (0, 3).
FULL = np.where(WEIGHTS == 0, np.float32(0.01), WEIGHTS)
FULL[0, [1, 3]] = 0


def rewire(fraction, until=38):
    params = {"kernel": jnp.asarray(FULL)}
    masks = {"kernel": jnp.asarray(FULL != 0)}
    # Gradients 0 to 9: the last feeds the first rewire, the next one comes at 19.
    state = ShrinkingState(masks, jnp.int32(9), {"kernel": 10}, {"kernel": 2})
    algorithm = granet(fraction, until, every=10, schedule="constant")
    grads = {"kernel": jnp.asarray(GRADS)}
    return jax.jit(algorithm.rewire)(jax.random.key(0), params, grads, state)


def test_a_rewire_by_hand():
    # At 19 of 38, (1 - 1/2)³ = 1/8 of the 8 superfluous weights is left: 3 in all. One
    # of them is regenerated: kept are 0.9 and -0.8; the largest gradients elsewhere are
    # 9 (of 0.7, which so comes back), then 8.
    params, state, info = rewire(1 / 3)
    expected = np.zeros_like(WEIGHTS)
    expected[0, 0], expected[1, 3], expected[2, 3] = 0.9, -0.8, 0.7
    assert np.asarray(params["kernel"]).tolist() == expected.tolist()
    assert (int(info.dropped["kernel"]), int(info.grown["kernel"])) == (7, 0)
    assert int(state.step) == 10


def test_what_is_regenerated_starts_at_zero():
    # Kept is 0.9 alone; grown are the gradients 9 at (1, 3) and (2, 3), as they were.
    params, _, _ = rewire(2 / 3)
    assert np.count_nonzero(params["kernel"]) == 3
    # With all exchanged the three largest gradients: 9, 9, 9; all of them were stored.
    params, state, _ = rewire(1.0)
    assert int(state.masks["kernel"].sum()) == 3


@pytest.mark.parametrize("until", [19, 10, 1])
def test_the_last_rewire_leaves_the_final_count(until):
    _, state, _ = rewire(0.0, until)
    assert int(state.masks["kernel"].sum()) == 2


@pytest.mark.parametrize("density, begun", [(0.5, 6), (0.1, 4), (1.0, 12), (0.51, 7)])
def test_the_density_at_the_beginning(density, begun):
    algorithm = granet(0.3, 100, initial_density=density)
    params = {"kernel": jnp.asarray(WEIGHTS) + 2}
    _, state = algorithm.init(jax.random.key(0), params, {"kernel": 4})
    assert int(state.masks["kernel"].sum()) == begun


def test_gradual_pruning_keeps_the_largest_of_all():
    algorithm = gradual(until=20, every=5)
    rng = np.random.default_rng(0)
    params = {"kernel": jnp.asarray(rng.normal(size=(8, 10)), jnp.float32)}
    dense = np.asarray(params["kernel"])
    params, state = algorithm.init(jax.random.key(0), params, {"kernel": 10})
    assert np.asarray(params["kernel"]).tobytes() == dense.tobytes()
    found = []
    for step in range(20):
        if step % 5 == 4:
            params, state, _ = algorithm.rewire(
                jax.random.key(step), params, params, state
            )
            found.append(int(state.masks["kernel"].sum()))
        else:
            _, state = algorithm.filter_grads(params, params, state)
    # 10 + 70 (1 - t/20)³ at t = 9, 14, 19 and then the end: 11.6, 1.9, 0.009 more.
    assert found == [22, 12, 10, 10]
    largest = np.sort(np.abs(dense).ravel())[-10:]
    kept = np.abs(np.asarray(params["kernel"])[np.asarray(state.masks["kernel"])])
    assert np.sort(kept).tolist() == largest.tolist()
    assert algorithm.dense_gradient == "never" and algorithm.conserves == "end"
