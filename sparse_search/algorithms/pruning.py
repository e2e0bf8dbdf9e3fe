"""Keeping the largest scores, in every layer or over all: what pruning shares."""

from typing import Any, get_args

import jax
import jax.numpy as jnp

from sparse_search import trees
from sparse_search.algorithms.base import Scope
from sparse_search.algorithms.grow_prune import total
from sparse_search.errors import Impossible, one_of
from sparse_search.masks import across
from sparse_search.masks.patterns import UNSTRUCTURED, Pattern
from sparse_search.types import Array, Counts, Key, Masks, Scalar


def check_scope(scope: Scope, pattern: Pattern) -> None:
    """Raise a `UserError` where a scope is not known, or the pattern is not for it."""
    if scope not in get_args(Scope):
        raise one_of("The scope", scope, get_args(Scope))
    if scope != "layer" and pattern.name != UNSTRUCTURED.name:
        raise Impossible(
            f"Pruning over all layers ({scope}) gives layers any number of weights, "
            f"which the pattern {pattern.name!r} cannot have; use an allocation per "
            "layer, or the unstructured pattern."
        )


def over_layers(scores: Any, masks: Masks, counts: Counts, scope: Scope) -> Counts:
    """How many weights each layer keeps.

    Args:
        scores: of every sparse leaf.
        masks: the candidates.
        counts: of every layer; over all layers only their sum is looked at.
        scope: "layer" keeps the counts; "global" compares scores of all layers;
            "lamp" compares LAMP scores, the scores being magnitudes.
    """
    if scope == "layer":
        return counts
    leaves, structure = jax.tree.flatten(masks)
    compared = jax.tree.leaves(trees.map_sparse(lambda _, s: s, masks, scores))
    if scope == "lamp":
        compared = [across.lamp(s, m) for s, m in zip(compared, leaves, strict=True)]
    found = across.shares(compared, leaves, total(counts))
    return jax.tree.unflatten(structure, found)


def falling(masks: Masks, counts: Counts, done: Scalar, scope: Scope) -> Counts:
    """The weights that are left of N when n shall be: N (n / N)^done.

    Args:
        masks: for the sizes N.
        counts: n of every layer.
        done: from 0 to 1.
        scope: over all layers N and n are sums, and the first layer is told all.
    """

    def left(count: Array, size: Array) -> Array:
        power = size * (count / size) ** done
        kept = jnp.clip(jnp.round(power).astype(jnp.int32), count, size)
        return jnp.where(done >= 1, count, kept)

    sizes = trees.map_sparse(lambda m: jnp.int32(m.size), masks)
    if scope == "layer":
        return jax.tree.map(left, counts, sizes)
    leaves, structure = jax.tree.flatten(counts)
    of_all = left(total(counts), total(sizes))
    return jax.tree.unflatten(structure, [of_all, *[jnp.int32(0)] * (len(leaves) - 1)])


def keep_largest(
    key: Key,
    scores: Any,
    masks: Masks,
    counts: Counts,
    pattern: Pattern,
    scope: Scope = "layer",
) -> Masks:
    """The masks of the largest scores among the entries of masks.

    Args:
        key: resolves ties.
        scores: of every sparse leaf.
        masks: the candidates.
        counts: how many of every layer.
        pattern: which masks are allowed.
        scope: how layers are compared, see `over_layers`.
    """
    counts = over_layers(scores, masks, counts, scope)
    return trees.map_sparse_with_key(
        lambda key, mask, score, count: pattern.select(key, score, count, mask),
        key,
        masks,
        scores,
        counts,
    )
