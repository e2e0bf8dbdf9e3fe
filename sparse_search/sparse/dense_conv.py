"""A dense convolution whose gradients are fast on a CPU (`conv_gradients`).

Of few channels to few neurons products are thin, and the native kernel, to which a
dense layer is one with all its weights, is several times as fast.
"""

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from sparse_search.sparse import formats, native, windows
from sparse_search.sparse.conv_gradients import of_images, of_kernel, sides
from sparse_search.sparse.products import Layer
from sparse_search.types import Array, Float

_THIN = 160  # channels × neurons up to which the native kernel was faster


def convolve(
    x: Float[Array, "images rows columns channels"],
    kernel: Float[Array, "height width channels neurons"],
    strides: tuple[int, ...],
    padding: Any,
    **options: Any,
) -> Float[Array, "images rows columns neurons"]:
    """`jax.lax.conv_general_dilated`, as flax's layers call it.

    Args:
        x: images.
        kernel: weights.
        strides: of the window.
        padding: "SAME", "VALID" or two numbers for every axis.
        **options: as `jax.lax.conv_general_dilated` has them.
    """
    usual = functools.partial(
        jax.lax.conv_general_dilated,
        window_strides=strides,
        padding=padding,
        **options,
    )
    plain = (
        kernel.ndim == 4
        and options["feature_group_count"] == 1
        and set(options["lhs_dilation"]) == {1}
        # On several devices a batch is in parts, which would be put together.
        and jax.default_backend() == "cpu"
        and jax.device_count() == 1
    )
    if not plain:
        return usual(x, kernel)
    size, dilation = kernel.shape[:2], options["rhs_dilation"]
    pads = sides(padding, x.shape[1:3], size, strides, dilation)
    others = {name: options[name] for name in ("dimension_numbers", "precision")}

    def of_both(x: Array, kernel: Array, dy: Array) -> tuple[Array, Array]:
        dx = of_images(kernel, dy, x.shape[1:3], strides, dilation, pads, **others)
        return dx, of_kernel(x, dy, size, strides, dilation, pads).astype(kernel.dtype)

    def of_weights(x: Array, kernel: Array, dy: Array) -> tuple[None, Array]:
        return None, of_both(x, kernel, dy)[1]

    forward: Any = usual
    backward: Any = (of_weights, of_both)
    if _is_thin(x, kernel, pads):
        given: Any = (size, tuple(strides), pads, tuple(dilation))
        stored = functools.partial(_stored, windows.Window(*given))

        def alone(x: Array, kernel: Array, dy: Array) -> tuple[None, Array]:
            return None, *jax.vjp(functools.partial(stored, x), kernel)[1](dy)

        def both(x: Array, kernel: Array, dy: Array) -> tuple[Array, Array]:
            return jax.vjp(stored, x, kernel)[1](dy)

        forward = _derived_as(usual, stored)
        backward = _derived_as(of_weights, alone), _derived_as(of_both, both)

    def remember(x: Any, kernel: Any) -> Any:
        needed = () if x.perturbed else None  # as the structure of what is saved
        return forward(x.value, kernel.value), (x.value, kernel.value, needed)

    def transpose(saved: Any, dy: Array) -> Any:
        *at, needed = saved
        return backward[needed is not None](*at, dy)

    # Where nothing is differentiated it is XLA's: its multiply-adds can be counted.
    product = jax.custom_vjp(usual)
    product.defvjp(remember, transpose, symbolic_zeros=True)
    return product(x, kernel)


def _is_thin(x: Array, kernel: Array, pads: Any) -> bool:
    """Whether the native kernel is faster, and takes it."""
    *size, channels, neurons = kernel.shape
    return (
        channels * neurons <= _THIN
        and math.prod(size) > 1  # else it is one product
        and min(map(min, pads)) >= 0
        and x.dtype == kernel.dtype
        and kernel.dtype in (jnp.float32, jnp.float64)
        and native.usable()
    )


def _stored(window: windows.Window, x: Array, kernel: Array) -> Array:
    """The convolution, by the kernel of compressed layers."""
    topology = formats.full(kernel.shape)
    bias = jnp.zeros(kernel.shape[-1], kernel.dtype)
    return windows.convolution(Layer(topology, kernel.reshape(-1), bias), x, window)


def _derived_as(other: Callable[..., Any], function: Callable[..., Any]) -> Any:
    """The function, with the derivatives of one that is the same but for rounding."""
    found = jax.custom_jvp(function)
    found.defjvp(lambda given, along: jax.jvp(other, given, along))
    return found
