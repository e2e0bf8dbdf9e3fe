import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st

from sparse_search.errors import UserError
from sparse_search.sparse import formats

SHAPES = st.tuples(st.integers(1, 700), st.integers(1, 700))


@settings(max_examples=12, deadline=None)
@given(SHAPES, st.sampled_from([0.0, 0.001, 0.03, 0.3, 1.0]), st.integers(0, 99))
def test_masks_and_csr_come_back_as_they_were(shape, density, seed):
    rng = np.random.default_rng(seed)
    mask = rng.random(shape) < density
    topology = formats.from_mask(mask, int(mask.sum()) + 3)
    assert int(topology.nnz) == mask.sum()
    np.testing.assert_array_equal(formats.to_mask(topology), mask)
    np.testing.assert_array_equal(formats.fan_in(topology), mask.sum(axis=0))
    np.testing.assert_array_equal(formats.fan_out(topology), mask.sum(axis=1))
    matrix = scipy.sparse.csr_array(np.where(mask, rng.standard_normal(shape), 0))
    same, values = formats.from_csr(matrix, int(mask.sum()) + 3)
    back = formats.to_csr(same, values)
    assert (back != matrix).nnz == 0 and back.nnz == matrix.nnz
    for one, other in zip(
        jax.tree.leaves(topology), jax.tree.leaves(same), strict=True
    ):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(
        formats.to_dense(same, jnp.asarray(values)), matrix.toarray().astype(np.float32)
    )


def test_weights_are_in_the_order_of_tiles_inputs_neurons():
    mask = np.zeros((600, 300), bool)
    where = [(0, 299), (1, 0), (1, 1), (599, 0), (0, 0)]
    mask[tuple(np.array(where).T)] = True
    topology, order = formats.from_positions(
        *np.array(where).T, mask.shape, capacity=round(0.05 * mask.size)
    )
    assert topology.tile == (256, 256)
    # The first tile holds (0, 0), (1, 0), (1, 1), the second (0, 299).
    assert [where[i] for i in order] == [(0, 0), (1, 0), (1, 1), (0, 299), (599, 0)]
    rows, columns = formats.host_positions(topology)
    np.testing.assert_array_equal(rows, [0, 1, 1, 0, 599])
    np.testing.assert_array_equal(columns, [0, 0, 1, 299, 0])
    rows, columns = formats.positions(topology)
    assert (rows[5:] == 600).all() and (columns[5:] == 300).all()


def test_the_order_is_that_of_the_positions_given():
    rng = np.random.default_rng(0)
    flat = rng.permutation(50 * 40)[:300]
    rows, columns = np.divmod(flat, 40)
    topology, order = formats.from_positions(rows, columns, (50, 40))
    found = formats.host_positions(topology)
    np.testing.assert_array_equal(found, (rows[order], columns[order]))


@pytest.mark.parametrize(
    "rows, columns, capacity, message",
    [
        ([0, 7], [0, 0], None, "no input 7 in a layer of 7 inputs"),
        ([0, 1], [0, 5], None, "no neuron 5 in"),
        ([-1], [0], None, "no input -1"),
        ([1, 2, 1], [2, 2, 2], None, r"\(1, 2\) is there twice"),
        ([1, 2], [2, 2], 1, "2 weights do not fit into room for 1"),
        ([1], [1], 2**31, "holds at most 2,147,483,647"),
    ],
)
def test_positions_that_cannot_be_are_refused(rows, columns, capacity, message):
    with pytest.raises(UserError, match=message):
        formats.from_positions(np.array(rows), np.array(columns), (7, 5), capacity)


def test_there_is_room_for_all_weights_in_few_sizes():
    sizes = {formats.room(nnz, 10**6) for nnz in range(1, 100_000)}
    assert len(sizes) < 60
    for nnz in (1, 2047, 2048, 2049, 99_999, 10**6):
        room = formats.room(nnz, 10**6)
        assert nnz <= room <= max(1.125 * nnz, 2048)
    assert formats.room(990, 1000) == 1000


def test_an_index_takes_as_many_bytes_as_promised():
    small = formats.like((3072, 4000), 1_228_800)
    assert small.tile.narrow
    indices = (small.outs, small.ins, small.perm)
    assert sum(x.dtype.itemsize for x in indices) == 4
    large = formats.like((65536, 65536), 429_497)
    assert large.tile == (65536, 65536)
    assert [x.dtype for x in (large.outs, large.ins)] == [np.uint16, np.uint16]
