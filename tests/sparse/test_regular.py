"""Formats of regular patterns come back as they were, and multiply as dense layers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sparse_search.errors import UserError
from sparse_search.masks import patterns
from sparse_search.sparse import regular

SHAPE = (24, 10)


def drawn(name, count):
    """A random mask of a pattern, and weights."""
    pattern = patterns.by_name(name)
    mask = pattern.select(jax.random.key(0), None, count, jnp.ones(SHAPE, bool))
    weights = np.random.default_rng(0).standard_normal(SHAPE).astype("float32")
    mask = np.asarray(mask)
    assert mask.sum() == count
    return weights, mask


CASES = {
    "fan_in": (50, regular.fan_in),
    "2:4": (120, lambda w, m: regular.n_m(w, m, 4)),
    "block4x5": (100, lambda w, m: regular.blocks(w, m, (4, 5))),
}


@pytest.mark.parametrize("name", CASES)
def test_it_comes_back_as_it_was(name):
    count, make = CASES[name]
    weights, mask = drawn(name, count)
    weights[np.unravel_index(np.flatnonzero(mask)[0], SHAPE)] = (
        0  # a weight all the same
    )
    layer = make(weights, mask)
    assert layer.values.size == count
    np.testing.assert_array_equal(regular.to_mask(layer), mask)
    np.testing.assert_array_equal(regular.to_dense(layer), np.where(mask, weights, 0))
    matrix = regular.to_csr(layer)
    assert matrix.nnz == count
    np.testing.assert_array_equal(matrix.toarray(), np.where(mask, weights, 0))


@pytest.mark.parametrize("name", CASES)
def test_products_and_gradients_are_those_of_the_dense_layer(name):
    count, make = CASES[name]
    weights, mask = drawn(name, count)
    layer = make(weights, mask)
    x = jnp.asarray(np.random.default_rng(1).standard_normal((24, 7)), jnp.float32)

    def loss(layer, x):
        return jnp.sum(regular.product(layer, x) ** 2)

    def dense(w, x):
        return jnp.sum((w.T @ x) ** 2)

    made, dx = jax.grad(loss, (0, 1), allow_int=True)(layer, x)
    expected, dx_expected = jax.grad(dense, (0, 1))(regular.to_dense(layer), x)
    np.testing.assert_allclose(dx, dx_expected, 1e-4, 1e-4)
    at = regular.positions(layer)
    np.testing.assert_allclose(made.values.ravel(), expected[at], 1e-4, 1e-4)
    np.testing.assert_allclose(
        regular.product(layer, x), np.where(mask, weights, 0).T @ x, 1e-4, 1e-4
    )


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda w, m: regular.fan_in(w, m), "between 4 and 5 inputs"),
        (lambda w, m: regular.n_m(w, m, 5), "Groups of 5 do not divide 24 inputs"),
        (lambda w, m: regular.n_m(w, m, 4), "between 0 and 1 weights"),
        (lambda w, m: regular.blocks(w, m, (5, 5)), "do not divide a layer of 24×10"),
        (lambda w, m: regular.blocks(w, m, (2, 2)), "are stored in part"),
    ],
)
def test_a_mask_that_is_not_of_the_pattern_is_refused(make, message):
    mask = np.zeros(SHAPE, bool)
    mask[::5] = True
    mask[20, 3:] = False
    with pytest.raises(UserError, match=message):
        make(np.ones(SHAPE), mask)
