"""The unstructured pattern: any entries may be stored."""

from sparse_search.masks import topk
from sparse_search.types import Array, Bool, Float, Int, Key


def select(
    key: Key,
    scores: Float[Array, "*s"] | None,
    count: Int[Array, ""] | int,
    where: Bool[Array, "*s"],
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
