"""Rewires of compressed layers make the masks that dense selections make."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sparse_search.masks import topk
from sparse_search.sparse import formats, native, rewiring

if not native.usable():
    pytest.skip("the kernel was not built here", allow_module_level=True)


def without_kernel(f):
    """The same function on the other path."""

    @functools.wraps(f)
    def run(*args, **options):
        before, native.usable = native.usable, lambda: False
        try:
            return f(*args, **options)
        finally:
            native.usable = before

    return run


CASES = [((5, 3), 7, 15), ((784, 300), 2000, 2100), ((1000, 7), 0, 16)]
CASES += [((513, 300), 40000, 45000), ((37, 64), 64 * 37, 64 * 37)]


def assert_equal(one, other):
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("shape, count, capacity", CASES)
def test_a_random_topology_is_a_random_mask(shape, count, capacity):
    key = jax.random.key(3)
    made = rewiring.random_topology(key, shape, count, capacity)
    mask = topk.select_random(key, count, jnp.ones(shape, bool))
    assert_equal(made, formats.from_mask(np.asarray(mask), capacity))
    other = without_kernel(jax.jit(rewiring.random_topology, static_argnums=(1, 3)))
    assert_equal(made, other(key, shape, count, capacity))


@functools.cache
def programs(growth):
    """An exchange in the kernel, and on a dense array."""

    def run(key, topology, keep, kept, count, factors, candidates):
        given = None if growth == "random" else factors
        return rewiring.exchange(
            key, topology, keep, kept, count, growth, given, candidates
        )

    return jax.jit(run), without_kernel(jax.jit(lambda *args: run(*args)))


@pytest.mark.parametrize("growth", ["random", "gradient", "sampled_gradient"])
@pytest.mark.parametrize("shape, count, capacity", CASES)
def test_an_exchange_is_that_of_the_dense_layer(shape, count, capacity, growth):
    rng = np.random.default_rng(0)
    with jax.enable_x64(True):
        key = jax.random.key(3)
        topology = rewiring.random_topology(key, shape, count, capacity)
        for trial in range(6):
            keep = np.abs(rng.standard_normal(capacity))
            x = rng.standard_normal((shape[0], 16))
            g = rng.standard_normal((shape[1], 16))
            if trial % 2:  # ties among what is kept
                keep = np.round(2 * keep) / 2
            if trial >= 2:  # ties among what is grown, most without a gradient
                x[rng.random(shape[0]) < 0.9] = 0
                x, g = np.round(x), np.round(g)
            if trial == 5:
                g[1:] = 0
            keep = jnp.where(topology.stored, jnp.asarray(keep), 0)
            factors = rewiring.Factors(jnp.asarray(x), jnp.asarray(g))
            drawn = 3 * count if trial < 4 else 5
            args = (key, topology, keep, int(0.7 * count), count, factors, drawn)
            ours, dense = (run(*args) for run in programs(growth))
            assert_equal(ours, dense)
            check_rewired(topology, ours, count)


@pytest.mark.parametrize("regular", [0.0, 9.0])
def test_a_sample_of_scores_that_is_unlike_them_decides_nothing(regular):
    # The threshold of many scores is looked for around that of every eighth.
    shape, count, capacity = CASES[3]
    rng = np.random.default_rng(1)
    with jax.enable_x64(True):
        topology = rewiring.random_topology(jax.random.key(3), shape, count, capacity)
        keep = np.where(topology.stored, 1 + rng.random(capacity), 0)
        keep[:count:8] = regular
        factors = rewiring.Factors(jnp.ones((513, 1)), jnp.ones((300, 1)))
        for kept in (1, 2000, 20_000, count - 1):
            args = (jax.random.key(4), topology, jnp.asarray(keep), kept, count)
            ours, dense = (run(*args, factors, 0) for run in programs("random"))
            assert_equal(ours, dense)


def check_rewired(old, new, count):
    """What `source` and the numbers say is so."""
    assert int(new.topology.nnz) == count
    before = list(zip(*formats.host_positions(old), strict=True))
    after = list(zip(*formats.host_positions(new.topology), strict=True))
    source = np.asarray(new.source)
    for place, at in enumerate(after):
        known = source[place] >= 0
        assert not known or before[source[place]] == at
        assert known == (at in set(before)) if count < 100 else True
    assert (source[count:] == -1).all()
    gone, added = set(before) - set(after), set(after) - set(before)
    assert (int(new.dropped), int(new.grown)) == (len(gone), len(added))


def test_more_and_fewer_weights_than_before():
    key = jax.random.key(0)
    topology = rewiring.random_topology(key, (40, 30), 200, 400)
    keep = jnp.arange(400.0)
    more = rewiring.exchange(key, topology, keep, 200, 390, "random")
    assert (int(more.topology.nnz), int(more.grown)) == (390, 190)
    fewer = rewiring.exchange(key, topology, keep, 50, 50, "random")
    assert (int(fewer.topology.nnz), int(fewer.dropped)) == (50, 150)
    kept = np.asarray(fewer.source[:50])
    np.testing.assert_array_equal(kept, np.arange(150, 200))


def test_a_matrix_of_more_than_two_to_the_32_entries():
    shape, count = (200_000, 100_000), 3000
    key = jax.random.key(1)
    topology = rewiring.random_topology(key, shape, count, 3072)
    rows, columns = formats.host_positions(topology)
    assert len(set(zip(rows, columns, strict=True))) == count
    assert rows.max() > 150_000 and columns.max() > 75_000
    again = formats.from_positions(rows, columns, shape, 3072)[0]
    assert_equal(topology, again)
    new = rewiring.exchange(key, topology, jnp.arange(3072.0), 2000, count, "random")
    assert int(new.topology.nnz) == count and int(new.grown) == 1000


@pytest.mark.parametrize("shape, kept, capacity", CASES)
def test_a_mask_is_stored_as_outside_of_a_program(shape, kept, capacity):
    mask = np.zeros(shape, bool)
    places = np.random.default_rng(0).choice(mask.size, kept, replace=False)
    mask.ravel()[places] = True
    expected = formats.from_mask(mask, capacity)
    made = jax.jit(rewiring.compress)(jnp.asarray(mask), expected)
    assert_equal(made, expected)
    if kept:
        small = formats.empty(shape, kept - 1)
        assert rewiring.compress(jnp.asarray(mask), small).nnz == 0


def test_where_weights_were():
    before = np.array([[1, 0, 1], [0, 1, 1]], bool)
    after = np.array([[1, 1, 0], [0, 1, 1]], bool)
    old, new = (formats.from_mask(mask, 6) for mask in (before, after))
    # By inputs, then neurons: (0, 0), (0, 2), (1, 1), (1, 2); then (0, 1) is new.
    assert rewiring.sources(old, new).tolist() == [0, -1, 2, 3, -1, -1]
