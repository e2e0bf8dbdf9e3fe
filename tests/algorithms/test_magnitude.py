"""Magnitude pruning: once, over all layers, by LAMP scores; and AC/DC's phases."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sparse_search.algorithms.ac_dc import ac_dc
from sparse_search.algorithms.granet import granet
from sparse_search.algorithms.magnitude import magnitude
from sparse_search.errors import UserError
from sparse_search.masks.patterns import FAN_IN

FIRST = np.array([[0.9, -0.1, 0.3], [-0.8, 0.2, 0.05]], np.float32)
SECOND = np.array([[4.0], [-0.5], [3.0]], np.float32)
PARAMS = {"first": jnp.asarray(FIRST), "second": jnp.asarray(SECOND)}
COUNTS = {"first": 3, "second": 1}


def prune(algorithm, steps=4, every=2):
    """The nnz of both layers after every step; the masks at last."""
    params, state = algorithm.init(jax.random.key(0), PARAMS, COUNTS)
    seen = []
    rewire = jax.jit(algorithm.rewire)
    for step in range(steps):
        if step % every == every - 1:
            params, state, _ = rewire(jax.random.key(step), params, params, state)
        else:
            _, state = algorithm.filter_grads(params, params, state)
        seen.append([int(state.masks[k].sum()) for k in ("first", "second")])
    return seen, params


def test_once_and_by_layer():
    seen, params = prune(magnitude(until=4, every=2))
    assert seen == [[6, 3], [6, 3], [6, 3], [3, 1]]
    expected = [[0.9, 0, 0.3], [-0.8, 0, 0]]
    np.testing.assert_array_equal(params["first"], np.array(expected, np.float32))
    assert params["second"].tolist() == [[4.0], [0], [0]]


def test_over_all_layers():
    # The four largest of all: 4, 3, 0.9 and 0.8.
    seen, params = prune(magnitude(until=4, every=2, scope="global"))
    assert seen[-1] == [2, 2]
    assert params["second"].tolist() == [[4.0], [0], [3.0]]


def test_by_lamp_scores():
    # First: 0.81, then 0.64 / 1.45 = 0.44, 0.09 / 1.54 = 0.06. Second: 1, 9 / 25 =
    # 0.36, 0.01. The four largest are 1, 1, 0.44 and 0.36.
    seen, params = prune(magnitude(until=4, every=2, scope="lamp"))
    assert seen[-1] == [2, 2] and params["first"].tolist()[0][1:] == [0, 0]


def test_the_compared_layers_of_granet():
    seen, _ = prune(granet(0.0, until=4, every=2, initial_density=1.0, scope="global"))
    assert seen[-1] == [2, 2] and sum(seen[1]) in (4, 5)


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(UserError, match="which the pattern 'fan_in' cannot have"):
        magnitude(scope="global", pattern=FAN_IN)
    with pytest.raises(UserError, match="Did you mean 'global'"):
        magnitude(scope="globl")


def test_ac_dc_by_phases():
    algorithm = ac_dc(until=8, every=1, phases=4)
    seen, params = prune(algorithm, steps=8, every=1)
    dense, sparse = [6, 3], [3, 1]
    # Phases of two steps; a rewire decides on what follows it.
    assert seen == [dense, *[sparse] * 2, *[dense] * 2, *[sparse] * 3]
    assert np.count_nonzero(params["first"]) == 3
    with pytest.raises(UserError, match="at least 2"):
        ac_dc(phases=1)
