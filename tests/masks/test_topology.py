import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sparse_search.costs.parameters import effective
from sparse_search.masks import topology


def effective_of(masks):
    return topology.effective([topology.of_mask(mask) for mask in masks])


@pytest.mark.parametrize("seed", range(8))
def test_effective_parameters_are_those_of_the_costs(seed):
    rng = np.random.default_rng(seed)
    sizes = rng.integers(2, 9, 4)
    density = rng.choice([0.1, 0.3, 0.6])
    masks = [
        rng.random(shape) < density for shape in zip(sizes, sizes[1:], strict=False)
    ]
    found = jax.jit(effective_of)(masks)
    expected = effective(masks, biases=True)
    assert int(found.parameters) == expected.parameters
    assert int(found.dead) == sum(sizes[1:-1]) - sum(expected.neurons[1:])


def test_no_chain_has_no_effective_parameters():
    assert effective_of([np.ones((3, 3, 1, 2), bool)]) is None
    assert effective_of([np.ones((3, 2), bool), np.ones((3, 2), bool)]) is None
    assert effective_of([]) is None


def test_a_layer_by_hand():
    mask = jnp.array([[1, 1, 1], [1, 0, 0]], bool)
    first = jnp.array([[1, 1, 0], [0, 0, 0]], bool)
    ever = jnp.array([[1, 1, 1], [1, 1, 0]], bool)
    found = topology.layer(mask, first, ever)
    assert (int(found.nnz), int(found.kept), int(found.explored)) == (4, 2, 5)
    # Inputs of the neurons 2, 1, 1; neurons of the inputs 3, 1.
    assert float(found.fan_in_spread) == pytest.approx(np.std([2, 1, 1]) / (4 / 3))
    assert float(found.fan_out_spread) == pytest.approx(1 / 2)
