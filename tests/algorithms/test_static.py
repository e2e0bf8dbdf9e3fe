import jax
import jax.numpy as jnp
import numpy as np
import optax
from layer_by_hand import GRADS, WEIGHTS, state_of
from scipy.stats import chi2

from sparse_search.algorithms.base import nnz, no_rewire
from sparse_search.algorithms.static import static
from sparse_search.masks.patterns import UNSTRUCTURED
from sparse_search.train import step
from sparse_search.train.step import TrainState

PARAMS = {
    "first": {"kernel": jnp.asarray(WEIGHTS + 2), "bias": jnp.ones(4)},
    "second": {"kernel": jnp.asarray(WEIGHTS - 2)},
}


def counts(first, second):
    return {"first": {"kernel": first, "bias": None}, "second": {"kernel": second}}


init = jax.jit(static().init)


def test_masks_have_the_counts_and_dense_leaves_none():
    for first, second in ((0, 12), (5, 7), (12, 1)):
        params, state = init(jax.random.key(0), PARAMS, counts(first, second))
        assert jax.tree.map(int, nnz(state.masks)) == counts(first, second)
        assert state.masks["first"]["bias"] is None and int(state.step) == 0
        mask = np.asarray(state.masks["first"]["kernel"])
        kernel = np.asarray(params["first"]["kernel"])
        assert ((kernel != 0) == mask).all()
        assert (np.asarray(params["first"]["bias"]) == 1).all()


def test_initial_weights_are_scaled_to_the_fan_in_that_is_left():
    mask = np.array([[1, 0, 0, 1], [1, 0, 1, 1], [1, 0, 0, 0]], bool)
    given = UNSTRUCTURED._replace(select=lambda key, scores, count, where: mask)
    params, _ = static(given).init(
        jax.random.key(0), {"kernel": jnp.full((3, 4), 2.0)}, {"kernel": 6}
    )
    # Of three inputs the neurons keep 3, 0, 1 and 2.
    one, two = 2 * 3**0.5, 2 * 1.5**0.5
    expected = [[2, 0, 0, two], [2, 0, one, two], [2, 0, 0, 0]]
    np.testing.assert_allclose(params["kernel"], expected, rtol=1e-6)


def test_layers_draw_apart_and_do_not_disturb_each_other():
    _, both = init(jax.random.key(1), PARAMS, counts(6, 6))
    first, second = both.masks["first"]["kernel"], both.masks["second"]["kernel"]
    assert (np.asarray(first) != np.asarray(second)).any()
    alone = {"second": PARAMS["second"]}
    _, one = init(jax.random.key(1), alone, {"second": {"kernel": 6}})
    assert (np.asarray(one.masks["second"]["kernel"]) == np.asarray(second)).all()


def test_all_entries_are_equally_likely():
    keys = jax.random.split(jax.random.key(0), 2000)
    one = static().init
    masks = jax.jit(
        jax.vmap(lambda key: one(key, {"kernel": WEIGHTS}, {"kernel": 3})[1].masks)
    )(keys)
    observed = np.asarray(masks["kernel"]).sum(0)
    statistic = ((observed - 500) ** 2 / 500).sum()
    assert chi2.sf(statistic, 11) > 1e-6


def test_a_step_by_hand():
    mask = {"kernel": WEIGHTS != 0}
    params = {"kernel": jnp.asarray(WEIGHTS)}
    optimizer = optax.sgd(0.5)
    state = TrainState(params, optimizer.init(params), state_of(mask), jnp.int32(0))
    new = step.apply_gradients(state, {"kernel": GRADS}, static(), optimizer)
    expected = [[-3.6, 0, -2.6, 0], [0, -3.8, 0, -5.3], [-0.7, 0, 0, -3.8]]
    np.testing.assert_allclose(new.params["kernel"], expected, rtol=1e-6)
    assert (np.asarray(new.params["kernel"])[WEIGHTS == 0] == 0).all()
    assert int(new.step) == int(new.sparse.step) == 1


def test_gradients_that_are_not_numbers_do_not_leave_the_mask():
    mask = {"kernel": WEIGHTS != 0}
    grads = {"kernel": np.where(WEIGHTS == 0, np.nan, GRADS).astype(np.float32)}
    masked, _ = static().filter_grads(grads, {"kernel": WEIGHTS}, state_of(mask))
    expected = np.where(WEIGHTS == 0, 0, GRADS)
    assert np.asarray(masked["kernel"]).tolist() == expected.tolist()


def test_it_never_rewires():
    assert static().rewire is no_rewire
    state = state_of({"kernel": WEIGHTS != 0}, 7)
    params, same, info = no_rewire(jax.random.key(0), WEIGHTS, GRADS, state)
    assert params is WEIGHTS and same is state
    assert int(info.dropped["kernel"]) == int(info.grown["kernel"]) == 0


def test_the_fan_in_of_a_convolution_is_over_its_whole_window():
    mask = np.zeros((2, 2, 1, 2), bool)
    mask[0, 0, 0, 0] = True  # of four places the first channel keeps 1
    mask[..., 1] = True
    given = UNSTRUCTURED._replace(select=lambda key, scores, count, where: mask)
    params, _ = static(given).init(
        jax.random.key(0), {"kernel": jnp.full((2, 2, 1, 2), 3.0)}, {"kernel": 5}
    )
    expected = np.where(mask, [6.0, 3.0], 0)
    np.testing.assert_allclose(params["kernel"], expected, rtol=1e-6)
