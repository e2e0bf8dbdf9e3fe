"""What pruning at initialisation has in common: scores once, then a fixed mask."""

from collections.abc import Callable

import jax.numpy as jnp

from sparse_search import trees
from sparse_search.algorithms.base import (
    MaskState,
    Scope,
    SparseAlgorithm,
    all_masks,
    masked_grads,
    no_rewire,
    same_view,
)
from sparse_search.algorithms.pruning import check_scope, keep_largest
from sparse_search.errors import UserError
from sparse_search.keys import subkey
from sparse_search.masks.patterns import Pattern
from sparse_search.types import Array, Counts, Float, Key, Params

Loss = Callable[[Params], Float[Array, ""]]
"""Parameters -> a scalar, on data that it closes over."""


def prune_at_init(
    scores: Callable[[Key, Params, Counts], Params], pattern: Pattern, scope: Scope
) -> SparseAlgorithm:
    """An algorithm whose masks are those of the largest scores of initial weights.

    Args:
        scores: `(key, params, counts) -> scores` of every sparse leaf.
        pattern: which masks are allowed.
        scope: whether scores are compared within a layer, or over all.
    """
    check_scope(scope, pattern)

    def init(key: Key, params: Params, counts: Counts) -> tuple[Params, MaskState]:
        found = scores(subkey(key, 1), params, counts)
        everything = all_masks(params, counts)
        masks = keep_largest(subkey(key, 0), found, everything, counts, pattern, scope)
        state = MaskState(masks, jnp.zeros((), jnp.int32))
        return trees.apply_masks(params, masks), state

    return SparseAlgorithm(
        init,
        same_view,
        masked_grads,
        no_rewire,
        "layer" if scope == "layer" else "total",
        pattern=pattern,
    )


def needed(loss: Loss | None, name: str, what: str) -> Loss:
    """A loss that was given, or a `UserError` that says what is missing."""
    if loss is None:
        raise UserError(
            f"{name} needs {what}, a function of the parameters: "
            f"algorithms.{name}({what}=lambda params: …)."
        )
    return loss
