"""Energy of single operations, in joules: Horowitz 2014.

M. Horowitz, "Computing's energy problem (and what we can do about it)", ISSCC 2014,
figure 1.1.9: 45 nm, 0.9 V. Reads of caches are of 64 bits; between the three sizes of
the table the logarithm of the energy is interpolated over that of the size, and beyond
its ends nothing is extrapolated. Of DRAM the lower end, 1.3 to 2.6 nJ for 64 bits, is
taken. Other technologies differ by a common factor; ratios between networks are what
these numbers are good for.
"""

import math

PICO = 1e-12

MULTIPLY_ADD_16 = (1.1 + 0.4) * PICO
"""Floating point, 16 bits."""
MULTIPLY_ADD_32 = (3.7 + 0.9) * PICO
"""Floating point, 32 bits."""
DRAM_BIT = 1300 * PICO / 64

_CACHES = ((8, 10.0), (32, 20.0), (1024, 100.0))  # kilobytes, pJ for 64 bits


def sram_bit(kilobytes: float) -> float:
    """A bit read from, or written to, a memory on the chip of some size."""
    sizes = [math.log(size) for size, _ in _CACHES]
    values = [math.log(value) for _, value in _CACHES]
    at = min(max(math.log(kilobytes), sizes[0]), sizes[-1])
    for k in (0, 1):
        if at <= sizes[k + 1]:
            part = (at - sizes[k]) / (sizes[k + 1] - sizes[k])
            found = values[k] + part * (values[k + 1] - values[k])
            return math.exp(found) * PICO / 64
    raise AssertionError
