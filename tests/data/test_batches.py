import itertools
import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2

from sparse_search.data.batches import batch_indices, round_indices, split
from sparse_search.errors import UserError

STATIC = ("steps", "train_size", "batch_size")
compiled_round = jax.jit(round_indices, static_argnames=STATIC)
compiled_batch = jax.jit(batch_indices, static_argnames=STATIC[1:])
compiled_split = jax.jit(split, static_argnames=("size", "validation"))


def assert_uniform(observed):
    """Chi-square of counts that should be equal, at one in a million."""
    observed = np.asarray(observed, float).ravel()
    expected = observed.mean()
    statistic = ((observed - expected) ** 2 / expected).sum()
    assert chi2.sf(statistic, len(observed) - 1) > 1e-6


# (train_size, batch_size): a program each, so there are few of them.
@settings(max_examples=30, deadline=None)
@given(
    st.sampled_from([(1, 1), (38, 5), (1437, 128), (2600, 2600), (3000, 100)]),
    st.integers(0, 2**32 - 1),
    st.integers(0, 10**5),
)
def test_an_epoch_has_every_example_at_most_once(sizes, seed, epoch):
    train_size, batch_size = sizes
    steps = train_size // batch_size
    rows = compiled_round(
        jax.random.key(seed),
        epoch * steps,
        steps=steps,
        train_size=train_size,
        batch_size=batch_size,
    )
    assert rows.shape == (steps, batch_size) and rows.dtype == jnp.int32
    seen = np.sort(np.asarray(rows).ravel())
    assert seen[0] >= 0 and seen[-1] < train_size
    assert (np.diff(seen) > 0).all()
    if train_size % batch_size == 0:
        assert (seen == np.arange(train_size)).all()


# Every size is a program of its own; examples are few so that tests stay fast.
@settings(max_examples=8, deadline=None)
@given(st.integers(1, 3000), st.integers(0, 2**32 - 1), st.data())
def test_a_split_is_a_partition(size, seed, data):
    validation = data.draw(st.integers(0, size - 1))
    parts = compiled_split(jax.random.key(seed), size=size, validation=validation)
    assert parts.validation.shape == (validation,)
    both = np.concatenate([parts.validation, parts.train])
    assert (np.sort(both) == np.arange(size)).all()


def test_a_larger_validation_part_contains_the_smaller():
    small, large = (
        split(jax.random.key(1), size=100, validation=validation)
        for validation in (10, 40)
    )
    assert (large.validation[:10] == small.validation).all()
    other = split(jax.random.key(2), size=100, validation=40)
    assert set(other.validation.tolist()) != set(large.validation.tolist())


def test_a_step_is_a_row_of_a_round_across_epochs():
    sizes = {"train_size": 1000, "batch_size": 96}  # 10 steps an epoch
    key = jax.random.key(0)
    rows = compiled_round(key, 7, steps=25, **sizes)
    for offset in range(25):
        assert (compiled_batch(key, 7 + offset, **sizes) == rows[offset]).all()
    assert (compiled_round(key, 20, steps=5, **sizes) == rows[13:18]).all()


def test_eager_jit_vmap_and_x64_agree():
    sizes = {"train_size": 1437, "batch_size": 128}
    keys = jax.random.split(jax.random.key(1), 3)
    one = partial(round_indices, steps=13, **sizes)
    rows = np.stack([one(key, 9) for key in keys])
    assert (rows[0] == jax.jit(one)(keys[0], 9)).all()
    # Lanes that are at different steps, and so in different epochs.
    first = jnp.array([9, 40, 1000])
    lanes = jax.jit(jax.vmap(one))(keys, first)
    assert (lanes[0] == rows[0]).all()
    for lane in (1, 2):
        assert (lanes[lane] == one(keys[lane], first[lane])).all()
    with jax.enable_x64(True):
        wide = jax.jit(one)(keys[0], jnp.int64(9))
        assert wide.dtype == jnp.int32 and (wide == rows[0]).all()

    divide = partial(split, size=1437, validation=144)
    several = jax.jit(jax.vmap(divide))(keys)
    for lane in range(3):
        parts = divide(keys[lane])
        assert (several.train[lane] == parts.train).all()
        assert (several.validation[lane] == parts.validation).all()


def test_the_order_is_the_same_forever():
    # A change here changes every trained network: resumed runs would not match.
    rows = compiled_round(
        jax.random.key(0), 420, steps=3, train_size=54000, batch_size=4
    )
    assert rows.tolist() == [
        [742, 900, 26559, 26262],
        [3892, 52502, 27377, 19304],
        [24409, 6606, 7343, 5408],
    ]
    assert split(jax.random.key(0), size=9, validation=3).validation.tolist() == [
        0,
        2,
        8,
    ]


def test_keys_and_epochs_differ():
    two_epochs = partial(
        round_indices, first_step=0, steps=2, train_size=1000, batch_size=1000
    )
    keys = jax.random.split(jax.random.key(0), 40)
    orders = np.asarray(jax.jit(jax.vmap(two_epochs))(keys)).reshape(80, 1000)
    for left, right in itertools.combinations(orders, 2):
        # Random permutations agree in one place on average.
        assert (left == right).sum() < 14


@pytest.mark.parametrize("size", [2, 3, 10, 37])
def test_examples_are_uniform_over_keys_and_pairs_independent(size):
    keys = jax.random.split(jax.random.key(size), 40_000)
    orders = np.asarray(
        jax.jit(
            jax.vmap(partial(batch_indices, step=0, train_size=size, batch_size=size))
        )(keys)
    )
    for place in range(size):
        assert_uniform(np.bincount(orders[:, place], minlength=size))
    if size == 37:  # what follows needs a size that is no tiny grid
        for left, right in ((0, 1), (0, 7), (0, 36), (17, 18)):
            pairs = np.bincount(
                orders[:, left] * size + orders[:, right], minlength=size**2
            )
            assert_uniform(pairs[~np.eye(size, dtype=bool).ravel()])


def test_a_step_sees_neighbours_in_the_file_no_more_often_than_chance():
    rows = np.asarray(
        compiled_round(
            jax.random.key(5), 0, steps=4000, train_size=54000, batch_size=128
        )
    )
    ordered = np.sort(rows, axis=1)
    neighbours = (np.diff(ordered, axis=1) == 1).sum()
    # Each of the 53,999 pairs of neighbours is in a batch with chance b(b-1)/n(n-1).
    expected = 4000 * 128 * 127 / 54000
    assert abs(neighbours - expected) < 6 * math.sqrt(expected)


def test_time_does_not_depend_on_the_size_of_the_data():
    sizes = {"train_size": 2**31 - 1, "batch_size": 8}
    rows = np.asarray(compiled_round(jax.random.key(0), 2**28 - 2, steps=4, **sizes))
    assert rows.min() >= 0 and len(np.unique(rows)) == 32


def test_impossible_sizes_are_errors():
    key = jax.random.key(0)
    for batch_size in (0, 101):
        with pytest.raises(UserError, match="allowed is 1 to 100"):
            batch_indices(key, 0, train_size=100, batch_size=batch_size)
    for validation in (-1, 100):
        with pytest.raises(UserError, match="allowed is 0 to 99"):
            split(key, size=100, validation=validation)
