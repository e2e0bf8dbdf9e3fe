"""A dense GPU: zeros are multiplied like all else.

Limits are those of NVIDIA's data sheets, without sparsity: products of bfloat16 in
tensor cores, the memory beside the chip, and the most power that the board may draw.

    A100 80 GB SXM    312 TFLOP/s     2,039 GB/s    400 W    (data sheet, 2021)
    H100 80 GB SXM    989.4 TFLOP/s   3,350 GB/s    700 W    (data sheet, 2023)

Weights, activations and gradients move as bfloat16; the optimizer keeps float32. Energy
is the board's power for all of the time, and so a bound from above.
"""

from typing import NamedTuple

from sparse_search.costs.hardware.machine import Batch, Cost, Hardware, Pass
from sparse_search.costs.hardware.roofline import UPDATE_BYTES, Roof

BYTES = 2  # of a number in bfloat16


class Board(NamedTuple):
    """A GPU's limits.

    Attributes:
        roof: arithmetic in bfloat16, and memory.
        watts: at most.
    """

    roof: Roof
    watts: float

    def cost(self, multiply_adds: float, moved: float) -> Cost:
        """Of some multiply-adds and bytes."""
        seconds = self.roof.seconds(multiply_adds, moved)
        return Cost(seconds, seconds * self.watts)


BOARDS = {
    "a100": Board(Roof(312e12, 2039e9), 400),
    "h100": Board(Roof(989.4e12, 3350e9), 700),
}


def dense(board: Board, batch: Batch) -> Cost:
    """Any of the three products, of all entries."""
    size = batch.layer.size
    return board.cost(size * batch.places, BYTES * (size + batch.numbers))


def gpu(name: str) -> Hardware:
    """One of `BOARDS`."""
    board = BOARDS[name]

    def product(batch: Batch, which: Pass) -> Cost:
        return dense(board, batch)

    def update(batch: Batch) -> Cost:
        return board.cost(0, UPDATE_BYTES * batch.layer.size)

    about = (
        f"{name.upper()}: a roofline of NVIDIA's data sheet (bfloat16, "
        f"{board.roof.flops / 1e12:.0f} TFLOP/s, {board.roof.bandwidth / 1e9:,.0f} "
        f"GB/s; energy: {board.watts:.0f} W for all of the time), which multiplies all "
        "entries"
    )
    return Hardware(name, about, product, update)
