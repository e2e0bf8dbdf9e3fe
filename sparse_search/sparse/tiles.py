"""The tiles that a layer is cut into, from its shape and number of weights."""

import math
from typing import NamedTuple

# Inputs and neurons of a tile by the density from which it is the fastest, as measured
# with rows of 128 numbers: small ones keep activations in the nearer cache, large ones
# have rows of some weights each.
_TILES = (
    (0.07, (128, 256)),
    (0.04, (256, 256)),
    (0.005, (1024, 1024)),
    (0.001, (4096, 4096)),
    (0.0003, (16384, 16384)),
)
_LARGEST_TILE = (65536, 65536)  # what 16 bits tell apart
_NARROW = 256


class Tile(NamedTuple):
    """The shape of a layer's tiles."""

    inputs: int
    neurons: int

    @property
    def narrow(self) -> bool:
        """Whether the shorter indices are enough."""
        return max(self) <= _NARROW


def tile_of(shape: tuple[int, int], capacity: int) -> Tile:
    """The tiles of a layer with room for a number of weights."""
    density = capacity / math.prod(shape)
    sizes = (size for least, size in _TILES if density >= least)
    inputs, neurons = next(sizes, _LARGEST_TILE)
    return Tile(min(inputs, shape[0]), min(neurons, shape[1]))


def tiles(shape: tuple[int, int], tile: Tile) -> tuple[int, int]:
    """How many tiles a layer has, along the inputs and the neurons."""
    return -(-shape[0] // tile.inputs), -(-shape[1] // tile.neurons)
