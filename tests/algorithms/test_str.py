import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sparse_search.algorithms.str_ import str_

PARAMS = {"kernel": jnp.array([[0.9, -0.8], [0.3, 0.0]]), "bias": jnp.ones(2)}
COUNTS = {"kernel": 3, "bias": None}


def begin(**more):
    algorithm = str_(initial=0.0, rate=0.1, decay=0.0, **more)
    return algorithm, *algorithm.init(jax.random.key(0), PARAMS, COUNTS)


def test_the_forward_pass_sees_soft_thresholds():
    algorithm, params, state = begin()
    seen = algorithm.view(params, state)  # sigmoid(0) = 0.5
    np.testing.assert_allclose(seen["kernel"], [[0.4, -0.3], [0, 0]], atol=1e-7)
    assert seen["bias"] is params["bias"]


def test_gradients_by_hand():
    algorithm, params, state = begin()
    grads = {"kernel": jnp.array([[1.0, 2.0], [4.0, 8.0]]), "bias": jnp.ones(2)}
    found, new = algorithm.filter_grads(grads, params, state)
    assert found["kernel"].tolist() == [[1, 2], [0, 0]]
    # -a (1 - a) (1 · 1 + 2 · -1) = 0.25, times the rate 0.1.
    assert float(new.thresholds["kernel"]) == pytest.approx(-0.025)
    assert new.thresholds["bias"] is None


def test_gradients_are_those_of_the_reparameterization():
    algorithm, params, state = begin()
    s = jnp.float32(-1.3)
    state = state._replace(thresholds={"kernel": s, "bias": None})

    def loss(weights, s):
        alpha = jax.nn.sigmoid(s)
        seen = jnp.sign(weights) * jax.nn.relu(jnp.abs(weights) - alpha)
        return jnp.sum(jnp.sin(3 * seen + jnp.arange(4.0).reshape(2, 2)))

    def view_loss(kernel):
        return jnp.sum(jnp.sin(3 * kernel + jnp.arange(4.0).reshape(2, 2)))

    weights, threshold = jax.grad(loss, (0, 1))(params["kernel"], s)
    seen = algorithm.view(params, state)["kernel"]
    grads = {"kernel": jax.grad(view_loss)(seen), "bias": jnp.ones(2)}
    found, new = algorithm.filter_grads(grads, params, state)
    np.testing.assert_allclose(found["kernel"], weights, rtol=1e-6)
    moved = (s - new.thresholds["kernel"]) / 0.1
    assert float(moved) == pytest.approx(float(threshold), rel=1e-4)


def test_it_ends_with_what_the_forward_pass_saw():
    algorithm, params, state = begin(until=4, every=2)
    state = state._replace(step=jnp.int32(3))
    seen = algorithm.view(params, state)
    after, state, info = algorithm.rewire(jax.random.key(0), params, params, state)
    # The three largest; the third is below its threshold, and starts at zero.
    np.testing.assert_array_equal(after["kernel"], seen["kernel"])
    assert state.masks["kernel"].tolist() == [[True, True], [True, False]]
    assert int(info.dropped["kernel"]) == 1
    same = algorithm.view(after, state)
    np.testing.assert_array_equal(same["kernel"], after["kernel"])
    ones = jax.tree.map(jnp.ones_like, params)
    grads, _ = algorithm.filter_grads(ones, after, state)
    assert grads["kernel"].tolist() == [[1, 1], [1, 0]]
