import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from layer_by_hand import GRADS, WEIGHTS, jit_rewire, state_of

from sparse_search.algorithms.rigl import rigl
from sparse_search.train import step
from sparse_search.train.step import TrainState

rewire = jit_rewire(lambda fraction: rigl(fraction, schedule="constant"))

# Half of six are exchanged. The smallest are -0.1, 0.2 and 0.3; the largest gradients
# off the other three are 8, -7 and -6. The 8 belongs to the 0.2 that was dropped, so
# it comes back as it was.
HALF = np.array(
    [[0.9, 0.0, 0.0, 0.0], [0.0, 0.2, 0.0, -0.8], [0.0, 0.0, 0.0, 0.7]], np.float32
)
HALF_MASK = np.array([[1, 0, 0, 0], [1, 1, 0, 1], [0, 0, 1, 1]], bool)


def test_a_rewire_by_hand():
    weights, mask, dropped, grown = rewire(fraction=0.5)
    assert mask.tolist() == HALF_MASK.tolist()
    assert weights.tolist() == HALF.tolist()
    assert (dropped, grown) == (2, 2)


def test_a_rewire_by_hand_in_bfloat16():
    weights, mask, _, _ = rewire(
        WEIGHTS.astype(jnp.bfloat16), GRADS.astype(jnp.bfloat16), fraction=0.5
    )
    assert weights.dtype == jnp.bfloat16
    assert mask.tolist() == HALF_MASK.tolist()
    assert weights.tolist() == HALF.astype(jnp.bfloat16).tolist()


def test_optimizer_state_returns_to_new_only_where_something_changed():
    optimizer = optax.sgd(0.1, momentum=0.9)
    mask = WEIGHTS != 0
    params = {"kernel": jnp.asarray(WEIGHTS)}
    trace = jax.tree.map(lambda p: jnp.asarray(np.where(mask, 5.0, 0.0)), params)
    opt_state = jax.tree.map(lambda _: trace["kernel"], optimizer.init(params))
    state = TrainState(params, opt_state, state_of({"kernel": mask}), jnp.int32(3))
    algorithm = rigl(0.5, schedule="constant")
    rewired = jax.jit(
        lambda state, grads: step.rewire(
            jax.random.key(0), state, grads, algorithm, optimizer
        )
    )
    new, info = rewired(state, {"kernel": jnp.asarray(GRADS)})
    assert np.asarray(new.params["kernel"]).tolist() == HALF.tolist()
    (momentum,) = jax.tree.leaves(new.opt_state)
    assert np.asarray(momentum).tolist() == np.where(mask & HALF_MASK, 5, 0).tolist()
    assert int(new.step) == 4 and int(new.sparse.step) == 1
    assert int(info.grown["kernel"]) == 2


@pytest.mark.parametrize(
    "fraction, exchanged", [(0.0, 0), (0.3, 2), (0.1, 1), (1.0, 6)]
)
def test_the_number_exchanged_is_rounded(fraction, exchanged):
    # With no gradient where something is stored, nothing that is dropped comes back.
    grads = np.where(WEIGHTS == 0, GRADS, 0)
    _, mask, dropped, grown = rewire(grads=grads, fraction=fraction)
    assert (dropped, grown) == (exchanged, exchanged)
    assert mask.sum() == 6


def test_all_can_be_exchanged():
    weights, mask, _, _ = rewire(fraction=1.0)
    # The six largest gradients: 9, 9, 9, 8, -7, -6. Stored ones keep their weight.
    expected = [[1, 0, 0, 0], [1, 1, 0, 1], [0, 0, 1, 1]]
    assert mask.tolist() == np.array(expected, bool).tolist()
    assert weights.tolist() == HALF.tolist()


@pytest.mark.parametrize("grads", [GRADS, np.zeros_like(GRADS)])
def test_a_dense_layer_passes_unchanged(grads):
    dense = WEIGHTS + np.float32(2)
    for fraction in (0.3, 1.0):
        weights, mask, dropped, grown = rewire(dense, grads, fraction=fraction)
        assert weights.tobytes() == dense.tobytes()
        assert mask.all() and (dropped, grown) == (0, 0)


