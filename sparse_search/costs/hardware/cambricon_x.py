"""Cambricon-X skips zero weights: Zhang et al. 2016 (MICRO-49).

16 elements at 1 GHz, each with 16 multipliers and a tree of adders: an
element makes one output after another, 16 of its weights a cycle, for which an indexing
module picks the inputs. Elements work asynchronously, so that a layer waits for the
element whose outputs have most weights; what is left over of an output's last 16 is
idle. Zero activations are multiplied like all others.

Ours: outputs are dealt to the elements in turn; a weight has 16 bits and its index 8;
weights come from memory once a batch, over 51.2 GB/s (64 bits of LPDDR5-6400; the paper
does not fix it); inputs and outputs stay on the chip, in buffers of 8 KB. A training
step's other products run in the same way. Energy is that of multiply-adds, of weights
from memory and from an element's buffer of 2 KB (`energy`, whose least size is 8), and
of one input for every weight.
"""

import numpy as np

from sparse_search.costs import occupancy
from sparse_search.costs.hardware import balance, energy
from sparse_search.costs.hardware.machine import Batch, Cost, Hardware, Pass

ELEMENTS = 16
MULTIPLIERS = 16
_HERTZ = 1e9
_BITS = 16
_INDEX_BITS = 8
_BANDWIDTH = 51.2e9
_BUFFER = 8  # kilobytes


def cambricon_x() -> Hardware:
    """The machine of the paper."""

    def product(batch: Batch, which: Pass) -> Cost:
        cycles = _cycles(batch, transposed=which == "inputs") * batch.places
        nnz, index = batch.layer.nnz, _INDEX_BITS if batch.layer.sparse else 0
        fetched = nnz * (_BITS + index)
        seconds = max(cycles / _HERTZ, fetched / 8 / _BANDWIDTH)
        read = (2 * _BITS + index) * energy.sram_bit(_BUFFER)
        joules = nnz * batch.places * (energy.MULTIPLY_ADD_16 + read)
        return Cost(seconds, joules + fetched * energy.DRAM_BIT)

    def update(batch: Batch) -> Cost:
        moved = 5 * _BITS * batch.layer.nnz  # gradient; weight and momentum, and back
        joules = moved * energy.DRAM_BIT
        joules += 2 * batch.layer.nnz * energy.MULTIPLY_ADD_16
        return Cost(moved / 8 / _BANDWIDTH, joules)

    about = (
        "Cambricon-X (Zhang et al. 2016), idealised: 16 elements of 16 multipliers at "
        "1 GHz that skip zero weights; energies of Horowitz 2014"
    )
    return Hardware("cambricon-x", about, product, update)


def _cycles(batch: Batch, transposed: bool) -> float:
    """Of the busiest element, for one place."""
    rows, columns = batch.rows, batch.columns
    if batch.mask is not None:
        degrees = (occupancy.fan_out if transposed else occupancy.fan_in)(batch.mask)
        return balance.busiest(np.ceil(degrees / MULTIPLIERS), ELEMENTS)
    if transposed:
        rows, columns = columns, rows
    groups = balance.dealt(columns, ELEMENTS)
    return balance.busiest_rounded(groups, rows, batch.density, MULTIPLIERS)
