"""Which masks are allowed.

Names, as in a config: `unstructured`; `2:4` (any N:M, along the inputs; `2:4@out` along
the outputs; `n:4` with N as each layer's count makes it); `block4x8` (any size,
inputs × outputs); `channel`; `fan_in`.
"""

import re

from sparse_search.errors import UserError, nearest
from sparse_search.masks.patterns.base import Pattern, reach
from sparse_search.masks.patterns.blocks import CHANNEL, block
from sparse_search.masks.patterns.fan_in import FAN_IN
from sparse_search.masks.patterns.n_m import n_m
from sparse_search.masks.patterns.unstructured import UNSTRUCTURED

__all__ = [
    "CHANNEL",
    "FAN_IN",
    "UNSTRUCTURED",
    "Pattern",
    "block",
    "n_m",
    "reach",
]

NAMED = {p.name: p for p in (UNSTRUCTURED, CHANNEL, FAN_IN)}


def by_name(name: str) -> Pattern:
    """The pattern of a name.

    Raises:
        UserError: there is none.
    """
    if name in NAMED:
        return NAMED[name]
    if found := re.fullmatch(r"(\d+|n):(\d+)(@out)?", name):
        n = None if found[1] == "n" else int(found[1])
        return n_m(n, int(found[2]), axis=-1 if found[3] else -2)
    if found := re.fullmatch(r"block(\d+)x(\d+)", name):
        return block(int(found[1]), int(found[2]))
    raise UserError(
        f"There is no pattern {name!r}; there are {', '.join(NAMED)}, N:M as in 2:4, "
        f"n:4 or 2:4@out, and blocks as in block4x8.{nearest(name, NAMED)}"
    )
