import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparse_search.errors import UserError
from sparse_search.masks.allocations import RULES, allocate, is_sparse

LENET = {"0/kernel": (784, 300), "1/kernel": (300, 100), "2/kernel": (100, 10)}


@pytest.mark.parametrize(
    "rule, nnz, expected",
    [
        # Sizes 235,200 + 30,000 + 1,000 = 266,200.
        ("uniform", 26_620, (23_520, 3_000, 100)),
        # ER: fan-in + fan-out are 1084 + 400 + 110 = 1594, so 13,310 / 1594 = 8.35 a
        # neuron: 9051.47 + 3340.03 + 918.51; the largest remainder is rounded up.
        ("er", 13_310, (9_051, 3_340, 919)),
        # 26,620 / 1594 = 16.7 a neuron would give the last layer 1837 of its 1000;
        # the other 25,620 are divided as 1084 : 400, i.e. 18,714.34 + 6905.66.
        ("er", 26_620, (18_714, 6_906, 1_000)),
        # The second too is overfilled: 0.5 · 266,200 = 133,100; 132,100 as 1084 : 400
        # is 96,493 + 35,606 of 30,000, so the first gets the rest.
        ("er", 133_100, (102_100, 30_000, 1_000)),
        ("er", 266_200, (235_200, 30_000, 1_000)),
        ("er", 3, (1, 1, 1)),
        # The last layer keeps all; the other two are cut to the same number.
        ("largest_first", 13_311, (6_156, 6_155, 1_000)),
        ("largest_first", 100_000, (69_000, 30_000, 1_000)),
        ("uniform", 3, (1, 1, 1)),
    ],
)
def test_lenet_by_hand(rule, nnz, expected):
    assert tuple(allocate(rule, LENET, nnz).values()) == expected


def test_er_density_is_the_formula_of_the_paper():
    # Mocanu et al. 2018: p = ε (n_in + n_out) / (n_in · n_out), hence nnz = ε (n_in +
    # n_out); with ε = 5 nothing is rounded.
    counts = allocate("er", LENET, 5 * 1594)
    assert tuple(counts.values()) == (5 * 1084, 5 * 400, 5 * 110)


def test_erk_counts_the_window_too():
    # Evci et al. 2020: density ∝ (n_in + n_out + h + w) / (n_in · n_out · h · w).
    shapes = {"conv": (3, 3, 16, 32), "dense": (20, 34)}
    assert allocate("erk", shapes, 2 * (54 + 54)) == {"conv": 108, "dense": 108}
    assert allocate("er", shapes, 3 * (48 + 54)) == {"conv": 144, "dense": 162}


shapes = st.lists(
    st.lists(st.integers(1, 40), min_size=2, max_size=4).map(tuple),
    min_size=1,
    max_size=6,
)


@given(st.sampled_from(sorted(RULES)), shapes, st.floats(0, 1))
def test_counts_sum_to_the_total_and_fit(rule, shapes, part):
    named = {str(number): shape for number, shape in enumerate(shapes)}
    sizes = [math.prod(shape) for shape in shapes]
    nnz = len(sizes) + round(part * (sum(sizes) - len(sizes)))
    counts = allocate(rule, named, nnz)
    assert list(counts) == list(named)
    assert all(type(count) is int for count in counts.values())
    assert sum(counts.values()) == nnz
    assert all(1 <= c <= n for c, n in zip(counts.values(), sizes, strict=True))


@given(st.sampled_from(sorted(RULES)), shapes, st.floats(0, 1))
def test_shares_follow_the_rule_where_layers_have_room(rule, shapes, part):
    named = {str(number): shape for number, shape in enumerate(shapes)}
    sizes = [math.prod(shape) for shape in shapes]
    counts = list(
        allocate(
            rule, named, len(sizes) + round(part * (sum(sizes) - len(sizes)))
        ).values()
    )
    # Between layers that are neither full nor at the least, ratios are the rule's up
    # to the one weight that rounding moves.
    weights = [RULES[rule](shape) for shape in shapes]
    free = [i for i, (c, n) in enumerate(zip(counts, sizes, strict=True)) if 1 < c < n]
    for i in free:
        for j in free:
            low, high = (counts[i] - 1) / weights[i], (counts[i] + 1) / weights[i]
            assert low <= (counts[j] + 1) / weights[j] + 1e-9
            assert high >= (counts[j] - 1) / weights[j] - 1e-9


def test_more_than_32_bits_are_exact():
    shapes = {"a": (2**20, 2**20), "b": (2**21, 2**21)}
    nnz = 2**41 + 1
    assert sum(allocate("uniform", shapes, nnz).values()) == nnz
    assert allocate("uniform", shapes, 5 * 2**30 + 1) == {"a": 2**30, "b": 2**32 + 1}


@pytest.mark.parametrize("nnz", [2, 266_201, 0, -1])
def test_a_total_out_of_range_names_the_range(nnz):
    with pytest.raises(UserError, match=r"between 3 \(one a layer\) and 266,200"):
        allocate("er", LENET, nnz)


def test_an_unknown_rule_names_the_nearest():
    with pytest.raises(
        UserError, match="uniform, er, erk, largest_first, .*Did you mean 'uniform'"
    ):
        allocate("unifrom", LENET, 100)


def test_only_kernels_are_sparse():
    assert is_sparse("params/Dense_0/kernel", (3, 4))
    assert is_sparse("kernel", (3, 3, 1, 4))
    assert not is_sparse("params/Dense_0/bias", (3, 4))
    assert not is_sparse("params/Scale_0/kernel", (3,))
    assert not is_sparse("params/kernel/embedding", (3, 4))
