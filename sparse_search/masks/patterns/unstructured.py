"""The unstructured pattern: any entries may be stored."""

import math

from sparse_search.keys import subkey
from sparse_search.masks import counting, topk
from sparse_search.masks.patterns.base import Count, Pattern, Scores, Shape
from sparse_search.types import Array, Bool, Key


def select(
    key: Key, scores: Scores, count: Count, where: Bool[Array, "*s"]
) -> Bool[Array, "*s"]:
    """Select exactly `count` entries of `where`: the largest scores, or at random.

    Args:
        key: resolves ties, or makes the random choice.
        scores: what to rank by; None selects uniformly at random.
        count: how many, may be traced; reachable are all counts up to the size.
        where: the entries that may be selected.
    """
    if scores is None:
        return topk.select_random(key, count, where)
    return topk.select(key, scores, count, where)


def exchange(
    key: Key,
    mask: Bool[Array, "*s"],
    keep: Scores,
    kept: Count,
    grow: Scores,
    count: Count,
) -> Bool[Array, "*s"]:
    """Keep exactly `kept` entries of a mask and grow others, up to `count`."""
    rest = select(subkey(key, 0), keep, kept, mask)
    missing = count - counting.count(rest)
    return rest | select(subkey(key, 1), grow, missing, ~rest)


def reach(shape: Shape, count: int) -> int:
    """Any number up to the size."""
    return min(count, math.prod(shape))


UNSTRUCTURED = Pattern("unstructured", select, exchange, reach)
