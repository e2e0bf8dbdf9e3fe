"""The gradients of a dense convolution, as products that are fast on a CPU.

XLA compiles the kernel's gradient as plain loops there, which took three to sixteen
times as long as the convolution itself. Here images are taken a few at a time, so that
they stay in cache, and every place of the window is one matrix product. The images'
gradient is a convolution, for which XLA has loops too where it can read the kernel
transposed, as it can within a round; here it cannot.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp

from sparse_search.types import Array, Float

_ROWS = 4096  # of the products, at most: outputs of some whole images


def sides(
    padding: Any,
    places: tuple[int, ...],
    size: tuple[int, ...],
    strides: tuple[int, ...],
    dilation: tuple[int, ...],
) -> Any:
    """The zeros before and after each axis of images; as given where not by name."""
    if not isinstance(padding, str):
        return padding
    reach = [(k - 1) * d + 1 for k, d in zip(size, dilation, strict=True)]
    return jax.lax.padtype_to_pads(places, reach, strides, padding)


def of_images(
    kernel: Float[Array, "a b channels neurons"],
    dy: Float[Array, "images height width neurons"],
    shape: tuple[int, ...],
    strides: tuple[int, ...],
    dilation: tuple[int, ...],
    pads: Any,
    **options: Any,
) -> Float[Array, "images rows columns channels"]:
    """The gradient of a convolution's images: a convolution with the turned kernel.

    Args:
        kernel: weights.
        dy: the gradient of the outputs.
        shape: of the images, rows and columns.
        strides: of the window.
        dilation: between its places.
        pads: zeros before and after, of rows and of columns.
        **options: as `jax.lax.conv_general_dilated` has them.
    """
    reach = [(k - 1) * d for k, d in zip(kernel.shape[:2], dilation, strict=True)]
    around = [
        (far - low, n - 1 + low - (outputs - 1) * stride)
        for n, outputs, stride, far, (low, _) in zip(
            shape, dy.shape[1:3], strides, reach, pads, strict=True
        )
    ]
    turned = jnp.flip(kernel, (0, 1)).swapaxes(2, 3)
    return jax.lax.conv_general_dilated(
        dy,
        jax.lax.optimization_barrier(turned),
        (1, 1),
        around,
        lhs_dilation=strides,
        rhs_dilation=dilation,
        **options,
    )


def of_kernel(
    x: Float[Array, "images rows columns channels"],
    dy: Float[Array, "images height width neurons"],
    size: tuple[int, ...],
    strides: tuple[int, ...],
    dilation: tuple[int, ...],
    pads: Any,
) -> Float[Array, "a b channels neurons"]:
    """The gradient of a convolution's kernel, in float32 at least.

    Args:
        x: images.
        dy: the gradient of the outputs.
        size: of the window.
        strides: between its positions.
        dilation: between its places.
        pads: zeros before and after, of rows and of columns.
    """
    images, *outputs, neurons = dy.shape
    channels = x.shape[-1]
    count = _few(images, math.prod(outputs))
    spread = [(0, 0, 0), *((low, high, 0) for low, high in pads), (0, 0, 0)]
    x = jax.lax.pad(x, jnp.zeros((), x.dtype), spread)
    kind = jnp.promote_types(x.dtype, jnp.float32)
    if not dy.size:
        return jnp.zeros((*size, channels, neurons), kind)

    def place(x: Array, at: tuple[int, int]) -> Array:
        """What a place of the window sees, [outputs, channels]."""
        rows, columns = (
            slice(a * d, a * d + (n - 1) * s + 1, s)
            for a, d, n, s in zip(at, dilation, outputs, strides, strict=True)
        )
        return x[:, rows, columns].reshape(-1, channels)

    def add(sums: Array, few: tuple[Array, Array]) -> tuple[Array, None]:
        x, dy = few
        dy = dy.reshape(-1, neurons)
        products = [
            jnp.einsum("rc,rn->cn", place(x, (i, j)), dy, preferred_element_type=kind)
            for i in range(size[0])
            for j in range(size[1])
        ]
        return sums + jnp.stack(products), None

    parts = [of.reshape(-1, count, *of.shape[1:]) for of in (x, dy)]
    zeros = jnp.zeros((math.prod(size), channels, neurons), kind)
    given: Any = tuple(parts)
    return jax.lax.scan(add, zeros, given)[0].reshape(*size, channels, neurons)


def _few(images: int, outputs: int) -> int:
    """How many images are taken together: a part of all that divides them."""
    most = max(1, min(images, _ROWS // max(outputs, 1)))
    return max(n for n in range(1, most + 1) if images % n == 0)
