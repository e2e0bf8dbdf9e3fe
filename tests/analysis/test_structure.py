"""Degrees by hand; overlap of networks that are the same but for their neurons."""

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st

from sparse_search.analysis.structure import Layer, layer, match, overlap


def network(seed, sizes=(12, 16, 10, 4), density=0.3):
    rng = np.random.default_rng(seed)
    return [
        rng.random((inputs, outputs)) < density
        for inputs, outputs in zip(sizes[:-1], sizes[1:], strict=True)
    ]


def shuffled(masks, seed):
    """The same network, its hidden neurons in another order."""
    rng = np.random.default_rng(seed)
    masks = [mask.copy() for mask in masks]
    for hidden in range(len(masks) - 1):
        order = rng.permutation(masks[hidden].shape[1])
        masks[hidden] = masks[hidden][:, order]
        masks[hidden + 1] = masks[hidden + 1][order]
    return masks


def same(found, expected):
    return all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))


def test_a_layer_by_hand():
    mask = np.array([[1, 0, 1], [1, 0, 0]], bool)
    for one in (mask, scipy.sparse.csr_array(mask)):
        found = layer(one)
        assert found.nnz == 3 and found.density == 0.5
        assert found.fan_in.tolist() == [2, 0, 1]
        assert found.fan_out.tolist() == [2, 1]
    assert isinstance(layer(np.ones((3, 3, 2, 4), bool)), Layer)
    assert layer(np.ones((3, 3, 2, 4), bool)).fan_in.tolist() == [18] * 4


def test_a_network_and_itself():
    masks = network(0)
    found = overlap(masks, masks)
    assert found.value == found.matched == 1
    assert found.chance == pytest.approx(0.3, abs=0.1)
    assert found.chance < found.matched_chance < 0.9


@pytest.mark.parametrize("seed", range(5))
def test_the_order_of_neurons_is_found(seed):
    masks = network(seed, sizes=(40, 20, 15, 5))
    other = shuffled(masks, seed + 100)
    assert overlap(masks, other).value < 0.6
    assert same(match(masks, other), masks)
    assert overlap(masks, other).matched == 1


def test_unlike_networks_are_as_like_as_chance():
    first, second = network(0, (60, 50, 10)), network(1, (60, 50, 10))
    found = overlap(first, second)
    assert found.value == pytest.approx(found.chance, abs=0.05)
    assert found.matched == pytest.approx(found.matched_chance, abs=0.05)


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_matching_only_permutes_and_never_loses(one, other):
    first, second = network(one, (6, 5, 4, 3)), network(other, (6, 5, 4, 3))
    found = match(first, second)
    assert [m.sum() for m in found] == [m.sum() for m in second]
    for a, b in zip(found[1:], second[1:], strict=True):  # rows are only moved
        assert sorted(a.sum(axis=1)) == sorted(b.sum(axis=1))
    shared = [
        sum((a & b).sum() for a, b in zip(first, other, strict=True))
        for other in (second, found)
    ]
    assert shared[1] >= shared[0]


def test_what_is_no_chain_is_not_matched():
    masks = [np.ones((3, 3, 2, 8), bool), np.ones((8, 4), bool)]
    found = overlap(masks, masks)
    assert found.value == 1 and np.isnan(found.matched)
    empty = [np.zeros((3, 2), bool)]
    assert overlap(empty, empty).value == 0
