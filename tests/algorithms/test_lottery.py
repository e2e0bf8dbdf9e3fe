import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from sparse_search.algorithms.lottery import lottery
from sparse_search.train import step

START = {"kernel": jnp.arange(1.0, 13).reshape(3, 4), "bias": jnp.ones(4)}
COUNTS = {"kernel": 3, "bias": None}


def train(algorithm, until, every, optimizer=None):
    """Six steps or more of a gradient of -1 on the smaller half; states after each."""
    optimizer = optimizer or optax.sgd(1.0, momentum=0.5)
    params, sparse = algorithm.init(jax.random.key(0), START, COUNTS)
    state = step.begin(params, sparse, algorithm, optimizer)
    push = {"kernel": jnp.where(START["kernel"] < 7, -10.0, 0), "bias": jnp.ones(4)}
    states = []
    for number in range(until):
        if number % every == every - 1:
            key = jax.random.key(number)
            state, _ = step.rewire(key, state, push, algorithm, optimizer)
        else:
            state = step.apply_gradients(state, push, algorithm, optimizer)
        states.append(state)
    return states


def test_one_pruning_goes_back_to_the_beginning():
    states = train(lottery(until=4, every=2, prunings=1), until=4, every=2)
    before, after = states[2], states[3]
    # The smaller half grew by 10 and 25; of them 6, 5, 4 are the largest now.
    assert float(before.params["kernel"][0, 0]) == 26
    expected = np.where(np.isin(START["kernel"], [4, 5, 6]), START["kernel"], 0)
    np.testing.assert_array_equal(after.params["kernel"], expected)
    np.testing.assert_array_equal(after.params["bias"], START["bias"])
    for leaf in jax.tree.leaves(after.opt_state):
        assert not np.asarray(leaf).any()  # as new
    assert int(after.step) == 4


def test_the_schedule_of_the_learning_rate_begins_again():
    adam = optax.adam(optax.linear_schedule(0.1, 0.0, 100))
    states = train(lottery(until=4, every=2, prunings=1), 4, 2, adam)
    counts = [
        [int(x) for x in jax.tree.leaves(s.opt_state) if x.ndim == 0] for s in states
    ]
    assert counts == [[1, 1], [1, 1], [2, 2], [0, 0]]


def test_weights_of_an_early_step():
    algorithm = lottery(until=6, every=2, prunings=1, rewind_to=0.3)
    states = train(algorithm, until=6, every=2)
    # 0.3 of 6 steps have passed at the first rewire, after one update.
    early = states[1]
    kept = np.asarray(states[5].sparse.masks["kernel"])
    assert kept.sum() == 3
    np.testing.assert_array_equal(
        states[5].params["kernel"], np.where(kept, early.params["kernel"], 0)
    )
    np.testing.assert_array_equal(states[5].params["bias"], early.params["bias"])
    trace = states[5].opt_state[0].trace
    np.testing.assert_array_equal(trace["bias"], early.opt_state[0].trace["bias"])
    # What was pruned since has the state of a new weight.
    assert not np.asarray(trace["kernel"])[~kept].any()


@pytest.mark.parametrize("prunings, seen", [(1, {12, 3}), (2, {12, 6, 3})])
def test_weights_fall_by_a_constant_factor(prunings, seen):
    algorithm = lottery(until=8, every=2, prunings=prunings)
    assert algorithm.trainings == prunings + 1
    states = train(algorithm, until=8, every=2)
    assert {int(s.sparse.masks["kernel"].sum()) for s in states} == seen
