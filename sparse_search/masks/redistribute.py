"""How connections are divided among layers inside a program: exact and traced."""

import jax
import jax.numpy as jnp

from sparse_search.types import Array, Float, Int


def divide(
    total: Int[Array, ""], weights: Float[Array, " n"], room: Int[Array, " n"]
) -> Int[Array, " n"]:
    """Divide a number among layers in proportion to weights, none above its room.

    What a full layer cannot take goes to the others by the same rule; fractions are
    rounded so that the sum is exact.

    Args:
        total: how many to divide.
        weights: of the layers; what is negative or not finite counts as 0, and where
            all are 0 (or full) the rest is divided by room.
        room: how many each layer can take at most.

    Returns:
        Integers that sum to min(total, sum of room), 0 <= each <= its room.
    """
    total = jnp.minimum(total, jnp.sum(room))
    weights = jnp.where(jnp.isfinite(weights), jnp.maximum(weights, 0), 0)
    weights = weights.astype(jnp.float32)

    def fill(_: int, given: Array) -> Array:
        # One layer at least becomes full each time, or nothing changes any more.
        full = given >= room
        left = total - jnp.sum(jnp.where(full, room, 0))
        free = jnp.where(full, 0.0, weights)
        free = jnp.where(jnp.sum(free) > 0, free, jnp.where(full, 0, room))
        share = free / jnp.maximum(jnp.sum(free), 1e-30)
        return jnp.where(full, room, jnp.minimum(left * share, room))

    given = jax.lax.fori_loop(
        0, weights.shape[0], fill, jnp.zeros(weights.shape, jnp.float32)
    )
    # A little less than the floats say, whose last bits are noise for large numbers.
    counts = jnp.clip(jnp.floor(given * (1 - 1e-6)).astype(jnp.int32), 0, room)
    by_remainder = jnp.argsort(counts - given, stable=True)
    for most in (1, jnp.iinfo(jnp.int32).max):  # one each, then whatever is left
        spare = jnp.minimum(room - counts, most)[by_remainder]
        before = jnp.cumsum(spare) - spare
        more = jnp.clip(total - jnp.sum(counts) - before, 0, spare)
        counts = counts.at[by_remainder].add(more.astype(counts.dtype))
    return counts
