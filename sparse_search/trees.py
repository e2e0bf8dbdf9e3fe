"""Pytree helpers: leaves by name, a key per leaf, trees in which None means dense."""

import zlib
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sparse_search.keys import subkey
from sparse_search.types import Key, Masks, Params


def _is_mask(x: Any) -> bool:
    """A leaf of masks: None where dense, and a topology as a whole."""
    return x is None or hasattr(x, "stored")


def stored(mask: Any) -> Any:
    """Which entries of a parameter are weights, of a mask or a topology."""
    return getattr(mask, "stored", mask)


def name(path: tuple[Any, ...]) -> str:
    """The name of a leaf: its path joined by "/", as in "params/Dense_0/kernel"."""
    return jax.tree_util.keystr(path, simple=True, separator="/")


def named_leaves(tree: Any) -> dict[str, Any]:
    """The leaves of a tree by name, in tree order; None is a leaf too."""
    leaves = jax.tree_util.tree_leaves_with_path(tree, is_leaf=_is_mask)
    return {name(path): leaf for path, leaf in leaves}


def map_named(f: Callable[..., Any], tree: Any, named: Mapping[str, Any]) -> Any:
    """Apply `f(leaf, its entry in `named`)`; None stays None."""
    return jax.tree_util.tree_map_with_path(
        lambda path, leaf: f(leaf, named[name(path)]), tree
    )


def map_sparse(f: Callable[..., Any], masks: Masks, *trees: Any) -> Any:
    """Apply `f(mask, *leaves)` where there is a mask; None where the leaf is dense.

    The other trees have the structure of the parameters, or None at dense leaves.
    """
    return jax.tree.map(
        lambda m, *xs: None if m is None else f(m, *xs), masks, *trees, is_leaf=_is_mask
    )


def map_sparse_with_key(
    f: Callable[..., Any], key: Key, masks: Masks, *trees: Any
) -> Any:
    """Like `map_sparse`, with a key for each leaf: `f(key, mask, *leaves)`.

    A leaf's key depends on its name only, so that adding a layer to a network leaves
    the draws of the others as they were.
    """

    def apply(path: tuple[Any, ...], m: Any, *xs: Any) -> Any:
        if m is None:
            return None
        return f(subkey(key, np.uint32(zlib.crc32(name(path).encode()))), m, *xs)

    return jax.tree_util.tree_map_with_path(apply, masks, *trees, is_leaf=_is_mask)


def where_sparse(changed: Any, tree: Params) -> Params:
    """The leaves of `changed` where they are not None, else those of `tree`."""
    return jax.tree.map(
        lambda new, old: old if new is None else new, changed, tree, is_leaf=_is_mask
    )


def apply_masks(tree: Params, masks: Masks) -> Params:
    """Set a tree's entries off the masks to zero; dense leaves pass unchanged."""
    return jax.tree.map(
        lambda m, x: x if m is None else jnp.where(stored(m), x, jnp.zeros_like(x)),
        masks,
        tree,
        is_leaf=_is_mask,
    )


def map_belonging(
    f: Callable[[Any, jax.Array, jax.Array], jax.Array],
    selector: Any,
    params: Params,
    *states: Any,
) -> Any:
    """Map the leaves of optimizer states that belong to a parameter.

    A leaf belongs to a parameter when its path ends in the parameter's path and their
    shapes agree. `f(selector leaf, *state leaves)` replaces it where the parameter's
    `selector` leaf is not None; all other leaves (factored moments, counts) are those
    of the first state.

    Args:
        f: a function of the selector leaf and the leaf of every state.
        selector: a pytree like `params`, None where nothing is to be replaced.
        params: the parameters that the optimizer was initialised with.
        *states: optimizer states of equal structure.
    """
    paths = jax.tree_util.tree_leaves_with_path(params)
    chosen = jax.tree.structure(params).flatten_up_to(selector)
    by_path = {
        path: (leaf.shape, pick)
        for (path, leaf), pick in zip(paths, chosen, strict=True)
    }
    lengths = sorted({len(path) for path in by_path}, reverse=True)

    def apply(path: tuple[Any, ...], leaf: Any, *rest: Any) -> Any:
        for length in lengths:
            found = by_path.get(path[len(path) - length :])
            if found and length <= len(path):
                shape, pick = found
                if pick is not None and jnp.shape(leaf) == shape:
                    return f(pick, leaf, *rest)
        return leaf

    return jax.tree_util.tree_map_with_path(apply, *states)
