"""The contract of a pattern: which masks are allowed, and how they are selected.

A pattern may be met by some numbers of non-zeros only. `reach` tells on the host which;
inside programs counts are traced, and a pattern that is asked for a number that it
cannot reach takes the nearest one below.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from sparse_search.errors import Impossible, UserError
from sparse_search.types import Array, Bool, Float, Int, Key

Shape = tuple[int, ...]
Scores = Float[Array, "*s"] | None
Count = Int[Array, ""] | int

_TOLERANCE = 0.02


class Pattern(NamedTuple):
    """Which masks are allowed.

    Attributes:
        name: as in a config.
        select: `(key, scores, count, where) -> mask`: of the entries `where`, `count`
            of the largest scores that make an allowed mask; None selects at random.
        exchange: `(key, mask, keep, kept, grow, count) -> mask`: of an allowed mask
            keep `kept` entries of the largest scores `keep` (about as many, where
            entries go in blocks), and add those of the largest scores `grow` (None: at
            random) outside of them, up to an allowed mask of `count` entries.
        reach: `(shape, count) -> count`, the largest number of non-zeros, not above
            `count`, that a mask of this shape can have; raises a `UserError` where
            there is none.
        entries: whether entries are exchanged one by one; not where they go in blocks.
    """

    name: str
    select: Callable[[Key, Scores, Count, Bool[Array, "*s"]], Bool[Array, "*s"]]
    exchange: Callable[
        [Key, Bool[Array, "*s"], Scores, Count, Scores, Count], Bool[Array, "*s"]
    ]
    reach: Callable[[Shape, int], int]
    entries: bool = True


def reach(
    pattern: Pattern, shapes: Mapping[str, Shape], counts: Mapping[str, int]
) -> dict[str, int]:
    """The counts nearest to those of an allocation that a pattern can have.

    Every layer gets the largest number not above its own; what is left over then goes,
    in order of what they lost, to the layers that can still take some of it.

    Args:
        pattern: which masks are allowed.
        shapes: of every sparse layer.
        counts: of every sparse layer, as allocated.

    Raises:
        Impossible: a layer cannot have the pattern, or the total is more than 2 %
            below that of `counts`.
    """
    found = {}
    for layer, shape in shapes.items():
        try:
            found[layer] = pattern.reach(shape, counts[layer])
        except UserError as error:
            raise Impossible(f"{layer}: {error}") from None
    counts = {layer: counts[layer] for layer in shapes}
    left = sum(counts.values()) - sum(found.values())
    for layer in sorted(found, key=lambda name: found[name] - counts[name]):
        more = pattern.reach(shapes[layer], found[layer] + left)
        left -= more - found[layer]
        found[layer] = more
    if left > _TOLERANCE * sum(counts.values()):
        total = sum(counts.values())
        raise Impossible(
            f"The pattern {pattern.name!r} cannot have {total:,} weights in this "
            f"network; the nearest number below is {total - left:,}, more than "
            f"{_TOLERANCE:.0%} off."
        )
    return found
