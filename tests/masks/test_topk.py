import functools
import os
import subprocess
import sys

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparse_search.masks import bijection, counting, topk

# A program each, so there are few of them; the large one fills many blocks of counters,
# the last of them in part.
SHAPES = [(13,), (5, 9), (2, 1, 3, 4)]
LARGE = (700, 190)
assert LARGE[0] * LARGE[1] % counting._BLOCK and counting._BLOCK > 45

select = jax.jit(topk.select)
select_random = jax.jit(topk.select_random)
lanes = jax.jit(jax.vmap(topk.select))
random_lanes = jax.jit(jax.vmap(topk.select_random))


@jax.jit
def key_of(seed):
    return jax.random.key(seed)


@functools.partial(jax.jit, static_argnums=1)
def ranks(key, shape):
    return bijection.ranks(key, shape)


def rank_order(seed, shape):
    """The rank of every position as one number."""
    high, low = ranks(key_of(seed), shape)
    return (np.asarray(high, np.uint64) << np.uint64(32)) | np.asarray(low, np.uint64)


def reference(seed, scores, k, where):
    """The k best candidates in NumPy's order: by score, then by rank; NaN last."""
    values = np.asarray(scores, np.float64)
    nan = np.isnan(values)
    order = np.lexsort(
        (
            rank_order(seed, values.shape).ravel(),
            -np.where(nan, 0, values).ravel(),
            nan.ravel(),
            ~where.ravel(),
        )
    )
    chosen = np.zeros(values.size, bool)
    chosen[order[: min(k, where.sum())]] = True
    return chosen.reshape(values.shape)


SPECIAL = [0.0, -0.0, 1.0, -1.0, np.nan, -np.nan, np.inf, -np.inf, 1e-45, -1e-45, 3e38]


@st.composite
def cases(draw):
    shape = draw(st.sampled_from(SHAPES))
    size = int(np.prod(shape))
    # Few values give many ties; arbitrary ones all bit patterns.
    value = draw(
        st.sampled_from(
            [st.sampled_from(SPECIAL), st.floats(width=32), st.just(0.5)],
        )
    )
    scores = draw(st.lists(value, min_size=size, max_size=size))
    where = draw(st.lists(st.booleans(), min_size=size, max_size=size))
    if draw(st.booleans()):
        where = [True] * size
    k = draw(st.integers(0, size + 2))
    dtype = draw(st.sampled_from(["float32", "bfloat16"]))
    with np.errstate(over="ignore"):
        scores = np.array(scores, np.float32).reshape(shape).astype(dtype)
    return draw(st.integers(0, 2**31 - 1)), scores, k, np.array(where).reshape(shape)


@settings(max_examples=120, deadline=None)
@given(cases())
def test_selection_is_numpys_order(case):
    seed, scores, k, where = case
    found = np.asarray(select(key_of(seed), scores, k, where))
    assert found.dtype == bool and found.sum() == min(k, where.sum())
    assert (found == reference(seed, scores, k, where)).all()


@settings(max_examples=60, deadline=None)
@given(cases())
def test_random_selection_takes_the_smallest_ranks(case):
    seed, scores, k, where = case
    found = np.asarray(select_random(key_of(seed), k, where))
    equal = np.zeros(scores.shape, np.float32)
    assert (found == reference(seed, equal, k, where)).all()
    assert (found == np.asarray(select(key_of(seed), equal, k, where))).all()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_every_count_up_to_the_size_and_beyond(dtype):
    scores = np.random.default_rng(0).integers(-3, 3, (5, 9)).astype(dtype)
    where = np.random.default_rng(1).random((5, 9)) < 0.7
    for k in range(48):
        found = np.asarray(select(key_of(3), scores, k, where))
        assert (found == reference(3, scores, k, where)).all()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("kind", ["distinct", "ties", "equal", "special"])
def test_large_arrays(kind, dtype):
    rng = np.random.default_rng(0)
    scores = (
        {
            "distinct": rng.permutation(np.prod(LARGE)).reshape(LARGE),
            "ties": rng.integers(0, 3, LARGE),
            "equal": np.zeros(LARGE),
            "special": rng.choice(SPECIAL, LARGE),
        }[kind]
        .astype(np.float32)
        .astype(dtype)
    )
    where = rng.random(LARGE) < 0.9
    for k in (0, 1, 66_000, int(where.sum()), 133_000):
        found = np.asarray(select(key_of(1), scores, k, where))
        assert (found == reference(1, scores, k, where)).all()


