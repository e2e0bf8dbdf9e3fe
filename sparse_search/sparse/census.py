"""What is remembered of a compressed layer's topology, in a few bytes.

Which weights were there at the start needs no memory: a random mask holds the positions
of the smallest ranks under a keyed bijection, so its key and its largest rank tell.

How many positions held a weight at some time is estimated by a sketch of 16,384 bytes
(HyperLogLog; Flajolet et al. 2007), with a standard error of 0.8 %: to remember the
positions themselves would take memory that grows with training.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from sparse_search.keys import mix
from sparse_search.masks import bijection
from sparse_search.sparse import formats, native, rewiring
from sparse_search.sparse.formats import Tiled
from sparse_search.types import Array, Float, Int, Key, UInt

_REGISTERS = 2**14


class Origin(NamedTuple):
    """A random mask: the positions up to a rank.

    Attributes:
        keys: of the bijection.
        last: the largest rank, in two words.
    """

    keys: UInt[Array, " rounds"]
    last: UInt[Array, "2"]


class Seen(NamedTuple):
    """A sketch of the positions that held a weight."""

    registers: UInt[Array, " registers"]


def begin(key: Key, topology: Tiled) -> tuple[Origin, Seen]:
    """Before the first step.

    Args:
        key: that `rewiring.random_topology` made the topology with.
        topology: as it was made.
    """
    keys = bijection.round_keys(key, bijection.domain(topology.shape))
    nothing = Origin(keys, jnp.zeros(2, jnp.uint32))
    empty = Seen(jnp.zeros(_REGISTERS, jnp.uint8))
    _, last, seen = _look(nothing, empty, topology)
    return Origin(keys, last), seen


def look(origin: Origin, seen: Seen, topology: Tiled) -> tuple[Int[Array, ""], Seen]:
    """How many weights were there at the start, and the sketch with those of now."""
    kept, _, seen = _look(origin, seen, topology)
    return kept, seen


def explored(seen: Seen) -> Float[Array, ""]:
    """About how many positions held a weight at some time."""
    size = seen.registers.shape[-1]
    sums = jnp.sum(jnp.exp2(-seen.registers.astype(jnp.float32)))
    raw = 0.7213 / (1 + 1.079 / size) * size**2 / sums
    empty = jnp.sum(seen.registers == 0).astype(jnp.float32)
    few = size * jnp.log(size / jnp.maximum(empty, 1))
    return jnp.where((raw <= 2.5 * size) & (empty > 0), few, raw)


def _look(origin: Origin, seen: Seen, topology: Tiled) -> tuple[Array, Array, Seen]:
    over = bijection.domain(topology.shape)
    if not native.usable():
        return _dense_look(origin, seen, topology, over)
    integer = jax.ShapeDtypeStruct
    kept, last, registers = native.call(
        "SparseSearchCensus",
        (
            integer((), jnp.int32),
            integer((2,), jnp.uint32),
            integer(seen.registers.shape, jnp.uint8),
        ),
        topology.in_ptr,
        topology.outs,
        origin.keys,
        origin.last,
        seen.registers,
        **rewiring.static(topology),
    )
    return kept, last, Seen(registers)


def _dense_look(
    origin: Origin, seen: Seen, topology: Tiled, over: bijection.Domain
) -> tuple[Array, Array, Seen]:
    row, column = (index.astype(jnp.uint32) for index in formats.positions(topology))
    high, low = bijection.rank_with(origin.keys, row, column, over)
    stored = topology.stored
    below = (high < origin.last[0]) | (
        (high == origin.last[0]) & (low <= origin.last[1])
    )
    most = jnp.max(jnp.where(stored, high, 0))
    least = jnp.max(jnp.where(stored & (high == most), low, 0))
    first = mix(mix(low + np.uint32(0x9E3779B9)) + high)
    second = mix(first ^ low ^ np.uint32(0x7F4A7C15))
    zeros = (jax.lax.clz(second) + np.uint32(1)).astype(jnp.uint8)
    size = seen.registers.shape[-1]
    at = jnp.where(stored, first & np.uint32(size - 1), np.uint32(size))
    registers = seen.registers.at[at].max(zeros, mode="drop")
    kept = jnp.sum(stored & below, dtype=jnp.int32)
    return kept, jnp.stack([most, least]), Seen(registers)
