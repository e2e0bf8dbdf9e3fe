"""Cnvlutin skips zero activations: Albericio et al. 2016 (ISCA).

DaDianNao's 16 units at 606 MHz (Chen et al. 2014), each for 16 outputs at a time with
16 lanes of multipliers: 256 outputs and 16 inputs a cycle, 4,096 multiply-adds. In
Cnvlutin the 16 lanes take the inputs that are not zero, each from its own part of a
window, and wait for each other at its end. Activations are stored without
zeros, with an offset of 4 bits beside their 16. Zero weights are
multiplied like all others, and all weights lie in memory on the chip.

Ours: all layers are treated so, fully connected ones too; inputs that are not zero lie
anywhere, so that a lane's number is binomial; the gradient of the inputs, whose operand
has no known zeros, and that of the weights take as many units, lanes and cycles as the
forward product of their shapes. Energy is that of multiply-adds, of a weight of 16 bits
from a memory of 1 MB or more for each, and of activations (`energy`).
"""

from sparse_search.costs.hardware import balance, energy
from sparse_search.costs.hardware.machine import Batch, Cost, Hardware, Pass

LANES = 16
OUTPUTS = 256
_HERTZ = 606e6
_BITS = 16
_OFFSET_BITS = 4
_WEIGHTS = 1024  # kilobytes
_ACTIVATIONS = 32


def cnvlutin() -> Hardware:
    """The machine of the paper."""

    def product(batch: Batch, which: Pass) -> Cost:
        rows, columns, part = batch.rows, batch.columns, batch.activations
        if which == "inputs":
            rows, columns, part = columns, rows, 1.0
        # Every input is the only "neuron" entry that is dealt to a lane.
        lane = balance.busiest_binomial(rows, 1, part, LANES) if part else 0.0
        cycles = -(-columns // OUTPUTS) * lane * batch.places
        weights = energy.MULTIPLY_ADD_16 + _BITS * energy.sram_bit(_WEIGHTS)
        joules = part * batch.layer.size * batch.places * weights
        bits = (_BITS + _OFFSET_BITS) * part * batch.numbers
        return Cost(cycles / _HERTZ, joules + bits * energy.sram_bit(_ACTIVATIONS))

    def update(batch: Batch) -> Cost:
        size = batch.layer.size
        # Weight and momentum, read and written, by all multipliers at once.
        bits = 4 * _BITS * energy.sram_bit(_WEIGHTS)
        seconds = 2 * size / (LANES * OUTPUTS) / _HERTZ
        return Cost(seconds, size * (bits + 2 * energy.MULTIPLY_ADD_16))

    about = (
        "Cnvlutin (Albericio et al. 2016), idealised: 4,096 multipliers at 606 MHz "
        "that skip zero activations and no weights; energies of Horowitz 2014"
    )
    return Hardware("cnvlutin", about, product, update)
