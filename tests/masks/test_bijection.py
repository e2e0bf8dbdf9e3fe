import functools
import itertools
import math

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2

from sparse_search.masks import bijection, topk

rank = jax.jit(bijection.rank, static_argnums=3)
position = jax.jit(bijection.position, static_argnums=3)
ranks = jax.jit(bijection.ranks, static_argnums=1)

ODD = [(1, 1), (1,), (1, 37), (37, 1), (33, 17), (2, 3, 5, 7)]


@pytest.mark.parametrize("shape", ODD)
def test_ranks_are_unique_and_lead_back(shape):
    domain = bijection.domain(shape)
    high, low = ranks(jax.random.key(3), shape)
    assert high.shape == low.shape == shape
    assert max(int(np.max(high)), int(np.max(low))) < 1 << domain.half
    together = (np.asarray(high, np.uint64) << np.uint64(32)) | np.asarray(
        low, np.uint64
    )
    assert len(np.unique(together)) == math.prod(shape)
    row, column = position(jax.random.key(3), high, low, domain)
    rows = np.arange(math.prod(shape[:-1])).reshape(*shape[:-1], 1)
    assert (np.asarray(row) == rows).all()
    assert (np.asarray(column) == np.arange(shape[-1])).all()


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (3, 5), (33, 17)])
def test_every_rank_of_the_domain_leads_to_a_position_and_back(shape):
    # The compressed form walks ranks from 0 on and must meet all positions, once.
    domain = bijection.domain(shape)
    high, low = np.divmod(
        np.arange(1 << 2 * domain.half, dtype=np.uint32), 1 << domain.half
    )
    high, low = high.astype(np.uint32), low.astype(np.uint32)
    row, column = map(np.asarray, position(jax.random.key(1), high, low, domain))
    inside = (row < shape[0]) & (column < shape[1])
    assert len({*zip(row[inside], column[inside], strict=True)}) == math.prod(shape)
    again = rank(jax.random.key(1), row, column, domain)
    assert (np.asarray(again[0]) == high).all() and (np.asarray(again[1]) == low).all()


# (rows, columns) with more than 2**32 positions, and words of up to 32 bits.
HUGE = [(2**17, 2**17), (2**32, 3), (5, 2**32), (2**31 + 1, 2**31), (2**32, 2**32)]


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(HUGE), st.integers(0, 2**31 - 1), st.integers(0, 2**32 - 1))
def test_more_positions_than_32_bits(shape, seed, sample):
    domain = bijection.domain(shape)
    rng = np.random.default_rng(sample)
    row, column = (rng.integers(0, n, 256).astype(np.uint32) for n in shape)
    row[:2], column[:2] = (0, shape[0] - 1), (0, shape[1] - 1)
    key = jax.random.key(seed)
    found = rank(key, row, column, domain)
    assert max(int(np.max(word)) for word in found) < 1 << domain.half
    back = position(key, *found, domain)
    assert (np.asarray(back[0]) == row).all() and (np.asarray(back[1]) == column).all()
    pairs = {*zip(*(np.asarray(x).tolist() for x in found), strict=True)}
    assert len(pairs) == len({*zip(row.tolist(), column.tolist(), strict=True)})


def test_ranks_of_a_part_are_those_of_the_whole():
    high, low = ranks(jax.random.key(5), (33, 17))
    row, column = np.arange(20, 33, dtype=np.uint32)[:, None], np.uint32(4)
    part = rank(jax.random.key(5), row, column, bijection.domain((33, 17)))
    assert (np.asarray(part[0])[:, 0] == np.asarray(high)[20:, 4]).all()
    assert (np.asarray(part[1])[:, 0] == np.asarray(low)[20:, 4]).all()


@functools.partial(jax.jit, static_argnums=(1, 2, 3))
def random_masks(key, draws, k, shape):
    keys = jax.random.split(key, draws)
    return jax.vmap(lambda key: topk.select_random(key, k, np.ones(shape, bool)))(keys)


def assert_uniform(observed):
    """Chi-square of counts that should be equal, at one in a million."""
    expected = observed.sum() / observed.size
    statistic = ((observed - expected) ** 2 / expected).sum()
    assert chi2.sf(statistic, observed.size - 1) > 1e-6


@pytest.mark.parametrize("shape, k", [((2, 3), 2), ((1, 7), 3), ((4, 4), 2)])
def test_every_subset_is_equally_likely(shape, k):
    masks = np.asarray(random_masks(jax.random.key(0), 20_000, k, shape))
    words = masks.reshape(len(masks), -1) @ (1 << np.arange(math.prod(shape)))
    subsets = [
        sum(1 << i for i in s)
        for s in itertools.combinations(range(math.prod(shape)), k)
    ]
    observed = np.array([np.sum(words == subset) for subset in subsets])
    assert observed.sum() == 20_000
    assert_uniform(observed)


def test_nearby_seeds_give_unrelated_masks():
    masks = np.stack(
        [np.asarray(ranks(jax.random.key(s), (16, 16))[0]) < 4 for s in range(64)]
    ).reshape(64, -1)
    # Each keeps a quarter of 256, so two share 16; 64 neighbours average close to it.
    assert (masks.sum(1) == 64).all()
    shared = (masks[1:] & masks[:-1]).sum(1)
    assert abs(shared.mean() - 16) < 3
    rows = masks.reshape(64, 16, 16)
    assert_uniform(rows.sum((0, 2)))
    assert_uniform(rows.sum((0, 1)))
