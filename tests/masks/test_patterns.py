"""Every pattern: exact counts, allowed masks, what stays, and what is refused."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparse_search.errors import UserError
from sparse_search.masks import patterns
from sparse_search.masks.patterns import blocks, by_name, reach

KEY = jax.random.key(0)


def allowed(name, mask):
    """Whether a mask has the pattern, written down once more."""
    matrix = mask.reshape(-1, mask.shape[-1])
    if name == "fan_in":
        return len(set(matrix.sum(axis=0))) == 1
    if name == "channel":
        return set(matrix.mean(axis=0)) <= {0.0, 1.0}
    if name.startswith("block"):
        height, width = map(int, name[5:].split("x"))
        return all(
            matrix[i : i + height, j : j + width].mean() in (0, 1)
            for i in range(0, len(matrix), height)
            for j in range(0, matrix.shape[1], width)
        )
    if ":" in name:
        n, m = name.removesuffix("@out").split(":")
        axis = -1 if name.endswith("@out") else -2
        moved = np.moveaxis(mask, axis, -1)
        numbers = moved.reshape(-1, int(m)).sum(axis=1)
        wanted = {int(n)} if n != "n" else {numbers[0]}
        return set(numbers) == wanted
    return True


CASES = [
    ("unstructured", (7, 6), 13),
    ("2:4", (8, 6), 24),
    ("1:4", (3, 8, 5), 30),
    ("3:5@out", (4, 5), 12),
    ("n:4", (8, 6), 25),
    ("n:3@out", (5, 6), 21),
    ("fan_in", (7, 6), 20),
    ("fan_in", (3, 2, 4, 5), 33),
    ("channel", (7, 6), 30),
    ("block2x2", (7, 5), 13),
    ("block3x2", (10, 7), 35),
    ("block4x4", (3, 3, 2, 5), 40),
]
SOME = CASES[::2]


@functools.cache
def compiled(name):
    """A pattern whose programs all tests share: most of the time is compilation."""
    pattern = by_name(name)
    return pattern._replace(
        select=jax.jit(pattern.select), exchange=jax.jit(pattern.exchange)
    )


def scores(shape, seed):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape) ** 2, jnp.float32)


@pytest.mark.parametrize("name, shape, asked", CASES)
def test_a_rewire_keeps_the_pattern_and_the_count_and_really_rewires(
    name, shape, asked
):
    pattern = compiled(name)
    count = pattern.reach(shape, asked)
    assert asked * 0.7 < count <= asked
    mask = pattern.select(KEY, None, count, jnp.ones(shape, bool))
    kept = round(0.6 * count)
    changed = 0
    for seed in range(6):
        keep = scores(shape, seed)
        grow = None if seed % 2 else scores(shape, 100 + seed)
        key = jax.random.key(seed)
        new = pattern.exchange(key, mask, keep, kept, grow, count)
        assert new.sum() == count and allowed(name, np.asarray(new))
        both = np.asarray(mask & new)
        if not name.startswith(("block", "channel")):
            # The best of the mask stay, whatever grows.
            best = np.sort(np.asarray(keep)[np.asarray(mask)])[-kept:]
            assert set(best) <= set(np.asarray(keep)[both])
        assert np.array_equal(new, pattern.exchange(key, mask, keep, kept, grow, count))
        changed += int(count - both.sum())
        mask = new
    assert changed > 0


@pytest.mark.parametrize("name, shape, asked", SOME)
def test_nothing_is_exchanged_when_all_is_kept(name, shape, asked):
    pattern = compiled(name)
    count = pattern.reach(shape, asked)
    mask = pattern.select(KEY, None, count, jnp.ones(shape, bool))
    same = pattern.exchange(KEY, mask, scores(shape, 0), count, None, count)
    assert mask.sum() == count and (same == mask).all()


@pytest.mark.parametrize("name, shape, asked", SOME)
def test_lanes_with_traced_counts_are_single_runs(name, shape, asked):
    pattern = compiled(name)
    counts = np.array([pattern.reach(shape, asked), np.prod(shape)])
    if name[0].isdigit():
        counts[1] = counts[0]
    keys = jax.random.split(KEY, 2)
    keep, grow = scores(shape, 1), scores(shape, 2)

    def run(key, count):
        mask = pattern.select(key, None, count, jnp.ones(shape, bool))
        return pattern.exchange(key, mask, keep, count // 2, grow, count)

    lanes = jax.jit(jax.vmap(run))(keys, counts)
    for key, count, lane in zip(keys, counts, lanes, strict=True):
        assert np.array_equal(lane, run(key, int(count))) and lane.sum() == count


@pytest.mark.parametrize("name, shape, asked", CASES)
def test_selection_within_a_mask_prunes(name, shape, asked):
    pattern = compiled(name)
    if name[0].isdigit():  # N:M has one count only: prune all entries to it
        first = jnp.ones(shape, bool)
    else:
        many = pattern.reach(shape, int(np.prod(shape) * 0.9))
        first = pattern.select(KEY, None, many, jnp.ones(shape, bool))
    few = pattern.reach(shape, asked)
    found = pattern.select(KEY, scores(shape, 3), few, first)
    assert not (found & ~first).any() and allowed(name, np.asarray(found))
    if not name.startswith("block"):  # edges may have too few blocks left
        assert found.sum() == few


def test_two_of_four_by_hand():
    keep = jnp.array([[5.0], [1], [0], [0], [4], [3], [0], [0]])
    mask = jnp.array([[1], [1], [0], [0], [1], [1], [0], [0]], bool)
    grow = jnp.array([[0.0], [7], [8], [9], [9], [9], [1], [2]])
    # The worst two of the layer are 1 and 3. Each group grows one outside of what it
    # kept: 9 in the first, and 9 in the second, which is the 3 that was dropped.
    found = by_name("2:4").exchange(KEY, mask, keep, 2, grow, 4)
    assert np.flatnonzero(found).tolist() == [0, 3, 4, 5]


def test_constant_fan_in_by_hand():
    keep = jnp.array([[9.0, 8], [7, 1], [0, 0]])
    mask = jnp.array([[1, 1], [1, 1], [0, 0]], bool)
    grow = jnp.array([[0.0, 0], [0, 1], [5, 6]])
    # Only the second neuron loses, its 1; it grows the 6 in its last row.
    found = by_name("fan_in").exchange(KEY, mask, keep, 3, grow, 4)
    assert np.asarray(found).tolist() == [[True, True], [True, False], [False, True]]


def test_blocks_swap_within_their_size_class():
    # 3 × 3 in blocks of 2 × 2: an interior, a right, a lower edge, and a corner.
    classes = blocks._classes((3, 3), 2, 2)
    assert [c.size for c in classes] == [4, 2, 2, 1]
    pattern = by_name("block2x2")
    mask = jnp.array([[1, 1, 0], [1, 1, 0], [0, 0, 0]], bool)
    best_at_the_edges = jnp.array([[0.0, 0, 9], [0, 0, 9], [9, 9, 9]])
    found = pattern.exchange(KEY, mask, jnp.ones((3, 3)), 0, best_at_the_edges, 4)
    assert (found == mask).all()
    # 5 × 5: what one interior block loses another one gains, as the edges do.
    pattern, shape = by_name("block2x2"), (5, 5)
    count = pattern.reach(shape, 12)
    classes = blocks._classes(shape, 2, 2)
    mask = pattern.select(KEY, None, count, jnp.ones(shape, bool))
    for seed in range(5):
        new = pattern.exchange(
            jax.random.key(seed), mask, None, 0, scores(shape, seed), count
        )
        for c in classes:
            before, after = (blocks._all(m, c).sum() for m in (mask, new))
            assert before == after


def test_ties_in_groups_are_random_and_no_row_is_preferred():
    pattern = by_name("fan_in")
    equal = jnp.zeros((40, 30))
    draw = jax.jit(lambda key: pattern.select(key, equal, 300, equal == 0))
    masks = [np.asarray(draw(jax.random.key(seed))) for seed in range(5)]
    assert len({mask.tobytes() for mask in masks}) == 5
    for mask in masks:
        assert (mask.sum(axis=0) == 10).all()
        assert 1 <= mask.sum(axis=1).min() and mask.sum(axis=1).max() < 20


def test_what_is_not_a_number_comes_last_in_its_group():
    values = jnp.array([[jnp.nan], [1.0], [-jnp.inf], [jnp.nan]])
    found = by_name("2:4").select(KEY, values, 2, jnp.ones((4, 1), bool))
    assert np.flatnonzero(found).tolist() == [1, 2]


shapes = st.tuples(st.integers(1, 30), st.integers(1, 30))


@settings(deadline=None, max_examples=200)
@given(shapes, st.integers(1, 8), st.integers(1, 8), st.floats(0.01, 1))
def test_blocks_reach_what_they_say(shape, height, width, part):
    pattern = patterns.block(height, width)
    asked = max(int(part * shape[0] * shape[1]), 1)
    largest = min(height, shape[0]) * min(width, shape[1])
    try:
        count = pattern.reach(shape, asked)
    except UserError:
        assert asked < 4 * largest
        return
    assert asked - 4 * largest < count <= asked
    assert pattern.reach(shape, count) == count
    classes = blocks._classes(shape, height, width)
    host = blocks._divide(count, classes, np)
    traced = blocks._divide(jnp.int32(count), classes, jnp)
    assert host == [int(n) for n in traced]
    fewer = blocks._divide(max(count - largest, 0), classes, np)
    assert all(a <= b for a, b in zip(fewer, host, strict=True))
    assert all(0 <= n <= c.number for n, c in zip(host, classes, strict=True))
    assert sum(c.number * c.size for c in classes) == shape[0] * shape[1]


def test_large_blocks_are_counted_in_32_bits():
    classes = blocks._classes((9_999, 10_001), 4, 4)
    for count in (10**5, 123_457, 10**7, 99_999_999):
        host = blocks._divide(count, classes, np)
        traced = blocks._divide(jnp.int32(count), classes, jnp)
        assert host == [int(n) for n in traced]


@pytest.mark.parametrize(
    "name, shape, count, words",
    [
        ("2:4", (6, 3), 9, "axis that 4 divides; this one has 6"),
        ("2:4", (8, 3), 5, "at least 12 of its 24 weights"),
        ("fan_in", (8, 3), 2, "a weight for each of 3 neurons"),
        ("channel", (8, 3), 7, "at least 8 weights in a layer .* more than 7"),
        ("block4x4", (8, 4), 7, "at least 16 weights in a layer .* more than 7"),
    ],
)
def test_what_cannot_be_had_is_refused(name, shape, count, words):
    with pytest.raises(UserError, match=words):
        by_name(name).reach(shape, count)


@pytest.mark.parametrize("name", ["5:4", "0:4", "block0x4"])
def test_impossible_patterns_are_refused(name):
    with pytest.raises(UserError):
        by_name(name)


def test_an_unknown_pattern_names_the_nearest():
    with pytest.raises(UserError, match="Did you mean 'fan_in'"):
        by_name("fanin")


def test_what_layers_lose_goes_to_others():
    shapes = {"a": (10, 7), "b": (10, 3)}
    found = reach(by_name("fan_in"), shapes, {"a": 41, "b": 17})
    # 35 and 15 leave 8: one more a neuron of the first layer.
    assert found == {"a": 42, "b": 15}


def test_a_budget_more_than_two_percent_off_is_refused():
    with pytest.raises(UserError, match=r"nearest number below is 42, more than 2%"):
        reach(by_name("fan_in"), {"a": (10, 7)}, {"a": 44})
    with pytest.raises(UserError, match="b: constant fan-in needs"):
        reach(by_name("fan_in"), {"a": (10, 7), "b": (9, 9)}, {"a": 42, "b": 8})


def test_a_layer_that_n_m_cannot_divide_stays_dense():
    shapes = {"first": (3, 3, 3, 4), "second": (3, 3, 4, 4)}
    pattern = by_name("2:4")
    counts = reach(pattern, shapes, {"first": 108, "second": 73})
    assert counts == {"first": 108, "second": 72}
    everything = jnp.ones(shapes["first"], bool)
    scores = jnp.arange(108.0).reshape(everything.shape)
    mask = pattern.select(KEY, scores, 108, everything)
    after = pattern.exchange(KEY, mask, scores, 80, scores, 108)
    assert mask.all() and after.all()
    with pytest.raises(UserError, match="uniform_dense_first"):
        reach(pattern, shapes, {"first": 107, "second": 72})
