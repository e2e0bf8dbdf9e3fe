"""Max pooling of 2×2 places, and its gradient."""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from sparse_search.types import Array, Float


@jax.custom_vjp
def halved(x: Float[Array, "... h w channels"]) -> Array:
    """The largest of every 2×2 places: [..., h // 2, w // 2, channels].

    As flax's `max_pool(x, (2, 2), (2, 2))`, also in that the first of several that are
    largest has the gradient; on a CPU that gradient takes many times as long.
    """
    return functools.reduce(jnp.maximum, _corners(x))


def _corners(x: Array) -> list[Array]:
    """The first, second, third and fourth of every 2×2 places."""
    height, width = (n // 2 * 2 for n in x.shape[-3:-1])
    return [x[..., i:height:2, j:width:2, :] for i in (0, 1) for j in (0, 1)]


def _of_corners(x: Array, g: Array) -> tuple[Array]:
    most = halved(x)
    free, parts = jnp.ones(most.shape, bool), []
    for corner in _corners(x):
        here = free & (corner == most)
        free &= ~here
        parts.append(jnp.where(here, g, 0))
    return (spread(parts, x.shape[-3:-1]),)


halved.defvjp(lambda x: (halved(x), x), _of_corners)


def spread(parts: Sequence[Array], places: tuple[int, ...]) -> Array:
    """Images of all places, zero beyond whole 2×2 ones.

    Args:
        parts: the first, second, third and fourth of every 2×2 places, each
            [..., h // 2, w // 2, channels].
        places: h and w.
    """
    *batch, height, width, channels = parts[0].shape
    x = jnp.stack(parts).reshape(2, 2, *parts[0].shape)
    x = jnp.moveaxis(x, (0, 1), (-4, -2))
    x = x.reshape(*batch, 2 * height, 2 * width, channels)
    rest = [(0, n - m) for n, m in zip(places, x.shape[-3:-1], strict=True)]
    return jnp.pad(x, [*[(0, 0)] * len(batch), *rest, (0, 0)])
