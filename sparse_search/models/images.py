"""What models of images share."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp

from sparse_search.sparse.initializers import HeNormal
from sparse_search.sparse.layers import Conv
from sparse_search.types import Array, Float

SMALL = 64
"""Pixels of a side up to which images are taken as CIFAR's are, not as ImageNet's."""


def with_channels(x: Array) -> Array:
    """Images [batch, rows, columns, channels]; grey ones may come without channels."""
    if x.ndim == 3:
        x = x[..., None]
    if x.ndim != 4:
        raise ValueError(
            "this model takes images [rows, columns] or [rows, columns, channels], not "
            f"examples of shape {list(x.shape[1:])}."
        )
    return x


def conv(features: int, window: int, stride: int = 1, **options: object) -> Conv:
    """A convolution without bias, padded so that stride 1 keeps the size.

    The padding is the same on all sides, as in the papers' own code; TensorFlow's
    "SAME" would shift windows with a stride of 2.
    """
    side = (window - 1) // 2
    return Conv(
        features,
        (window, window),
        (stride, stride),
        padding=((side, side), (side, side)),
        use_bias=False,
        kernel_init=HeNormal(),
        **options,  # pyright: ignore
    )


def norm(train: bool) -> nn.BatchNorm:
    """Batch normalisation: by the batch in training, else by running means."""
    return nn.BatchNorm(use_running_average=not train, momentum=0.9, epsilon=1e-5)


@jax.custom_vjp
def halved(x: Float[Array, "batch h w channels"]) -> Array:
    """The largest of every 2×2 places: [batch, h // 2, w // 2, channels].

    As flax's `max_pool(x, (2, 2), (2, 2))`, also in that the first of several that are
    largest has the gradient; on a CPU that gradient takes many times as long.
    """
    return functools.reduce(jnp.maximum, _corners(x))


def _corners(x: Array) -> list[Array]:
    """The first, second, third and fourth of every 2×2 places."""
    height, width = (n // 2 * 2 for n in x.shape[1:3])
    return [x[:, i:height:2, j:width:2] for i in (0, 1) for j in (0, 1)]


def _of_corners(x: Array, g: Array) -> tuple[Array]:
    most = halved(x)
    free, parts = jnp.ones(most.shape, bool), []
    for corner in _corners(x):
        here = free & (corner == most)
        free &= ~here
        parts.append(jnp.where(here, g, 0))
    batch, height, width, channels = g.shape
    dx = jnp.stack(parts).reshape(2, 2, *g.shape).transpose(2, 3, 0, 4, 1, 5)
    dx = dx.reshape(batch, 2 * height, 2 * width, channels)
    rest = [(0, n - m) for n, m in zip(x.shape, dx.shape, strict=True)]
    return (jnp.pad(dx, rest),)


halved.defvjp(lambda x: (halved(x), x), _of_corners)


def global_mean(x: Array) -> Array:
    """The mean over all places: [batch, channels]."""
    return jnp.mean(x, axis=(1, 2))
