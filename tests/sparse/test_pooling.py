"""The halving of images is that of flax, ties and gradients included."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparse_search.sparse.pooling import halved


def of_flax(x):
    return nn.max_pool(x, (2, 2), (2, 2))


def both(x, key):
    """Outputs and gradients, of ours and of flax's."""
    made = []
    for pool in (halved, of_flax):
        y, pull = jax.vjp(pool, x)
        made.append((y, *pull(jax.random.normal(key, y.shape, y.dtype))))
    return made


@settings(max_examples=25, deadline=None)
@given(st.tuples(*[st.integers(1, 3), *[st.integers(2, 7)] * 2, st.integers(1, 4)]))
def test_of_several_that_are_largest_the_first_is_taken(shape):
    one, other = jax.random.split(jax.random.key(sum(shape)))
    x = jax.random.randint(one, shape, -1, 2).astype(jnp.float32)
    for ours, theirs in zip(*both(x, other), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("kind", [jnp.float32, jnp.bfloat16])
def test_lanes_and_types(kind):
    x = jax.random.normal(jax.random.key(0), (3, 2, 6, 5, 4)).astype(kind)

    def gradient(pool):
        return jax.jit(jax.vmap(jax.grad(lambda x: (pool(x) ** 2).sum())))(x)

    found = gradient(halved)
    assert found.dtype == kind
    np.testing.assert_array_equal(found, gradient(of_flax))
