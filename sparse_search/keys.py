"""Cheap derivation of PRNG keys.

`jax.random.split` and `fold_in` run the generator itself, and one of them for every
layer and use is most of what a small training program takes to compile. `subkey`
mixes integers instead, with the same contract: different numbers, independent keys.
"""

import jax
import jax.numpy as jnp
import numpy as np

from sparse_search.types import Array, Key, Scalar, UInt


@jax.jit
def mix(word: UInt[Array, "*s"]) -> UInt[Array, "*s"]:
    """A bijection of 32-bit words after which every bit depends on every bit.

    The finalizer of MurmurHash3 (Appleby 2011).
    """
    word = (word ^ (word >> 16)) * np.uint32(0x85EBCA6B)
    word = (word ^ (word >> 13)) * np.uint32(0xC2B2AE35)
    return word ^ (word >> 16)


def words(key: Key, number: int) -> UInt[Array, " number"]:
    """The first words of a key's own sequence, for keying a mixing function."""
    first, second = jax.random.key_data(key)[..., -2:]
    counter = np.arange(1, number + 1, dtype=np.uint32) * np.uint32(0x9E3779B9)
    return mix(mix(counter + first) + second)


@jax.jit
def subkey(key: Key, number: Scalar) -> Key:
    """The key that a number selects below `key`; the number may be traced."""
    data = jax.random.key_data(key)
    first, second = data[..., -2:]
    salt = mix(jnp.asarray(number).astype(jnp.uint32) + np.uint32(0x9E3779B9))
    low = mix(mix(second + salt) + first)
    high = mix(mix(first ^ salt) + low)
    return jax.random.wrap_key_data(
        jnp.stack([high, low]), impl=jax.random.key_impl(key)
    )
