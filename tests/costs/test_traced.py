"""Layers from arithmetic and from jaxprs are the same."""

import jax
import jax.numpy as jnp
import pytest

from sparse_search import build
from sparse_search.config import Model
from sparse_search.costs.families import FAMILIES
from sparse_search.costs.layers import Layer
from sparse_search.costs.traced import trace
from sparse_search.train.network import make_network

# Odd sizes: strides and windows do not divide them.
CASES = {
    "mlp": (16, 2, (8, 9)),
    "lenet_300_100": (12, 2, (8, 8)),
    "lenet5": (4, 4, (21, 17)),
    "vgg": (2, 11, (75, 65, 3)),
    "resnet": (4, 50, (71, 66, 3)),
    "cifar_resnet": (4, 8, (17, 16)),
    "wrn": (8, 10, (15, 16, 3)),
    "mobilenet_v1": (4, 8, (75, 75, 3)),
    "vit": (64, 1, (16, 24, 3)),
    "gpt": (64, 1, (12,)),
    "gru": (8, 2, (9,)),
    "lstm": (8, 1, (9,)),
}


def test_all_families_are_there():
    assert FAMILIES.keys() == CASES.keys() <= build.MODELS.keys()


@pytest.mark.parametrize("name", CASES)
def test_arithmetic_and_jaxpr_agree(name):
    width, depth, shape = CASES[name]
    kind = jnp.int32 if len(shape) == 1 else jnp.float32
    one = jax.ShapeDtypeStruct((1, *shape), kind)
    functions = make_network(build.model(Model(name), width, depth, 5))
    params, statistics = jax.eval_shape(functions.init, jax.random.key(0), one)
    made = FAMILIES[name](width, depth, 5, shape)
    assert trace(functions.predict, params, statistics, one) == made
    total = sum(leaf.size for leaf in jax.tree.leaves(params))
    assert sum(layer.size for layer in made.layers) + made.others == total


def test_small_images_begin_as_those_of_cifar():
    made = FAMILIES["resnet"](8, 18, 5, (32, 32, 3))
    assert made.layers[0].shape == (3, 3, 3, 8) and made.layers[0].uses == 32**2
    assert len(made.layers) == 21 and not made.is_chain


def test_a_model_of_ones_own():
    kernels = {
        "a": {"kernel": (6, 4)},
        "b": {"kernel": (4, 4)},
        "c": {"kernel": (2, 4, 3), "scale": (3,)},
    }
    shapes = jax.tree.map(
        lambda s: jnp.zeros(s), {"params": kernels}, is_leaf=lambda x: type(x) is tuple
    )

    @jax.jit
    def inner(kernel, x):
        return jax.nn.relu(x @ kernel.T.T.astype(jnp.float32))

    def forward(params, constants, x):
        own = params["params"]
        x = inner(own["a"]["kernel"] * constants, x)  # a mask keeps its parameter
        x, _ = jax.lax.scan(
            lambda h, _: (jax.checkpoint(inner)(own["b"]["kernel"], h), None),
            x,
            length=5,
        )
        # Stacked layers, a slice each, of which a condition takes the second or both.
        first, second = (jnp.tensordot(x, k, 1) for k in own["c"]["kernel"])
        x = jax.lax.cond(x[0, 0] > 0, lambda: first, lambda: second)
        return (x * own["c"]["scale"]) @ x.T

    found = trace(forward, shapes, jnp.ones((6, 4)), jnp.zeros((1, 6)))
    assert found.layers == (
        Layer("params/a/kernel", (6, 4), 1, 24, True, 6, 4),
        Layer("params/b/kernel", (4, 4), 5, 16, True, 20, 20),
        Layer("params/c/kernel", (2, 4, 3), 1, 24, True, 8, 6),
    )
    assert (found.others, found.products) == (3, 3)
    # b sees itself, and products have no weight.
    assert not found.is_chain
