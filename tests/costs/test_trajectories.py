"""What methods store ahead of time, against the algorithms themselves."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparse_search.algorithms import CONSTRUCTORS, complete
from sparse_search.algorithms.base import nnz
from sparse_search.costs import trajectories
from sparse_search.costs.flops import Phase, Work, train_flops
from sparse_search.costs.trajectories import GROWTH, STORED, Schedule, phases

SHAPES = {"Dense_0": (12, 10), "Dense_1": (12, 10)}  # alike: compiled once
SIZES = (120, 120)
COUNTS = (37, 20)
EVERY, UNTIL, ROUNDS = 10, 87, 12
WHEN = Schedule(EVERY, UNTIL, tuple((n + 1) * EVERY - 1 < UNTIL for n in range(ROUNDS)))


def stored_by_the_algorithm(method, options):
    """The nnz of every layer before the first round and after each."""
    algorithm = complete(
        CONSTRUCTORS[method], until=UNTIL, every=EVERY, drop_fraction=0.3, **options
    )
    keys = iter(jax.random.split(jax.random.key(0), 100))
    params = {k: jax.random.normal(next(keys), s) for k, s in SHAPES.items()}
    counts = dict(zip(SHAPES, COUNTS, strict=True))
    params, state = algorithm.init(next(keys), params, counts)
    rewire = jax.jit(algorithm.rewire)

    def numbers(state):
        return tuple(int(n) for n in nnz(state.masks).values())

    found = [numbers(state)]
    for number, due in enumerate(WHEN.due):
        if due:
            # Only the last gradient of a round is looked at.
            step = jnp.int32(WHEN.step(number))
            grads = {k: jax.random.normal(next(keys), s) for k, s in SHAPES.items()}
            state = state._replace(step=step)
            params, state, _ = rewire(next(keys), params, grads, state)
        found.append(numbers(state))
    return found


CHANGING = [
    ("granet", {}),
    ("gap", {"cycles": 3}),
    ("ac_dc", {"phases": 4}),
    ("lottery", {}),
    ("magnitude", {}),
    ("mest", {"soft_bound": 0.3}),
]


@pytest.mark.parametrize("method, options", CHANGING)
def test_ahead_of_time_is_what_the_algorithm_does(method, options):
    found = stored_by_the_algorithm(method, options)
    rule = STORED[method]
    layers = trajectories._Layers(SIZES, COUNTS, options)
    expected = [rule(layers, WHEN, -1, COUNTS)]
    for number, due in enumerate(WHEN.due):
        after = rule(layers, WHEN, number, expected[-1]) if due else expected[-1]
        expected.append(after)
    assert expected == found
    assert found[-1] == COUNTS and len(set(found)) > 1


def test_every_method_has_its_rule():
    assert STORED.keys() == GROWTH.keys() == CONSTRUCTORS.keys()
    assert phases("package.module:mine", "random", SIZES, COUNTS, WHEN, {}) is None


def test_what_the_passes_see_of_what_is_stored():
    # Top-KAST stores everything until its last rewire, behind round 8.
    made = phases("top_kast", "random", SIZES, COUNTS, WHEN, {"backward": 3.0})
    assert made[0] == Phase(10, COUNTS, (111, 60))
    assert made[-1] == Phase(10, COUNTS, COUNTS)
    assert [phase.gradient == COUNTS for phase in made] == [False] * 8 + [True] * 4
    made = phases("sr_ste", "random", SIZES, COUNTS, WHEN, {})
    assert made[0] == Phase(10, COUNTS, SIZES) and made[-1] == Phase(10, COUNTS, COUNTS)


def test_dense_gradients():
    def dense_steps(method, options=None):
        growth = "momentum" if options else GROWTH[method]
        made = phases(method, growth, SIZES, COUNTS, WHEN, options or {})
        assert sum(phase.steps for phase in made) == EVERY * ROUNDS
        return sum(phase.steps for phase in made if phase.gradient == SIZES)

    assert dense_steps("rigl") == sum(WHEN.due) == 8
    assert dense_steps("rigl", {"batches": 3}) == 3 * 8
    assert dense_steps("snfs") == EVERY * ROUNDS
    assert dense_steps("set") == dense_steps("static") == 0


WORK = Work(SIZES, (64, 1), 100)
# (layer by layer) any nnz up to the size
some_counts = st.tuples(*(st.integers(0, size) for size in SIZES))


@given(some_counts, some_counts, st.sampled_from(sorted(STORED)))
def test_more_weights_never_cost_less(one, other, method):
    few, many = map(tuple, np.sort([one, other], axis=0).tolist())

    def cost(counts):
        made = phases(method, GROWTH[method], SIZES, counts, WHEN, {})
        return train_flops(WORK, made, 7)

    assert cost(few) <= cost(many) <= cost(SIZES)
    # All weights there are: every method is dense training.
    assert cost(SIZES) == 7 * EVERY * ROUNDS * 3 * WORK.forward(SIZES)


@given(some_counts)
def test_no_division_costs_more_than_the_most(counts):
    most = WORK.most(sum(counts))
    assert sum(most) == sum(counts)
    assert WORK.forward(counts) <= WORK.forward(most)
