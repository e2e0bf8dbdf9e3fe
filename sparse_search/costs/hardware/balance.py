"""How unevenly work is spread over processing elements, which wait for the last.

Neurons are dealt to the elements in turn, as the machines here do it: the n-th to
element n modulo P. With a mask the work of each element is counted. Without one,
weights lie anywhere with equal chance, and the expected work of the busiest of P
elements is

    E[max] = Σₖ 1 − Πₚ P(workₚ ≤ k)

with the work of every element binomial, or a sum of numbers that are rounded up.
"""

import functools
from typing import Any

import numpy as np
from jaxtyping import Shaped

_RARE = 1e-12  # what is rarer than this adds nothing


def busiest(work: Shaped[np.ndarray, " neurons"], elements: int) -> float:
    """The work of the element that has most.

    Args:
        work: of every neuron.
        elements: that the neurons are dealt to.
    """
    return float(np.bincount(np.arange(len(work)) % elements, weights=work).max())


def dealt(neurons: int, elements: int) -> tuple[tuple[int, int], ...]:
    """How many elements get how many neurons; those that get none are left out."""
    least, more = divmod(neurons, elements)
    groups = ((more, least + 1), (elements - more, least))
    return tuple((n, each) for n, each in groups if n and each)


@functools.lru_cache(maxsize=2**14)
def busiest_binomial(
    neurons: int, entries: int, density: float, elements: int
) -> float:
    """The expected weights of the element that has most.

    Args:
        neurons: that are dealt.
        entries: that every neuron has room for.
        density: the chance of each to hold a weight.
        elements: that the neurons are dealt to.
    """
    groups = [(n, each * entries) for n, each in dealt(neurons, elements)]
    if density >= 1:
        return float(max(trials for _, trials in groups))
    binomial = _binomial()
    low = min(int(binomial.ppf(_RARE, trials, density)) for _, trials in groups)
    high = max(int(binomial.isf(_RARE, trials, density)) for _, trials in groups)
    k = np.arange(low, high + 1)
    every = sum(n * binomial.logcdf(k, trials, density) for n, trials in groups)
    return float(low - np.expm1(every).sum())


@functools.lru_cache(maxsize=2**14)
def busiest_rounded(
    groups: tuple[tuple[int, int], ...], entries: int, density: float, by: int
) -> float:
    """The expected work of the busiest element, neurons working off weights in vectors.

    Args:
        groups: how many elements have how many neurons, as `dealt` gives them.
        entries: that every neuron has room for.
        density: the chance of each to hold a weight.
        by: the weights of a vector; a neuron takes as many steps as it fills in part.
    """
    chance = _steps(entries, density, by)
    most = max(each for _, each in groups) * (len(chance) - 1)
    every = np.ones(most + 1)
    for n, each in groups:
        # The distribution of a sum is a power of its transform.
        size = each * (len(chance) - 1) + 1
        summed = np.fft.irfft(np.fft.rfft(chance, size) ** each, size)
        below = np.minimum(np.cumsum(np.maximum(summed, 0)), 1)
        every[:size] *= below**n
    return float((1 - every[:-1]).sum())


@functools.lru_cache(maxsize=2**14)
def rounded_up(entries: int, density: float, by: int) -> float:
    """The mean of a neuron's steps: of ⌈weights / by⌉, the weights binomial."""
    chance = _steps(entries, density, by)
    return float(chance @ np.arange(len(chance)))


def _steps(entries: int, density: float, by: int) -> np.ndarray:
    """The chances of 0, 1, … steps."""
    ends = np.minimum(by * np.arange(-(-entries // by) + 1), entries)
    return np.diff(_binomial().cdf(ends, entries, min(density, 1.0)), prepend=0.0)


def _binomial() -> Any:
    from scipy import stats  # takes a second, that reports without hardware save

    return stats.binom
