import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sparse_search.masks import counting

SHAPES = [(1,), (63,), (64,), (65, 3), (2048,), (2049,), (4, 5, 700), (0,), (3, 0)]
at_least, count = jax.jit(counting.at_least), jax.jit(counting.count)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", ["uint16", "uint32"])
def test_it_counts_what_numpy_counts(shape, dtype):
    rng = np.random.default_rng(0)
    values = rng.integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)
    for threshold in (1, 2**15, np.iinfo(dtype).max):
        expected = int((values >= threshold).sum())
        assert int(at_least(values, np.array(threshold, dtype))) == expected
    mask = values % 3 == 0
    assert int(count(mask)) == int(mask.sum())


def test_lanes():
    masks = np.random.default_rng(0).random((3, 50, 60)) < [[[0.1]], [[0.5]], [[1.0]]]
    assert jax.vmap(counting.count)(masks).tolist() == masks.sum(axis=(1, 2)).tolist()


@pytest.mark.parametrize("rows", [2**16 - 1, 2**16])
def test_counters_do_not_overflow(rows):
    ones = jnp.ones((rows, 2, 32), bool)
    assert int(counting._looped(ones, lambda block: block)) == 64 * rows
