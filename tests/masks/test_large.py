"""Exact numbers of non-zeros in a layer of a hundred million weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sparse_search.algorithms.rigl import rigl

SHAPE = (10_000, 10_000)


@pytest.mark.parametrize("equal", [False, True], ids=["normal", "all equal"])
def test_a_rewire_of_a_hundred_million_weights(equal):
    draw = jax.random.normal(jax.random.key(0), SHAPE, jnp.bfloat16)
    weights = {"kernel": jnp.ones_like(draw) if equal else draw}
    count = 12_345_679
    algorithm = rigl(0.3)
    params, state = jax.jit(algorithm.init)(
        jax.random.key(1), weights, {"kernel": count}
    )
    assert int(np.count_nonzero(state.masks["kernel"])) == count
    grads = jax.tree.map(jnp.zeros_like, weights) if equal else weights
    _, state, info = jax.jit(algorithm.rewire)(jax.random.key(2), params, grads, state)
    assert int(np.count_nonzero(state.masks["kernel"])) == count
    assert int(info.dropped["kernel"]) == int(info.grown["kernel"]) > 0
    if equal:  # at random, and never whole rows
        rows = np.asarray(state.masks["kernel"]).sum(axis=1)
        assert abs(rows / rows.mean() - 1).max() < 0.2
