"""The drop-then-grow step that SET, RigL and their relatives share.

In a layer of n active weights and drop fraction f, k = round(f · n) are exchanged:

    kept  = the n − k active weights with the largest drop score
    grown = the k entries outside `kept` with the largest growth score
    mask  = kept ∪ grown

A dropped connection may be grown back at once (the candidates are all that are not
kept, as in Evci et al. 2020, algorithm 1). It then goes on as if nothing had happened,
with its weight and its optimizer state, as in the authors' implementation; so a dense
layer passes through unchanged. Every other grown connection starts at zero.
"""

from collections.abc import Callable

import jax.numpy as jnp

from sparse_search import trees
from sparse_search.algorithms.base import Info, MaskState, Select
from sparse_search.algorithms.schedules import Schedule
from sparse_search.keys import subkey
from sparse_search.types import Array, Float, Key, Params

Score = Callable[[Float[Array, "*s"], Float[Array, "*s"]], Float[Array, "*s"]]
"""A score of every entry of a layer, from its weights and its dense gradients."""


def magnitude(weight: Float[Array, "*s"], grad: Float[Array, "*s"]) -> Array:
    """|w|: what SET and RigL keep."""
    del grad
    return jnp.abs(weight)


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
    share = fraction(state.step)

    def layer(key: Key, mask: Array, weight: Array, grad: Array) -> Array:
        active = jnp.sum(mask, dtype=jnp.int32)
        exchanged = jnp.clip(jnp.round(share * active).astype(jnp.int32), 0, active)
        kept = select(subkey(key, 0), keep(weight, grad), active - exchanged, mask)
        scores = None if grow is None else grow(weight, grad)
        return kept | select(subkey(key, 1), scores, exchanged, ~kept)

    masks = trees.map_sparse_with_key(layer, key, state.masks, params, grads)
    info = Info(
        dropped=trees.map_sparse(
            lambda old, new: _count(old & ~new), state.masks, masks
        ),
        grown=trees.map_sparse(lambda old, new: _count(new & ~old), state.masks, masks),
    )
    params = trees.apply_masks(params, masks)
    return params, MaskState(masks, state.step + 1), info


def _count(mask: Array) -> Array:
    return jnp.sum(mask, dtype=jnp.int32)
