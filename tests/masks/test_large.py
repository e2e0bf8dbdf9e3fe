"""Exact numbers of non-zeros in a layer of a hundred million weights."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sparse_search.algorithms.rigl import rigl

SHAPE = (10_000, 10_000)
# Not compiled as quickly as in other tests: here it is the running that takes long.
jit = functools.partial(
    jax.jit,
    compiler_options={
        "xla_backend_optimization_level": 3,
        "xla_cpu_use_fusion_emitters": True,
    },
)


@pytest.mark.parametrize("equal", [False, True], ids=["normal", "all equal"])
def test_a_rewire_of_a_hundred_million_weights(equal):
    normal = functools.partial(jax.random.normal, shape=SHAPE, dtype=jnp.bfloat16)
    draw = jit(normal)(jax.random.key(0))
    weights = {"kernel": jnp.ones_like(draw) if equal else draw}
    count = 12_345_679
    algorithm = rigl(0.3)
    params, state = jit(algorithm.init)(jax.random.key(1), weights, {"kernel": count})
    assert int(np.count_nonzero(state.masks["kernel"])) == count
    grads = jax.tree.map(jnp.zeros_like, weights) if equal else weights
    _, state, info = jit(algorithm.rewire)(jax.random.key(2), params, grads, state)
    assert int(np.count_nonzero(state.masks["kernel"])) == count
    assert int(info.dropped["kernel"]) == int(info.grown["kernel"]) > 0
    if equal:  # at random, and never whole rows
        rows = np.asarray(state.masks["kernel"]).sum(axis=1)
        assert abs(rows / rows.mean() - 1).max() < 0.2
