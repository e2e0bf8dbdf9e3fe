"""Max pooling of 2×2 places, and its gradient."""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from sparse_search.types import Array, Float


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
    return (spread(parts, x.shape[1:3]),)


halved.defvjp(lambda x: (halved(x), x), _of_corners)


def spread(parts: Sequence[Array], places: tuple[int, ...]) -> Array:
    """Images of all places, zero beyond whole 2×2 ones.

    Args:
        parts: the first, second, third and fourth of every 2×2 places, each
            [batch, h // 2, w // 2, channels].
        places: h and w.
    """
    batch, *half, channels = parts[0].shape
    x = jnp.stack(parts).reshape(2, 2, *parts[0].shape).transpose(2, 3, 0, 4, 1, 5)
    x = x.reshape(batch, 2 * half[0], 2 * half[1], channels)
    rest = [(0, n - m) for n, m in zip(places, x.shape[1:3], strict=True)]
    return jnp.pad(x, [(0, 0), *rest, (0, 0)])
