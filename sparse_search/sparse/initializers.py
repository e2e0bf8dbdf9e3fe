"""Initial weights of the positions that exist, as if all had been drawn.

A compressed layer begins with the very weights that a masked one of the same seed has,
without drawing the others: each is a function of the key and its position, since
JAX's generator counts positions (`jax_threefry_partitionable`).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.random import threefry_2x32

from sparse_search.sparse import formats
from sparse_search.sparse.formats import Tiled
from sparse_search.types import Array, Float, Key, UInt


@dataclass(frozen=True)
class HeNormal:
    """He et al. 2015: keeps the variance of ReLU activations over the layers.

    Normal, truncated at two standard deviations, with variance 2 / fan-in; the same as
    `flax.linen.initializers.he_normal()`.
    """

    def __call__(
        self, key: Key, shape: tuple[int, ...], dtype: Any = jnp.float32
    ) -> Array:
        """All weights of a layer."""
        return jax.nn.initializers.he_normal()(key, shape, dtype)

    def at(self, key: Key, topology: Tiled, dtype: Any) -> Float[Array, " capacity"]:
        """The weights of some positions, zero beyond the last."""
        inputs, neurons = topology.shape
        deviation = math.sqrt(2 / inputs) / 0.87962566103423978  # of the truncated
        root = np.array(np.sqrt(2), dtype)
        low, high = (jax.lax.erf(x / root) for x in np.array([-2, 2], dtype))
        bits = _bits(key, *formats.positions(topology), neurons, dtype)
        mantissa = jnp.finfo(dtype).nmant
        bits = bits >> np.array(bits.dtype.itemsize * 8 - mantissa, bits.dtype)
        one = np.array(1, dtype).view(bits.dtype)
        unit = jax.lax.bitcast_convert_type(bits | one, dtype) - np.array(1, dtype)
        uniform = jnp.maximum(low, unit * (high - low) + low)
        least, most = np.nextafter(np.array([-2, 2], dtype), np.array(0, dtype))
        normal = jnp.clip(root * jax.lax.erf_inv(uniform), least, most)
        drawn = normal * np.array(deviation, dtype)
        return jnp.where(topology.stored, drawn, np.array(0, dtype))


def at(
    initializer: Callable[..., Array], key: Key, topology: Tiled, dtype: Any
) -> Float[Array, " capacity"]:
    """What an initializer of dense layers gives the positions of a topology.

    Those that cannot draw by position draw all weights.
    """
    by_counter = (
        isinstance(initializer, HeNormal)
        and jax.config.jax_threefry_partitionable  # pyright: ignore
        and str(jax.random.key_impl(key)) == "threefry2x32"
    )
    if by_counter:
        return initializer.at(key, topology, dtype)
    return formats.values_at(topology, initializer(key, topology.kernel, dtype))


def _bits(
    key: Key, row: Array, column: Array, columns: int, dtype: Any
) -> UInt[Array, " n"]:
    """The random bits of positions of a matrix, as `jax.random.bits` draws them."""
    high, low = _flat(row.astype(jnp.uint32), column.astype(jnp.uint32), columns)
    words = threefry_2x32(jax.random.key_data(key), jnp.concatenate([high, low]))
    first, second = jnp.split(words, 2)
    if jnp.dtype(dtype).itemsize == 4:
        return first ^ second
    wide = jnp.uint64
    return (first.astype(wide) << np.uint64(32)) | second.astype(wide)


def _flat(row: Array, column: Array, columns: int) -> tuple[Array, Array]:
    """Row · columns + column in two words of 32 bits."""
    short, word = np.uint32(16), np.uint32(0xFFFF)
    high, low = np.uint32(columns >> 16), np.uint32(columns & 0xFFFF)
    bottom = (row & word) * low
    middle = (row >> short) * low + (bottom >> short)
    # One product more would overflow: it is added to what is left of the middle.
    carried = (row & word) * high + (middle & word)
    least = (carried << short) | (bottom & word)
    most = (row >> short) * high + (middle >> short) + (carried >> short)
    out = least + column
    return most + (out < least).astype(jnp.uint32), out
