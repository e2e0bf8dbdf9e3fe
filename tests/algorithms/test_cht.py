import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sparse_search.algorithms.base import MaskState
from sparse_search.algorithms.cht import cht, chts, scores


def by_paths(mask, c):
    """The scores, node by node, as the file's formula says."""
    rows, columns = mask.shape
    found = np.zeros(mask.shape)
    for u in range(rows):
        for v in range(columns):
            for z in range(rows):
                common = (mask[u] & mask[z]).sum()
                if common and mask[z, v]:
                    external = max(mask[z].sum() - common, 1)
                    found[u, v] += (1 + c * common) / external
            for z in range(columns):
                common = (mask[:, v] & mask[:, z]).sum()
                if common and mask[u, z]:
                    external = max(mask[:, z].sum() - common, 1)
                    found[u, v] += (1 + c * common) / external
    return found


@pytest.mark.parametrize("c", [0.0, 1.0])
def test_scores_are_sums_over_nodes(c):
    mask = np.random.default_rng(0).random((7, 5)) < 0.4
    np.testing.assert_allclose(
        scores(jnp.asarray(mask), c), by_paths(mask, c), rtol=1e-5
    )


def test_a_rewire_drops_the_smallest_and_grows_the_likeliest():
    rng = np.random.default_rng(1)
    mask = rng.random((8, 6)) < 0.4
    weights = np.where(mask, rng.normal(size=mask.shape), 0).astype(np.float32)
    algorithm = cht(0.3)
    state = MaskState({"k": jnp.asarray(mask)}, jnp.int32(0))
    _, new, _ = jax.jit(algorithm.rewire)(
        jax.random.key(0), {"k": jnp.asarray(weights)}, {"k": weights}, state
    )
    number = mask.sum()
    kept = number - round(0.3 * number)
    least = np.sort(np.abs(weights[mask]))[::-1][kept - 1]
    rest = mask & (np.abs(weights) >= least)
    after = np.asarray(new.masks["k"])
    assert after.sum() == number and (after & rest).sum() == kept
    likely = np.where(rest, -1, by_paths(rest, 0.0))
    grown = after & ~rest
    assert likely[grown].min() >= np.sort(likely[~rest & ~grown])[-1] - 1e-5
    assert not algorithm.draws and algorithm.dense_gradient == "never"


def test_the_soft_rule_draws_links_by_their_scores():
    rng = np.random.default_rng(2)
    mask = rng.random((30, 20)) < 0.2
    weights = np.where(mask, rng.normal(size=mask.shape), 0).astype(np.float32)
    state = MaskState({"k": jnp.asarray(mask)}, jnp.int32(0))
    rewire = jax.jit(chts(0.3, until=100).rewire)
    kept, grown = np.zeros(mask.shape), np.zeros(mask.shape)
    for seed in range(40):
        _, new, _ = rewire(
            jax.random.key(seed), {"k": jnp.asarray(weights)}, {"k": weights}, state
        )
        after = np.asarray(new.masks["k"])
        assert after.sum() == mask.sum()
        kept += after & mask
        grown += after & ~mask
    # Larger weights stay more often, and likelier links grow more often.
    sizes = np.abs(weights[mask])
    assert np.corrcoef(sizes, kept[mask])[0, 1] > 0.3
    assert np.corrcoef(by_paths(mask, 1.0)[~mask], grown[~mask])[0, 1] > 0.2
