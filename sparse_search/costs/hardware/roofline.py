"""The roofline: time is that of the arithmetic or of the memory, whichever is longer.

Williams, Waterman and Patterson 2009, "Roofline", CACM 52(4). Operations and bytes of
one product overlap; products follow each other. Bytes are those that must move once:
weights, inputs, outputs; what a cache cannot hold and fetches again is not counted.
"""

from typing import NamedTuple

UPDATE_BYTES = 20
"""Of a weight in a step of momentum SGD in float32: weight, gradient and momentum are
read, weight and momentum written."""


class Roof(NamedTuple):
    """A machine's two limits.

    Attributes:
        flops: operations a second, a multiply-add counted as 2.
        bandwidth: bytes a second from and to memory.
    """

    flops: float
    bandwidth: float

    def seconds(self, multiply_adds: float, moved: float) -> float:
        """The time of some multiply-adds and of some bytes that are moved."""
        return max(2 * multiply_adds / self.flops, moved / self.bandwidth)
