import jax
import jax.numpy as jnp
import numpy as np
from layer_by_hand import GRADS, WEIGHTS

from sparse_search.algorithms.snfs import SNFSState, snfs

SMALL = np.array([[1.0, 2.0], [0.0, 0.0]], np.float32)


def rewire(small_grads, beta=0.5, fraction=0.5):
    params = {"a": jnp.asarray(WEIGHTS), "b": jnp.asarray(SMALL), "bias": jnp.ones(2)}
    grads = {"a": jnp.asarray(GRADS), "b": jnp.asarray(small_grads), "bias": None}
    masks = {"a": params["a"] != 0, "b": params["b"] != 0, "bias": None}
    momentum = {"a": jnp.zeros((3, 4)), "b": jnp.zeros((2, 2)), "bias": None}
    state = SNFSState(masks, jnp.int32(4), momentum)
    algorithm = snfs(fraction, schedule="constant", beta=beta)
    grads["bias"] = jnp.ones(2)
    return jax.jit(algorithm.rewire)(jax.random.key(0), params, grads, state)


def test_what_is_dropped_is_divided_by_mean_momentum():
    # Dropped: -0.1, 0.2, 0.3 and 1.0. The weights kept have mean |M| 4.5 and 0.75, so
    # the four are divided as 3.43 + 0.57, rounded to 3 + 1.
    params, state, info = rewire(np.array([[1, 1.5], [4, -3]], np.float32))
    # The largest |M| that are not kept: 8 (which was dropped and comes back), -7, -6.
    assert np.asarray(state.masks["a"]).tolist() == [
        [True, False, False, False],
        [True, True, False, True],
        [False, False, True, True],
    ]
    assert np.asarray(state.masks["b"]).tolist() == [[False, True], [True, False]]
    assert params["a"][1, 1] == np.float32(0.2) and params["b"][1, 0] == 0
    assert (int(info.dropped["a"]), int(info.grown["a"])) == (2, 2)
    assert (int(info.dropped["b"]), int(info.grown["b"])) == (1, 1)
    assert np.asarray(state.momentum["a"]).tolist() == (GRADS / 2).tolist()
    assert params["bias"].tolist() == [1, 1] and int(state.step) == 5


def test_weights_move_between_layers():
    # Mean |M| 4.5 and 0.05: 3.96 + 0.04, all four go to the first layer.
    params, state, info = rewire(np.array([[1, 0.1], [4, -3]], np.float32))
    assert int(state.masks["a"].sum()) == 7 and int(state.masks["b"].sum()) == 1
    assert state.masks["a"][0, 2] and params["a"][0, 2] == np.float32(-0.1)
    # Dropped for good: 0.3 and 1.0; the others of the four grow -7 and -6.
    assert sum(int(x) for x in jax.tree.leaves(info.dropped)) == 2
    assert sum(int(x) for x in jax.tree.leaves(info.grown)) == 2


def test_momentum_is_the_running_mean_of_dense_gradients():
    algorithm = snfs(0.5, schedule="constant", beta=0.75)
    params, state = algorithm.init(
        jax.random.key(0), {"kernel": jnp.asarray(WEIGHTS)}, {"kernel": 6}
    )
    grads = {"kernel": jnp.asarray(GRADS)}
    for _ in range(2):
        masked, state = algorithm.filter_grads(grads, params, state)
    expected = (0.25 + 0.75 * 0.25) * GRADS
    np.testing.assert_allclose(state.momentum["kernel"], expected, rtol=1e-6)
    mask = np.asarray(state.masks["kernel"])
    assert np.asarray(masked["kernel"]).tolist() == np.where(mask, GRADS, 0).tolist()
    assert algorithm.conserves == "total" and algorithm.dense_gradient == "always"
