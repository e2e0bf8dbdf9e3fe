"""How unevenly work is spread over processing elements, which wait for the last.

Neurons are dealt to the elements in turn, as the machines here do it: the n-th to
element n modulo P. With a mask the work of each element is counted. Without one,
weights lie anywhere with equal chance, and the expected work of the busiest of P
elements is

    E[max] = Σₖ 1 − Πₚ P(workₚ ≤ k)

with the work of every element binomial, or, where it is a sum of rounded numbers,
normal with the same mean and variance.
"""

import functools
import math

import numpy as np
from jaxtyping import Shaped
from scipy import special, stats

_RARE = 1e-12  # what is rarer than this adds nothing
_GRID = 513


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
    low = min(int(stats.binom.ppf(_RARE, trials, density)) for _, trials in groups)
    high = max(int(stats.binom.isf(_RARE, trials, density)) for _, trials in groups)
    k = np.arange(low, high + 1)
    every = sum(n * stats.binom.logcdf(k, trials, density) for n, trials in groups)
    return float(low - np.expm1(every).sum())


@functools.lru_cache(maxsize=2**14)
def busiest_normal(neurons: int, mean: float, sd: float, elements: int) -> float:
    """The same of work that has a mean and a standard deviation for every neuron."""
    groups = dealt(neurons, elements)
    if sd <= 0:
        return mean * max(each for _, each in groups)
    low = min(each * mean - 8 * sd * math.sqrt(each) for _, each in groups)
    high = max(each * mean + 8 * sd * math.sqrt(each) for _, each in groups)
    x = np.linspace(max(low, 0.0), high, _GRID)
    every = np.zeros_like(x)
    for n, each in groups:
        every += n * special.log_ndtr((x - each * mean) / (sd * math.sqrt(each)))
    return float(x[0] + np.trapezoid(-np.expm1(every), x))


@functools.lru_cache(maxsize=2**14)
def rounded_up(entries: int, density: float, by: int) -> tuple[float, float]:
    """Mean and standard deviation of ⌈weights / by⌉, the weights binomial.

    Args:
        entries: that may hold a weight.
        density: the chance of each.
        by: how many are taken at a time.
    """
    if density >= 1:
        return float(-(-entries // by)), 0.0
    low = int(stats.binom.ppf(_RARE, entries, density))
    high = int(stats.binom.isf(_RARE, entries, density))
    k = np.arange(low, high + 1)
    chance = stats.binom.pmf(k, entries, density)
    chance /= chance.sum()
    steps = -(-k // by)
    mean = float(chance @ steps)
    return mean, math.sqrt(max(float(chance @ steps**2) - mean**2, 0.0))
