import jax
import jax.numpy as jnp
import numpy as np

from sparse_search.algorithms.gap import gap

PARAMS = {
    "a": jnp.asarray(np.random.default_rng(0).normal(size=(4, 3)), jnp.float32),
    "b": jnp.asarray(np.random.default_rng(1).normal(size=(3, 5)), jnp.float32),
}
COUNTS = {"a": 4, "b": 5}


def test_partitions_are_dense_in_turn_and_pruned_by_magnitude():
    algorithm = gap(until=6, every=1, partitions=2, cycles=1)
    params, state = algorithm.init(jax.random.key(0), PARAMS, COUNTS)
    assert state.masks["a"].all() and int(state.masks["b"].sum()) == 5
    seen = []
    for step in range(6):
        before = params
        params, state, info = algorithm.rewire(
            jax.random.key(step), params, params, state
        )
        seen.append([int(state.masks[k].sum()) for k in "ab"])
        if step == 2:  # the second has its turn
            largest = np.sort(np.abs(before["a"]).ravel())[-4:]
            kept = np.abs(np.asarray(params["a"])[np.asarray(state.masks["a"])])
            assert sorted(kept) == largest.tolist()
            assert np.count_nonzero(params["b"]) == 5  # what grew is zero
            assert (int(info.dropped["a"]), int(info.grown["b"])) == (8, 10)
    assert seen == [[12, 5], [12, 5], [4, 15], [4, 15], [4, 15], [4, 5]]


def test_there_are_no_more_partitions_than_layers():
    algorithm = gap(until=8, every=1, partitions=9, cycles=2)
    params, state = algorithm.init(jax.random.key(0), PARAMS, COUNTS)
    turns = []
    for step in range(8):
        params, state, _ = algorithm.rewire(jax.random.key(step), params, params, state)
        turns.append(bool(state.masks["a"].all()))
    assert turns == [True, False, False, True, True, False, False, False]
