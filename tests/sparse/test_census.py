"""What is remembered of a topology, against sets of positions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sparse_search.sparse import census, formats, native, rewiring


def positions(topology):
    return set(zip(*formats.host_positions(topology), strict=True))


@pytest.mark.parametrize("shape, count", [((40, 30), 100), ((784, 300), 20_000)])
def test_it_counts_what_was_there(shape, count, monkeypatch):
    key = jax.random.key(0)
    topology = rewiring.random_topology(key, shape, count, count + 9)
    look = jax.jit(census.look)
    origin, seen = census.begin(key, topology)
    first = ever = positions(topology)
    for number in range(5):
        kept, seen = look(origin, seen, topology)
        now = positions(topology)
        ever = ever | now
        assert int(kept) == len(first & now)
        assert abs(float(census.explored(seen)) / len(ever) - 1) < 0.025
        keep = jnp.asarray(np.random.default_rng(number).random(count + 9))
        made = rewiring.exchange(
            jax.random.key(number), topology, keep, int(0.6 * count), count, "random"
        )
        topology = made.topology
    assert len(ever) > 2 * count


def test_the_kernel_and_jax_remember_the_same(monkeypatch):
    if not native.usable():
        pytest.skip("the kernel was not built here")
    key = jax.random.key(3)
    topology = rewiring.random_topology(key, (700, 300), 5000, 5008)
    other = rewiring.random_topology(jax.random.key(4), (700, 300), 5000, 5008)
    origin, seen = census.begin(key, topology)
    expected = (origin, seen, census.look(origin, seen, other))
    monkeypatch.setattr(native, "usable", lambda: False)
    origin, seen = census.begin(key, topology)
    ours = (origin, seen, census.look(origin, seen, other))
    for one, two in zip(jax.tree.leaves(ours), jax.tree.leaves(expected), strict=True):
        np.testing.assert_array_equal(one, two)
