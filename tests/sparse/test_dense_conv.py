"""The dense convolution's own gradient is that of XLA."""

import functools
import re

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sparse_search.sparse import conv_gradients, native
from sparse_search.sparse.layers import Conv

CASES = [
    ((3, 3), 1, "SAME", 1, (6, 9, 8)),
    ((3, 3), 2, "SAME", 1, (4, 8, 7)),
    ((5, 3), (2, 1), "VALID", 1, (5, 9, 6)),
    ((1, 1), 2, "SAME", 1, (2, 5, 4)),
    ((3, 2), 1, ((2, 0), (0, 3)), (1, 2), (3, 6, 6)),
    ((7, 7), 2, ((3, 3), (3, 3)), 1, (70, 14, 14)),
    # Images that are cut, and such as are padded by more than the window reaches.
    ((3, 3), 1, ((1, 1), (-1, 1)), 1, (3, 8, 8)),
    ((3, 3), 1, ((-1, -1), (-1, -1)), 1, (3, 8, 8)),
    ((3, 3), 2, ((-1, 0), (0, 0)), 1, (3, 9, 8)),
    ((3, 3), 1, ((1, -1), (2, -2)), 1, (3, 8, 8)),
    ((3, 2), 1, ((4, 0), (0, 5)), 1, (2, 6, 6)),
]


@pytest.mark.parametrize("neurons", [4, 60])  # by the native kernel, and without it
@pytest.mark.parametrize("size, strides, padding, dilation, shape", CASES)
def test_gradients_are_those_of_xla(size, strides, padding, dilation, shape, neurons):
    options = dict(strides=strides, padding=padding, kernel_dilation=dilation)
    x = jax.random.normal(jax.random.key(0), (*shape, 3))
    ours, flaxs = Conv(neurons, size, **options), nn.Conv(neurons, size, **options)
    params = ours.init(jax.random.key(1), x)

    def loss(layer, params, x):
        return jnp.sum(jnp.sin(layer.apply(params, x)))

    grads = functools.partial(jax.grad, argnums=(0, 1))
    found = jax.jit(grads(functools.partial(loss, ours)))(params, x)
    right = jax.jit(grads(functools.partial(loss, flaxs)))(params, x)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, 1e-4, 1e-4), found, right
    )
    lanes = jax.vmap(grads(functools.partial(loss, ours)))(
        jax.tree.map(lambda p: jnp.stack([p, 2 * p]), params), jnp.stack([x, x + 1])
    )
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a[0], b, 1e-4, 1e-4), lanes, found
    )


@pytest.mark.parametrize("neurons, native_kernel", [(53, True), (54, False)])
def test_few_channels_to_few_neurons_take_the_native_kernel(neurons, native_kernel):
    if not native.usable():
        pytest.skip("the kernel was not built here")
    layer, x = Conv(neurons, (3, 3)), jnp.ones((2, 6, 6, 3))
    params = layer.init(jax.random.key(0), x)

    def names(function, *given):
        steps = str(jax.make_jaxpr(function)(*given))
        return {"Forward", "Backward"} & set(re.findall(r"SearchWindow(\w+)", steps))

    def outputs(params):
        return jax.vjp(lambda p: layer.apply(p, x), params)[0]

    gradient = jax.grad(lambda params: layer.apply(params, x).sum())
    assert names(outputs, params) == ({"Forward"} if native_kernel else set())
    assert ("Backward" in names(gradient, params)) == native_kernel
    # What is not differentiated is XLA's, so that its multiply-adds can be counted.
    assert not names(layer.apply, params, x)


def test_a_first_layer_has_no_gradient_of_its_images():
    layer, x = Conv(4, (3, 3)), jnp.ones((2, 6, 6, 3))
    params = layer.init(jax.random.key(0), x)
    if not native.usable():
        pytest.skip("the kernel was not built here")

    def needed(argnums):
        gradient = jax.grad(lambda p, x: layer.apply(p, x).sum(), argnums)
        steps = str(jax.make_jaxpr(gradient)(params, x))
        return set(re.findall(r"'need_dx', np\.(\w+)_\)", steps))

    assert needed(0) == {"False"}
    assert needed((0, 1)) == {"True"}


def test_in_bfloat16_sums_are_in_float32():
    x = jax.random.normal(jax.random.key(0), (64, 8, 8, 3), jnp.bfloat16)
    dy = jax.random.normal(jax.random.key(1), (64, 8, 8, 4), jnp.bfloat16)
    given = (3, 3), (1, 1), (1, 1), ((1, 1), (1, 1))
    found = conv_gradients.of_kernel(x, dy, *given)
    right = conv_gradients.of_kernel(*(a.astype(jnp.float32) for a in (x, dy)), *given)
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, right, 1e-5, 1e-4)


@pytest.mark.parametrize(
    "images, outputs, few", [(128, 1024, 4), (7, 2000, 1), (12, 500, 6), (3, 9999, 1)]
)
def test_images_are_taken_in_equal_parts(images, outputs, few):
    assert conv_gradients._few(images, outputs) == few


@pytest.mark.parametrize("neurons", [3, 90])
def test_a_kernel_s_second_derivatives_exist(neurons):
    """As GraSP takes them: forwards along the gradient."""
    x = jax.random.normal(jax.random.key(0), (4, 6, 6, 2))
    layer = Conv(neurons, (3, 3))
    params = layer.init(jax.random.key(1), x)

    def loss(params):
        return jnp.sum(layer.apply(params, x) ** 2)

    _, along = jax.jvp(jax.grad(loss), (params,), (params,))
    jax.tree.map(
        # The gradient of a quadratic is linear.
        lambda a, b: np.testing.assert_allclose(a, b, 1e-4, 1e-4),
        along,
        jax.grad(loss)(params),
    )