def test_nan_is_last_and_zeros_are_equal():
    everywhere = np.ones(13, bool)
    scores = np.full(13, np.nan, np.float32)
    scores[[2, 5]] = -np.inf, 1
    assert np.flatnonzero(select(key_of(0), scores, 1, everywhere)).tolist() == [5]
    assert np.flatnonzero(select(key_of(0), scores, 2, everywhere)).tolist() == [2, 5]
    assert np.asarray(select(key_of(0), scores, 4, everywhere)).sum() == 4
    # Were −0 lower than 0, position 1 could never be among the first seven.
    signs = np.array([0.0, -0.0] * 6 + [-1.0], np.float32)
    picked = [select(key_of(seed), signs, 6, everywhere) for seed in range(40)]
    assert 0 < np.mean([p[1] for p in picked]) < 1
    assert not np.any([p[12] for p in picked])


def test_float16_has_the_same_order():
    scores = np.random.default_rng(0).normal(size=(5, 9)).astype(np.float16)
    where = np.ones((5, 9), bool)
    found = np.asarray(select(key_of(0), scores, 17, where))
    assert (found == reference(0, scores, 17, where)).all()


def test_float64_differs_where_float32_does_not():
    with jax.enable_x64(True):
        scores = 1 + np.random.default_rng(0).permutation(45).reshape(5, 9) * 1e-15
        assert len(np.unique(scores.astype(np.float32))) == 1
        for k in (0, 7, 45):
            key = jax.random.key(0)
            found = np.asarray(topk.select(key, scores, k, np.ones((5, 9), bool)))
            assert (
                np.flatnonzero(found) == np.sort(np.argsort(-scores.ravel())[:k])
            ).all()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_eager_jitted_and_vmapped_are_the_same(dtype):
    rng = np.random.default_rng(0)
    scores = rng.integers(-3, 3, (4, 5, 9)).astype(dtype)
    where = rng.random((4, 5, 9)) < 0.8
    counts = np.array([0, 7, 20, 50])
    keys = jax.vmap(jax.random.key)(np.arange(4))
    together = np.asarray(lanes(keys, scores, counts, where))
    at_random = np.asarray(random_lanes(keys, counts, where))
    for i in range(4):
        arguments = keys[i], scores[i], counts[i], where[i]
        single = np.asarray(select(*arguments))
        assert (together[i] == single).all()
        random = select_random(keys[i], counts[i], where[i])
        assert (at_random[i] == np.asarray(random)).all()
        if i == 2 and dtype == "float32":  # slow: every operation is compiled apart
            assert (single == np.asarray(topk.select(*arguments))).all()


def test_it_can_be_stepped_through():
    where = np.ones(4, bool)
    expected = np.asarray(select_random(key_of(0), 2, where))
    with jax.disable_jit():
        found = topk.select_random(key_of(0), 2, where)
    assert (np.asarray(found) == expected).all()


def test_only_some_arguments_mapped():
    scores = np.random.default_rng(0).integers(0, 3, (5, 9)).astype(np.float32)
    where = np.ones((5, 9), bool)
    counts = np.arange(0, 45, 9)
    over_counts = jax.jit(jax.vmap(topk.select, in_axes=(None, None, 0, None)))
    for k, mask in zip(
        counts, over_counts(key_of(0), scores, counts, where), strict=True
    ):
        assert (np.asarray(mask) == reference(0, scores, int(k), where)).all()


SHARDED = """
import jax, numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec as P
from sparse_search.masks import topk

assert jax.device_count() == 8
mesh = jax.make_mesh((4, 2), ("rows", "columns"), axis_types=(AxisType.Auto,) * 2)
rng = np.random.default_rng(0)
scores = rng.integers(0, 3, (48, 16)).astype(np.float32)
where = rng.random((48, 16)) < 0.9
select, select_random = jax.jit(topk.select), jax.jit(topk.select_random)
key = jax.random.key(0)
for spec in (P("rows", "columns"), P(None, ("rows", "columns"))):
    place = lambda x: jax.device_put(x, NamedSharding(mesh, spec))
    for k in (0, 1, 300, 768):
        one = np.asarray(select(key, scores, k, where))
        many = select(key, place(scores), k, place(where))
        assert one.sum() == min(k, where.sum())
        assert (one == np.asarray(many)).all(), (spec, k)
        one = np.asarray(select_random(key, k, where))
        assert (one == np.asarray(select_random(key, k, place(where)))).all()
    program = select.lower(key, place(scores), 3, place(where)).compile().as_text()
    assert "all-gather" not in program, spec
"""


def test_sharded_over_eight_devices_without_a_gather():
    environment = {**os.environ, "JAX_NUM_CPU_DEVICES": "8", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, "-c", SHARDED], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
