"""What trained networks look like: degrees, densities, and overlap between seeds.

The overlap of two masks of n and m weights is |A ∩ B| / √(n m): 1 where they are the
same, and for random masks about the density. Hidden neurons have no order, so masks
are also compared after the neurons of one network have been put into the order that
makes it most like the other: layer by layer an assignment problem (as weights are
matched in Ainsworth et al. 2023, "Git Re-Basin", arXiv:2209.04836, algorithm 1), until
nothing changes. That finds likeness in noise, too, so every overlap stands beside that
of random masks of the same counts, treated in the same way.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment

_SWEEPS = 20
WIDEST = 1024
"""Neurons of a layer up to which networks are matched: an assignment is cubic."""


class Layer(NamedTuple):
    """One layer of a trained network.

    Attributes:
        nnz: its weights.
        density: nnz over its size.
        fan_in: (outputs,) weights of every neuron.
        fan_out: (inputs,) weights that every input goes into.
    """

    nnz: int
    density: float
    fan_in: np.ndarray
    fan_out: np.ndarray


class Overlap(NamedTuple):
    """How much of two networks of the same layers is the same.

    Attributes:
        value: over all layers, neurons as they are.
        chance: of random masks with as many weights in every layer.
        matched: neurons in the order that makes it largest; NaN where networks are no
            chain of dense layers, or wider than `WIDEST`.
        matched_chance: likewise of random masks.
    """

    value: float
    chance: float
    matched: float
    matched_chance: float


def layer(mask: Any) -> Layer:
    """The statistics of one layer.

    Args:
        mask: a bool array whose last axis is outputs, or a matrix of SciPy.
    """
    if isinstance(mask, np.ndarray):
        mask = mask.reshape(-1, mask.shape[-1])
    fan_in = np.asarray(mask.sum(axis=0)).ravel()
    fan_out = np.asarray(mask.sum(axis=1)).ravel()
    size = int(mask.shape[0]) * int(mask.shape[1])
    return Layer(int(fan_in.sum()), float(fan_in.sum() / size), fan_in, fan_out)


def overlap(
    first: Sequence[np.ndarray], second: Sequence[np.ndarray], seed: int = 0
) -> Overlap:
    """Compare the masks of two networks.

    Args:
        first: masks, from the first layer on.
        second: masks of the same shapes.
        seed: of the random masks.
    """
    rng = np.random.default_rng(seed)
    random = [_random_like(mask, rng) for mask in second]
    sides = [mask.shape[-1] for mask in first[:-1]]
    chained = all(
        one.ndim == other.ndim == 2 and one.shape[1] == other.shape[0]
        for one, other in pairwise(first)
    )
    matched = matched_chance = np.nan
    if chained and max(sides, default=0) <= WIDEST:
        matched = _common(first, match(first, second))
        matched_chance = _common(first, match(first, random))
    return Overlap(
        _common(first, second), _common(first, random), matched, matched_chance
    )


def match(
    first: Sequence[np.ndarray], second: Sequence[np.ndarray]
) -> list[np.ndarray]:
    """Put the hidden neurons of the second network into the order of the first.

    Args:
        first: masks [inputs, outputs] of a chain of layers.
        second: masks of the same shapes.

    Returns:
        The masks of the second, with rows and columns of hidden neurons permuted.
    """
    one = [mask.astype(np.float32) for mask in first]
    other = [mask.astype(np.float32) for mask in second]
    for _ in range(_SWEEPS):
        changed = False
        for hidden in range(len(one) - 1):
            below, above = hidden, hidden + 1
            gain = one[below].T @ other[below] + one[above] @ other[above].T
            rows, order = linear_sum_assignment(gain, maximize=True)
            # Only what is better counts, or equal orders would follow each other.
            if gain[rows, order].sum() > np.trace(gain) + 0.5:
                other[below] = other[below][:, order]
                other[above] = other[above][order]
                changed = True
        if not changed:
            break
    return [mask.astype(bool) for mask in other]


def _common(first: Sequence[np.ndarray], second: Sequence[np.ndarray]) -> float:
    shared = sum(int((a & b).sum()) for a, b in zip(first, second, strict=True))
    sizes = [sum(int(mask.sum()) for mask in masks) for masks in (first, second)]
    return shared / max(float(np.sqrt(sizes[0] * sizes[1])), 1.0)


def _random_like(mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    made = np.zeros(mask.size, bool)
    made[rng.permutation(mask.size)[: int(mask.sum())]] = True
    return made.reshape(mask.shape)
