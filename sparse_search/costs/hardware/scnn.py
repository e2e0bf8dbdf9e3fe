"""SCNN skips zero weights and activations: Parashar et al. 2017 (arXiv:1708.04485).

64 elements at 1 GHz, each with 4 × 4 multipliers (sections 3 and 4). The places of a
layer are divided among the elements, and all get all weights. Of an input channel, an
element multiplies every vector of 4 weights with every vector of 4 of its activations,
both without their zeros; what is left over of a last vector is idle (fragmentation).
Elements wait for the one with most activations. Weights and activations are 16 bits
each, beside 4 bits that count zeros.

Ours: a batch's examples count as places, as in fully connected layers there are no
others; activations that are not zero lie anywhere; elements wait at the end of a layer;
a convolution with a stride multiplies at every input's place, as the machine does, and
throws away; weights come from memory once a batch over 51.2 GB/s (64 bits of
LPDDR5-6400); contention for accumulators is left out. A training step's other products
run in the same way, that of the inputs over output channels, whose gradients have no
known zeros. Energy is that of multiply-adds, of weights from memory, of a vector of
weights and one of activations for every 16 products, and of an accumulator's access for
each (`energy`).
"""

import numpy as np

from sparse_search.costs import occupancy
from sparse_search.costs.hardware import balance, energy
from sparse_search.costs.hardware.machine import Batch, Cost, Hardware, Pass

ELEMENTS = 64
SIDE = 4
_HERTZ = 1e9
_BITS = 16
_INDEX_BITS = 4
_BANDWIDTH = 51.2e9
_BUFFER = 8  # kilobytes


def scnn() -> Hardware:
    """The machine of the paper."""

    def product(batch: Batch, which: Pass) -> Cost:
        back = which == "inputs"
        channels = batch.columns if back else _channels(batch)
        part = 1.0 if back else batch.activations
        numbers = batch.layer.outputs if back else batch.layer.inputs
        places = numbers // channels * batch.examples
        weights = _vectors(batch, channels, back)
        # Activations of one channel in an element; the channels' vectors add up.
        each, busy = -(-places // ELEMENTS), min(ELEMENTS, places)
        most = balance.busiest_rounded(((busy, channels),), each, part, SIDE)
        mean = balance.rounded_up(each, part, SIDE)
        cycles = weights.mean() * most
        fetched = batch.layer.nnz * (_BITS + _INDEX_BITS)
        seconds = max(cycles / _HERTZ, fetched / 8 / _BANDWIDTH)
        products = batch.layer.nnz * places * part
        buffer = energy.sram_bit(_BUFFER)
        joules = products * (energy.MULTIPLY_ADD_16 + 2 * _BITS * buffer)
        vectors = weights.sum() * mean * busy
        joules += vectors * 2 * SIDE * (_BITS + _INDEX_BITS) * buffer
        return Cost(seconds, joules + fetched * energy.DRAM_BIT)

    def update(batch: Batch) -> Cost:
        moved = 5 * _BITS * batch.layer.nnz  # gradient; weight and momentum, and back
        joules = moved * energy.DRAM_BIT
        joules += 2 * batch.layer.nnz * energy.MULTIPLY_ADD_16
        return Cost(moved / 8 / _BANDWIDTH, joules)

    about = (
        "SCNN (Parashar et al. 2017), idealised: 64 elements of 4×4 multipliers at "
        "1 GHz that skip zero weights and zero activations; energies of Horowitz 2014"
    )
    return Hardware("scnn", about, product, update)


def _channels(batch: Batch) -> int:
    """Input channels, of all groups of a convolution."""
    shape = batch.layer.shape
    if len(shape) == 2:
        return batch.rows
    depthwise = shape[-2] == 1 and batch.layer.inputs % shape[-1] == 0
    return shape[-1] if depthwise else shape[-2]


def _vectors(batch: Batch, channels: int, back: bool) -> np.ndarray:
    """Vectors of weights of every channel; one number for all, without a mask."""
    if batch.mask is not None:
        degrees = occupancy.fan_in(batch.mask)
        if not back:
            # The rows of a convolution are places of the window, then inputs.
            fan_out = occupancy.fan_out(batch.mask)
            degrees = fan_out.reshape(-1, channels).sum(axis=0)
        return np.ceil(degrees / SIDE)
    each = batch.layer.size // channels
    mean = balance.rounded_up(each, batch.density, SIDE)
    return np.full(channels, mean)
