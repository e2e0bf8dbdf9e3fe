"""Block-sparse kernels on a GPU: blocks that hold a weight are multiplied whole.

Gray, Radford and Kingma 2017, "GPU kernels for block-sparse weights", introduced them;
Gale et al. 2023 (MegaBlocks, arXiv:2211.15841, section 6.3) measure 98.6 % of the rate
of dense products on an A100, in the mean, with blocks of 128 × 128, for all three
products of training. That rate is taken for all sides; smaller blocks reach less of it
on real machines, since a loaded number is used fewer times. A block's place takes 4
bytes. Blocks at the end of a layer are padded.

Without a mask, weights lie anywhere: a block of b entries is empty with the chance
that none of the layer's n weights falls in it, C(size − b, n) / C(size, n).
"""

import math

from scipy.special import gammaln

from sparse_search.costs import occupancy
from sparse_search.costs.hardware.gpu import BOARDS, BYTES, dense
from sparse_search.costs.hardware.machine import Batch, Cost, Hardware, Pass
from sparse_search.costs.hardware.roofline import UPDATE_BYTES

_OF_DENSE = 0.986
_INDEX = 4  # bytes of a block's place


def block_sparse(name: str, side: int) -> Hardware:
    """A GPU, one of `gpu.BOARDS`, with blocks of side × side."""
    board = BOARDS[name]

    def product(batch: Batch, which: Pass) -> Cost:
        if not batch.layer.sparse:
            return dense(board, batch)
        blocks = occupied(batch, side)
        entries = blocks * side**2
        moved = BYTES * (entries + batch.numbers) + _INDEX * blocks
        return board.cost(entries * batch.places / _OF_DENSE, moved)

    def update(batch: Batch) -> Cost:
        if not batch.layer.sparse:
            return board.cost(0, UPDATE_BYTES * batch.layer.size)
        return board.cost(0, UPDATE_BYTES * occupied(batch, side) * side**2)

    about = (
        f"{name.upper()} with block-sparse kernels (Gray et al. 2017; MegaBlocks, Gale "
        f"et al. 2023), which multiply every block of {side}×{side} that holds a weight"
    )
    return Hardware(f"{name}-block{side}", about, product, update)


def occupied(batch: Batch, side: int) -> float:
    """How many blocks hold a weight; expected, where there is no mask."""
    if batch.mask is not None:
        return float(occupancy.blocks(batch.mask, side))
    found = 0.0
    for down, height in _cut(batch.rows, side):
        for across, width in _cut(batch.columns, side):
            found += down * across * (1 - _empty(batch, height * width))
    return found


def _cut(length: int, side: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """How many parts of which length an axis is cut into."""
    return (length // side, side), (1 if length % side else 0, length % side)


def _empty(batch: Batch, entries: int) -> float:
    size, nnz = batch.layer.size, batch.layer.nnz
    if nnz > size - entries:
        return 0.0
    left = gammaln(size - entries + 1) - gammaln(size - entries - nnz + 1)
    return math.exp(left - gammaln(size + 1) + gammaln(size - nnz + 1))