def test_a_layer_of_one_weight():
    one = np.zeros_like(WEIGHTS)
    one[2, 1] = 4
    weights, mask, _, _ = rewire(one, fraction=0.3)
    assert weights.tobytes() == one.tobytes() and mask.sum() == 1
    grads = np.where(one == 0, GRADS, 0) * np.where(GRADS == 8, 2, 1)
    weights, mask, _, _ = rewire(one, grads, fraction=1.0)
    assert np.argwhere(mask).tolist() == [[1, 1]] and not weights.any()


def test_a_matrix_of_one_entry():
    weights, mask, dropped, grown = rewire(
        np.ones((1, 1), np.float32), np.ones((1, 1), np.float32), fraction=1.0
    )
    assert weights.tolist() == [[1.0]] and mask.all() and (dropped, grown) == (0, 0)


def test_infinite_gradients_grow_first_and_nan_last():
    grads = np.full_like(GRADS, np.nan)
    grads[0, 1], grads[2, 2] = -np.inf, 0.25
    _, mask, dropped, grown = rewire(grads=grads, fraction=0.3)
    # Dropped: -0.1 and 0.2; grown: the infinity and the only other number.
    expected = [[1, 1, 0, 0], [0, 0, 0, 1], [1, 0, 1, 1]]
    assert mask.tolist() == np.array(expected, bool).tolist()
    assert (dropped, grown) == (2, 2)
    _, mask, _, _ = rewire(grads=np.full_like(GRADS, np.nan), fraction=0.5)
    assert mask.sum() == 6 and mask[0, 0] and mask[1, 3] and mask[2, 3]


def test_nan_weights_are_dropped_first_and_infinite_ones_kept():
    broken = WEIGHTS.copy()
    broken[0, 0], broken[0, 2] = np.nan, -np.inf
    grads = np.where(WEIGHTS == 0, GRADS, 0)
    weights, mask, _, _ = rewire(broken, grads, fraction=0.3)
    # Dropped: NaN and 0.2; grown: the gradients -7 and -6.
    expected = [[0, 0, 1, 0], [1, 0, 0, 1], [1, 0, 1, 1]]
    assert mask.tolist() == np.array(expected, bool).tolist()
    assert np.isneginf(weights[0, 2]) and not np.isnan(weights).any()


def test_without_gradients_growth_is_random_and_never_whole_rows():
    dense = np.zeros((16, 16), np.float32)
    dense[::4, ::2] = 1  # 32 stored
    drawn = []
    for seed in range(20):
        _, mask, dropped, grown = rewire(
            dense, np.zeros_like(dense), fraction=0.5, seed=seed
        )
        new = mask & (dense == 0)
        # 16 are dropped, 240 may grow; at random they lie in about 10 rows.
        assert dropped == grown == new.sum() and grown > 8
        assert len(set(np.nonzero(new)[0])) >= 6
        assert len(set(np.nonzero(new)[1])) >= 6
        drawn.append(new.tobytes())
    assert len(set(drawn)) == 20


def test_nothing_is_exchanged_after_the_end():
    key, grads = jax.random.key(0), {"kernel": jnp.asarray(GRADS)}
    params = {"kernel": jnp.asarray(WEIGHTS)}

    @jax.jit
    def at(now):
        state = state_of({"kernel": WEIGHTS != 0}, now)
        algorithm = rigl(0.5, until=75)
        params_, state, info = algorithm.rewire(key, params, grads, state)
        return params_["kernel"], state.masks["kernel"], info.grown["kernel"]

    assert [int(at(now)[2]) for now in (0, 74, 75, 1000)] == [2, 0, 0, 0]
    weights, mask, _ = at(75)
    assert np.asarray(weights).tobytes() == WEIGHTS.tobytes()
    assert (np.asarray(mask) == (WEIGHTS != 0)).all()


def test_it_declares_what_it_needs():
    algorithm = rigl()
    assert algorithm.dense_gradient == "rewire" and algorithm.conserves == "layer"
