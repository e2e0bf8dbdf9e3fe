"""Shared array types."""

from typing import Any

import jax
from jaxtyping import Array, Bool, Float, Int, Num, UInt

Params = Any
"""A pytree of floating arrays."""

Masks = Any
"""A pytree like the parameters: a bool array where a leaf is sparse, None where dense.

True marks the entries that may be stored; off the mask the parameter is zero.
"""

Counts = Any
"""A pytree like the parameters: the integer nnz of a sparse leaf, None where dense."""

Key = jax.Array
"""A typed PRNG key (`jax.random.key`)."""

Scalar = Any
"""A number that may be traced."""

__all__ = [
    "Array",
    "Bool",
    "Counts",
    "Float",
    "Int",
    "Key",
    "Masks",
    "Num",
    "Params",
    "Scalar",
    "UInt",
]
