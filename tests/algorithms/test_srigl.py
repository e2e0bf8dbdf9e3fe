import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sparse_search.algorithms.srigl import srigl

KEY = jax.random.key(0)
# Three neurons with two inputs each.
WEIGHTS = jnp.array([[0.9, 0.5, 0.01], [0.8, 0.6, 0.02], [0, 0, 0], [0, 0, 0]])
GRADS = jnp.array([[0.0, 0, 0], [0, 0, 0], [5.0, 4.0, 0.1], [6.0, 1.0, 0.2]])


def rewire(fraction, saliency, count=6):
    algorithm = srigl(fraction, schedule="constant", saliency=saliency)
    _, state = algorithm.init(KEY, {"kernel": WEIGHTS}, {"kernel": count})
    state = state._replace(masks={"kernel": WEIGHTS != 0})
    params, state, info = jax.jit(algorithm.rewire)(
        KEY, {"kernel": WEIGHTS}, {"kernel": GRADS}, state
    )
    return np.asarray(params["kernel"]), np.asarray(state.masks["kernel"]), state


def test_without_ablation_every_neuron_grows_what_it_lost():
    # Two of six are dropped: 0.01 and 0.02. The third neuron grows 0.2 and 0.1.
    params, mask, state = rewire(1 / 3, saliency=0.0)
    assert mask.tolist() == [[1, 1, 0], [1, 1, 0], [0, 0, 1], [0, 0, 1]]
    assert (params[mask.astype(bool) & (np.asarray(WEIGHTS) == 0)] == 0).all()
    assert int(state.remainder["kernel"]) == 0


def test_a_neuron_that_is_not_salient_is_ablated():
    # Salient are 0.9, 0.8, 0.6, 0.5 and the gradients 6 and 5: none of the third
    # neuron. The others get its weights: three inputs each, grown by gradient.
    params, mask, state = rewire(1 / 3, saliency=0.6)
    assert mask.tolist() == [[1, 1, 0], [1, 1, 0], [0, 1, 0], [1, 0, 0]]
    assert int(state.remainder["kernel"]) == 0


def test_what_does_not_divide_is_the_remainder():
    params, mask, state = rewire(1 / 3, saliency=0.6, count=7)
    assert mask.sum(axis=0).tolist() == [3, 3, 0]
    assert int(state.remainder["kernel"]) == 1


def test_no_neuron_is_ablated_where_the_others_could_not_hold_the_count():
    _, mask, _ = rewire(1 / 3, saliency=0.6, count=9)
    assert mask.sum(axis=0).tolist() == [3, 3, 3]


@pytest.mark.parametrize("count, active, fan_in", [(2, 2, 1), (3, 3, 1), (7, 3, 2)])
def test_the_beginning(count, active, fan_in):
    algorithm = srigl()
    _, state = algorithm.init(KEY, {"kernel": WEIGHTS}, {"kernel": count})
    inputs = np.asarray(state.masks["kernel"]).sum(axis=0)
    assert sorted(inputs.tolist()) == [0] * (3 - active) + [fan_in] * active
    assert int(state.remainder["kernel"]) == count - active * fan_in
