"""The drop-then-grow step that SET, RigL and their relatives share.

In a layer of n active weights and drop fraction f, k = round(f · n) are exchanged:

    kept  = the n − k active weights with the largest drop score
    grown = the k entries outside `kept` with the largest growth score
    mask  = kept ∪ grown

A dropped connection may be grown back at once (the candidates are all that are not
kept, as in Evci et al. 2020, algorithm 1). It then goes on as if nothing had happened,
with its weight and its optimizer state, as in the authors' implementation; so a dense
layer passes through unchanged. Every other grown connection starts at zero.

`rewire` exchanges as many as it drops in every layer. `exchange` takes the numbers from
elsewhere: where layers share what was dropped (SNFS, DSR), or where there are fewer and
fewer weights (GraNet, gradual magnitude pruning).
"""

from collections.abc import Callable

import jax.numpy as jnp

from sparse_search import trees
from sparse_search.algorithms.base import Info, MaskState, Select
from sparse_search.algorithms.schedules import Schedule
from sparse_search.keys import subkey
from sparse_search.masks import counting
from sparse_search.types import Array, Counts, Float, Key, Masks, Params

Score = Callable[[Float[Array, "*s"], Float[Array, "*s"]], Float[Array, "*s"]]
"""A score of every entry of a layer, from its weights and its dense gradients."""


def magnitude(weight: Float[Array, "*s"], grad: Float[Array, "*s"]) -> Array:
    """|w|: what SET and RigL keep."""
    del grad
    return jnp.abs(weight)


def steepness(weight: Float[Array, "*s"], grad: Float[Array, "*s"]) -> Array:
    """|∇|: what RigL grows."""
    del weight
    return jnp.abs(grad)


def exchanged(masks: Masks, share: Float[Array, ""]) -> Counts:
    """How many connections a share of every layer's is."""

    def layer(mask: Array) -> Array:
        active = counting.count(mask)
        return jnp.clip(jnp.round(share * active).astype(jnp.int32), 0, active)

    return trees.map_sparse(layer, masks)


def exchange(
    key: Key,
    params: Params,
    grads: Params,
    masks: Masks,
    *,
    keep: Score,
    kept: Counts,
    grow: Score | None,
    grown: Counts | Callable[[Masks], Counts],
    select: Select,
) -> tuple[Params, Masks, Info]:
    """Keep some connections of every layer and grow others.

    Args:
        key: resolves ties and makes random choices.
        params: zero off the masks.
        grads: dense, what `grow` and `keep` look at: the raw gradients, or their
            running means.
        masks: before.
        keep: which active weights to keep: the largest.
        kept: how many of every layer.
        grow: which entries to grow: the largest; None grows at random.
        grown: how many in every layer, or a function of the masks of what was kept.
        select: the pattern's selection.

    Returns:
        Parameters (dropped and grown entries zero), masks, and what was exchanged.
    """
    rest = trees.map_sparse_with_key(
        lambda key, mask, weight, grad, number: select(
            subkey(key, 0), keep(weight, grad), number, mask
        ),
        key,
        masks,
        params,
        grads,
        kept,
    )
    numbers = grown(rest) if callable(grown) else grown

    def add(key: Key, rest: Array, weight: Array, grad: Array, number: Array) -> Array:
        scores = None if grow is None else grow(weight, grad)
        return rest | select(subkey(key, 1), scores, number, ~rest)

    new = trees.map_sparse_with_key(add, key, rest, params, grads, numbers)
    info = Info(
        dropped=trees.map_sparse(
            lambda old, new: counting.count(old & ~new), masks, new
        ),
        grown=trees.map_sparse(lambda old, new: counting.count(new & ~old), masks, new),
    )
    return trees.apply_masks(params, new), new, info


def rewire(
    key: Key,
    params: Params,
    grads: Params,
    state: MaskState,
    *,
    keep: Score,
    grow: Score | None,
    fraction: Schedule,
    select: Select,
) -> tuple[Params, MaskState, Info]:
    """Exchange the drop fraction of every sparse layer's connections.

    Args:
        key: resolves ties and makes random choices.
        params: zero off the masks.
        grads: raw and dense; not looked at when `grow` is None.
        state: the masks, and the step that `fraction` is evaluated at.
        keep: which active weights to keep: the largest.
        grow: which entries to grow: the largest; None grows at random.
        fraction: of a layer's active weights, to exchange.
        select: the pattern's selection.

    Returns:
        Parameters (dropped and grown entries zero), the state one step later with
        as many non-zeros in every layer as before, and what was exchanged.
    """
    numbers = exchanged(state.masks, fraction(state.step))
    kept = trees.map_sparse(lambda m, k: counting.count(m) - k, state.masks, numbers)
    params, masks, info = exchange(
        key,
        params,
        grads,
        state.masks,
        keep=keep,
        kept=kept,
        grow=grow,
        grown=numbers,
        select=select,
    )
    return params, MaskState(masks, state.step + 1), info
