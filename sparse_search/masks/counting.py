"""Counting the entries of large arrays, as fast as they can be read.

On a CPU, XLA does not vectorise a reduction whose input it computes on the way: to
count what exceeds a threshold takes 3 ns an entry. A loop over blocks that adds to a
block of counters is vectorised, and takes a fiftieth of that. On other devices the
plain reduction is the fast one, and where an array is sharded it stays in its place.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from sparse_search.types import Array, Bool, Int, UInt

_BLOCK = 16384  # counters: they stay in the second level of the cache


@jax.jit
def at_least(values: UInt[Array, "*s"], threshold: UInt[Array, ""]) -> Int[Array, ""]:
    """How many entries are at least a threshold."""
    return _count(values, lambda values, threshold: values >= threshold, threshold)


@jax.jit
def count(mask: Bool[Array, "*s"]) -> Int[Array, ""]:
    """The number of True entries."""
    return _count(mask, lambda mask: mask)


def unsharded() -> bool:
    """Whether arrays are whole, so that nothing is gathered where rows are picked.

    They are where there is one device only, and inside of `jax.shard_map`.
    """
    mesh = jax.sharding.get_abstract_mesh()
    return jax.device_count() == 1 or (not mesh.empty and mesh.are_all_axes_manual)


def _count(values: Array, found: Callable[..., Array], *operands: Array) -> Array:
    if not values.size:
        return jnp.int32(0)

    def looped(values: Array, *operands: Array) -> Array:
        return _looped(values, lambda block: found(block, *operands))

    def reduced(values: Array, *operands: Array) -> Array:
        return jnp.sum(found(values, *operands), dtype=jnp.int32)

    choose: Any = reduced
    if unsharded():
        choose = functools.partial(
            jax.lax.platform_dependent, cpu=looped, default=reduced
        )
    return choose(values, *operands)


def _looped(values: Array, found: Callable[[Array], Array]) -> Array:
    # Blocks of whole rows: what is computed on the way keeps its indices.
    if values.ndim > 1:
        values = values.reshape(-1, values.shape[-1])
    rows = min(max(_BLOCK // (values.size // len(values)), 1), len(values))
    blocks = len(values) // rows
    # The shortest counters that cannot overflow.
    kind = jnp.uint16 if blocks < 2**16 else jnp.int32

    def add(block: Array, counters: Array) -> Array:
        part = jax.lax.dynamic_slice_in_dim(values, block * rows, rows)
        return counters + found(part).astype(kind)

    zero = jnp.zeros((rows, *values.shape[1:]), kind)
    counters = jax.lax.fori_loop(0, blocks, add, zero)
    rest = jnp.sum(found(values[blocks * rows :]), dtype=jnp.int32)
    return jnp.sum(counters, dtype=jnp.int32) + rest
