"""EIE skips zero weights and zero activations: Han et al. 2016 (arXiv:1602.01528).

64 elements at 800 MHz, a multiply-add each a cycle. Outputs are dealt to
the elements in turn, and an activation that is not zero is broadcast to all, which then
multiply it with their weights of that input. Queues even out what differs from input to
input, so that an element's work is that of all its weights and the layer
waits for the element with most. A weight is stored as 4 bits that choose one of 16
values and 4 bits that count the zeros before it among the element's outputs of the
input; where more than 15 lie between, a stored zero is multiplied (section III.B). So
very sparse layers hardly become faster: with 1 % of the weights, most of what is
multiplied are such zeros. All weights lie in the elements' own memories, of 128 KB.

Ours: the memory is taken to hold any network; a training step's other two products run
in the same way (weights dealt by inputs for the gradient of the inputs), although the
chip is for inference and shares values; energy is that of a 16-bit multiply-add, of the
byte of weight and index, and of broadcast activations of 16 bits (`energy`).
"""

from typing import Any

import numpy as np

from sparse_search.costs import occupancy
from sparse_search.costs.hardware import balance, energy
from sparse_search.costs.hardware.machine import Batch, Cost, Hardware, Pass

ELEMENTS = 64
_HERTZ = 800e6
_RUN = 16  # zeros that cost a stored one
_ENTRY_BITS = 8
_ACTIVATION_BITS = 16
_MEMORY = 128  # kilobytes of weights in an element


def eie() -> Hardware:
    """The machine of the paper."""

    def product(batch: Batch, which: Pass) -> Cost:
        busiest, stored = _work(batch, transposed=which == "inputs")
        part = 1.0 if which == "inputs" else batch.activations
        times = batch.places * part
        seconds = busiest * times / _HERTZ
        memory = energy.sram_bit(_MEMORY)
        joules = times * stored * (energy.MULTIPLY_ADD_16 + _ENTRY_BITS * memory)
        spread = batch.layer.outputs if which == "inputs" else batch.layer.inputs
        joules += spread * batch.examples * part * _ACTIVATION_BITS * memory
        return Cost(seconds, joules)

    def update(batch: Batch) -> Cost:
        busiest, stored = _work(batch, transposed=False)
        # Weight and momentum, read and written.
        bits = 4 * _ACTIVATION_BITS * energy.sram_bit(_MEMORY)
        return Cost(busiest / _HERTZ, stored * (bits + 2 * energy.MULTIPLY_ADD_16))

    about = (
        "EIE (Han et al. 2016), idealised: 64 elements at 800 MHz that skip zero "
        "weights and zero activations; indices of 4 bits, energies of Horowitz 2014"
    )
    return Hardware("eie", about, product, update)


def _work(batch: Batch, transposed: bool) -> tuple[float, float]:
    """Stored entries of the busiest element, and of all."""
    rows, columns = batch.rows, batch.columns
    if transposed:
        rows, columns = columns, rows
    if batch.mask is not None:
        mask = occupancy.matrix(batch.mask)
        work = entries(mask.T if transposed else mask)
        return float(work.max()), float(work.sum())
    busiest = balance.busiest_binomial(columns, rows, batch.density, ELEMENTS)
    outputs = [each for n, each in balance.dealt(columns, ELEMENTS) for _ in range(n)]
    stored = rows * sum(expected_entries(each, batch.density) for each in outputs)
    return busiest * stored / max(batch.layer.nnz, 1), stored


def expected_entries(outputs: int, density: float) -> float:
    """Entries that an element stores of one input, weights and zeros to skip further.

    A weight at the t-th output has a stored zero before it for every 16 zeros in a row
    that end there: d · Σₜ Σₘ (1 − d)^(16 m), with 16 m ≤ t.
    """
    m = np.arange(1, (outputs - 1) // _RUN + 1)
    fillers = ((outputs - _RUN * m) * (1 - density) ** (_RUN * m)).sum()
    return float(density * (outputs + fillers))


def entries(mask: Any) -> np.ndarray:
    """Entries that every element stores of a mask [inputs, outputs]."""
    rows, columns = mask.tocoo().coords if hasattr(mask, "tocoo") else mask.nonzero()
    element, place = columns % ELEMENTS, columns // ELEMENTS
    order = np.lexsort((place, rows, element))
    element, row, place = element[order], rows[order], place[order]
    before = np.full(len(place), -1)
    same = (element[1:] == element[:-1]) & (row[1:] == row[:-1])
    before[1:][same] = place[:-1][same]
    stored = 1 + (place - before - 1) // _RUN
    return np.bincount(element, weights=stored, minlength=ELEMENTS)
