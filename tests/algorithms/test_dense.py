import jax
import jax.numpy as jnp
import numpy as np
import optax
from layer_by_hand import GRADS, WEIGHTS

from sparse_search.algorithms.base import no_rewire
from sparse_search.algorithms.dense import dense
from sparse_search.train import step
from sparse_search.train.step import TrainState

PARAMS = {"kernel": jnp.asarray(WEIGHTS), "bias": jnp.ones(4)}


def test_nothing_is_masked_whatever_the_counts():
    params, state = dense().init(jax.random.key(0), PARAMS, {"kernel": 3, "bias": None})
    assert state.masks == {"kernel": None, "bias": None}
    assert params is PARAMS and dense().view(params, state) is PARAMS
    assert dense().rewire is no_rewire


def test_a_step_is_the_optimizers_own():
    optimizer = optax.adamw(0.1)
    grads = {"kernel": jnp.asarray(GRADS), "bias": jnp.ones(4)}
    opt_state = optimizer.init(PARAMS)
    _, sparse = dense().init(jax.random.key(0), PARAMS, None)
    state = TrainState(PARAMS, opt_state, sparse, jnp.int32(0))
    new = step.apply_gradients(state, grads, dense(), optimizer)
    updates, _ = optimizer.update(grads, opt_state, PARAMS)
    expected = optax.apply_updates(PARAMS, updates)
    for found, right in zip(
        jax.tree.leaves(new.params), jax.tree.leaves(expected), strict=True
    ):
        assert np.asarray(found).tobytes() == np.asarray(right).tobytes()
