"""What a network begins with that inherits the weights and masks of another.

After Real et al. 2017 (arXiv:1703.01041), whose mutated networks keep "the weights of
as many layers as possible": the first layers take after the first, the last after the
last. There a layer keeps its weights where shapes agree. Here a layer of another shape
takes the part that both have; and every layer has exactly its own number of weights, so
that what is inherited is cut, or filled up:

    common = the parent's weights in min(shape, parent's shape)
    more than n: the n of them with the largest magnitude
    fewer than n: all of them, and some of the n that the child's own mask has elsewhere
"""

import os
from collections.abc import Mapping

import numpy as np

from sparse_search import results
from sparse_search.algorithms.base import SparseAlgorithm
from sparse_search.masks.patterns import UNSTRUCTURED
from sparse_search.names import natural
from sparse_search.results import Result


def can_inherit(algorithm: SparseAlgorithm) -> bool:
    """Whether an algorithm can begin with any mask: those that exchange weights."""
    return algorithm.exchange is not None and algorithm.pattern is UNSTRUCTURED


def inherited(own: Result, parent: Result, seed: int) -> Result:
    """The beginning of a child.

    Args:
        own: what it would begin with had it no parent: arrays.
        parent: as its training ended.
        seed: of which of its own connections fill up what is inherited.

    Returns:
        Parameters and masks, with as many weights in every layer as in `own`.
    """
    rng = np.random.default_rng(seed)
    ancestors = _ancestors(own.masks, parent.masks)
    params, masks = {**own.params, **own.statistics}, dict(own.masks)
    theirs = {**parent.params, **parent.statistics}
    for name, fresh in list(params.items()):
        layer, leaf = os.path.split(name)
        ancestor = f"{ancestors.get(layer, layer)}/{leaf}"
        before = theirs.get(ancestor)
        if before is None or before.ndim != fresh.ndim:
            continue
        if layer in ancestors.values() and layer not in ancestors:
            continue  # of the same name, but it is another layer's
        common = tuple(
            slice(min(sizes)) for sizes in zip(fresh.shape, before.shape, strict=True)
        )
        there = np.zeros(fresh.shape, bool)
        weights = np.zeros_like(fresh)
        weights[common] = before[common]
        if ancestor in parent.params:
            there[common] = results.stored(parent, ancestor)[common]
        else:
            there[common] = True
        if name in masks:
            there, masks[name] = _cut_or_filled(there, weights, masks[name], rng)
            fresh = np.where(masks[name], fresh, 0)
        params[name] = np.where(there, weights, fresh).astype(fresh.dtype)
    statistics = {name: params.pop(name) for name in own.statistics}
    return Result(params, masks, statistics)


def _ancestors(own: Mapping[str, object], parent: Mapping[str, object]) -> dict:
    """The layer of the parent that every layer takes after, where there is one."""
    mine, theirs = (
        [os.path.dirname(name) for name in sorted(masks, key=natural)]
        for masks in (own, parent)
    )
    shared = min(len(mine), len(theirs)) - 1
    pairs = zip(mine[:shared], theirs[:shared], strict=True)
    return {**dict(pairs), mine[-1]: theirs[-1]}


def _cut_or_filled(
    there: np.ndarray, weights: np.ndarray, own: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """What is inherited of a layer, and the whole mask, of as many as `own` has."""
    missing = int(own.sum()) - int(there.sum())
    if missing < 0:
        # In the order of their magnitude, and of their places where it is equal.
        present = np.flatnonzero(there)
        order = np.argsort(-np.abs(weights.ravel()[present]), kind="stable")
        there = np.zeros_like(there)
        there.ravel()[present[order[: int(own.sum())]]] = True
        return there, there
    mask = there.copy()
    candidates = np.flatnonzero(own & ~there)
    mask.ravel()[rng.permutation(candidates)[:missing]] = True
    return there, mask
