"""What children inherit: cut, filled up, and of the right layers."""

import numpy as np
import pytest

from sparse_search import build
from sparse_search.results import Result
from sparse_search.train.inheritance import can_inherit, inherited


def network(sizes, counts, seed):
    """An MLP with random masks of some counts; weights at least 0.5 in magnitude."""
    rng = np.random.default_rng(seed)
    params, masks = {}, {}
    shapes = zip(sizes[:-1], sizes[1:], strict=True)
    for i, (shape, count) in enumerate(zip(shapes, counts, strict=True)):
        mask = np.zeros(shape, bool)
        mask.ravel()[rng.permutation(mask.size)[:count]] = True
        signs = rng.choice((-1, 1), shape)
        kernel = (signs * rng.uniform(0.5, 1.0, shape) * mask).astype(np.float32)
        params[f"params/Dense_{i}/kernel"] = kernel
        params[f"params/Dense_{i}/bias"] = rng.normal(size=shape[1]).astype(np.float32)
        masks[f"params/Dense_{i}/kernel"] = mask
    return Result(params, masks)


def kernel(i):
    return f"params/Dense_{i}/kernel"


def bias(i):
    return f"params/Dense_{i}/bias"


def check(child, own):
    """The counts, shapes and types are the child's own; nothing lies off its masks."""
    assert child.params.keys() == own.params.keys()
    for name, value in child.params.items():
        assert value.shape == own.params[name].shape
        assert value.dtype == own.params[name].dtype
    assert child.masks.keys() == own.masks.keys()
    for name, mask in child.masks.items():
        assert mask.sum() == own.masks[name].sum()
        assert (child.params[name][~mask] == 0).all()
        assert (child.params[name][mask] != 0).all()


def test_the_same_shapes_and_counts_give_the_parent():
    parent, own = (
        network((6, 5, 4, 3), (10, 9, 8), 0),
        network((6, 5, 4, 3), (10, 9, 8), 1),
    )
    child = inherited(own, parent, seed=0)
    for found, was in zip(child, parent, strict=True):
        assert all((found[name] == was[name]).all() for name in was)


def test_a_wider_child_keeps_all_and_fills_up_with_its_own():
    parent, own = network((6, 4, 3), (12, 9), 0), network((6, 8, 3), (15, 10), 1)
    child = inherited(own, parent, seed=0)
    check(child, own)
    first, second = child.params[kernel(0)], child.params[kernel(1)]
    before = parent.masks[kernel(0)]
    assert (first[:, :4][before] == parent.params[kernel(0)][before]).all()
    before = parent.masks[kernel(1)]
    assert (second[:4][before] == parent.params[kernel(1)][before]).all()
    new = child.masks[kernel(0)].copy()
    new[:, :4] &= ~parent.masks[kernel(0)]
    assert new.sum() == 3
    assert own.masks[kernel(0)][new].all()
    assert (first[new] == own.params[kernel(0)][new]).all()
    assert (child.params[bias(0)][:4] == parent.params[bias(0)]).all()
    assert (child.params[bias(0)][4:] == own.params[bias(0)][4:]).all()
    assert (child.params[bias(1)] == parent.params[bias(1)]).all()


def test_with_fewer_weights_it_keeps_the_largest():
    parent, own = network((6, 4, 3), (20, 9), 0), network((6, 4, 3), (7, 9), 1)
    child = inherited(own, parent, seed=0)
    check(child, own)
    sizes = np.sort(np.abs(parent.params[kernel(0)]).ravel())
    kept = child.params[kernel(0)][child.masks[kernel(0)]]
    assert (np.sort(np.abs(kept)) == sizes[-7:]).all()
    assert (parent.params[kernel(0)][child.masks[kernel(0)]] == kept).all()


def test_of_weights_that_are_equal_the_first_are_kept():
    parent, own = network((4, 3), (10,), 0), network((4, 3), (4,), 1)
    same = parent.masks[kernel(0)].astype(np.float32)
    parent = Result({kernel(0): same, bias(0): np.zeros(3, np.float32)}, parent.masks)
    child = inherited(own, parent, seed=0)
    places = np.flatnonzero(child.masks[kernel(0)])
    assert (places == np.flatnonzero(parent.masks[kernel(0)])[:4]).all()


def test_a_narrower_child_takes_the_part_that_it_has():
    parent, own = network((6, 8, 3), (24, 10), 0), network((6, 4, 3), (12, 6), 1)
    child = inherited(own, parent, seed=0)
    check(child, own)
    common = parent.masks[kernel(0)][:, :4]
    kept = child.masks[kernel(0)] & common
    assert kept.sum() == min(12, common.sum())
    assert (
        child.params[kernel(0)][kept] == parent.params[kernel(0)][:, :4][kept]
    ).all()


@pytest.mark.parametrize(
    ("deep", "pairs"),
    [
        (4, {0: 0, 1: 1, 3: 2}),  # one of its own before the last
        (2, {0: 0, 1: 2}),
    ],
)
def test_first_layers_take_after_the_first_and_the_last_after_the_last(deep, pairs):
    parent = network((5, 5, 5, 5), (10, 11, 12), 0)
    own = network((5,) * (deep + 1), (10, 11, 12, 13)[:deep], 1)
    child = inherited(own, parent, seed=0)
    check(child, own)
    for i in range(deep):
        expected = parent.params[bias(pairs[i])] if i in pairs else own.params[bias(i)]
        assert (child.params[bias(i)] == expected).all()
        if i not in pairs:
            assert (child.masks[kernel(i)] == own.masks[kernel(i)]).all()
            assert (child.params[kernel(i)] == own.params[kernel(i)]).all()


def test_the_same_seed_fills_up_in_the_same_way():
    parent, own = network((9, 9), (10,), 0), network((9, 9), (40,), 1)
    masks = [inherited(own, parent, seed).masks[kernel(0)] for seed in (0, 0, 1)]
    assert (masks[0] == masks[1]).all()
    assert (masks[0] != masks[2]).any()


def test_nothing_that_is_given_changes():
    parent, own = network((6, 4, 3), (20, 9), 0), network((6, 8, 3), (7, 9), 1)
    copies = [
        {k: v.copy() for k, v in of.items()} for one in (parent, own) for of in one
    ]
    inherited(own, parent, seed=0)
    for before, after in zip(copies, [*parent, *own], strict=True):
        assert all((before[name] == after[name]).all() for name in before)


def test_those_inherit_that_can_begin_with_any_mask():
    makers = build.ALGORITHMS
    assert all(can_inherit(makers[name]()) for name in ("static", "set", "rigl"))
    assert not any(can_inherit(makers[name]()) for name in ("snip", "gradual", "dense"))
