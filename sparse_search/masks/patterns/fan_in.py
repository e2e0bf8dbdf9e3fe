"""Constant fan-in: every neuron (entry of the last axis) has as many inputs.

What condensed kernels store as one dense array of indices (Lasby et al. 2023,
arXiv:2305.02299).
"""

import math

from sparse_search.errors import UserError
from sparse_search.masks.patterns import grouped
from sparse_search.masks.patterns.base import Count, Pattern, Scores, Shape
from sparse_search.types import Array, Bool, Key


def layout(shape: Shape) -> grouped.Layout:
    """A group for every neuron: all axes but the last run over its inputs."""
    return grouped.Layout(shape, tuple(range(len(shape) - 1)))


def select(
    key: Key, scores: Scores, count: Count, where: Bool[Array, "*s"]
) -> Bool[Array, "*s"]:
    """Select for every neuron the inputs of the largest scores."""
    neurons = where.shape[-1]
    return grouped.select(key, scores, count // neurons, where, layout(where.shape))


def exchange(
    key: Key,
    mask: Bool[Array, "*s"],
    keep: Scores,
    kept: Count,
    grow: Scores,
    count: Count,
) -> Bool[Array, "*s"]:
    """Keep the best of the layer; every neuron grows as many as it lost."""
    quota = count // mask.shape[-1]
    return grouped.exchange(key, mask, keep, kept, grow, quota, layout(mask.shape))


def reach(shape: Shape, count: int) -> int:
    """Multiples of the number of neurons."""
    neurons = shape[-1]
    if count < neurons:
        raise UserError(
            f"constant fan-in needs a weight for each of {neurons:,} neurons, more "
            f"than {count:,}."
        )
    return min(count, math.prod(shape)) // neurons * neurons


FAN_IN = Pattern("fan_in", select, exchange, reach)
