"""2:4 sparse tensor cores: twice the arithmetic where two of every four are zero.

Mishra et al. 2021 (arXiv:2104.08378), sections 2 and 3. The two weights of every four
that are stored are multiplied at twice the rate of the dense product, and need half of
its bytes and 2 bits each to say which they are. Nothing is gained beyond one half, and
nothing from zeros elsewhere. The four are consecutive along the dimension that is
summed over, so

- the forward product gains, where every four inputs hold at most two weights;
- that of the inputs' gradient sums over outputs: it gains only where the mask is 2:4
  both ways, "transposable" (Hubara et al. 2021, arXiv:2102.08124);
- that of the weights' gradient multiplies two dense matrices and never gains.

With a mask both are looked at. Without one, a layer counts as 2:4 along its inputs if
it has exactly half of its entries and whole groups of four.
"""

from sparse_search.costs import occupancy
from sparse_search.costs.hardware.gpu import BOARDS, BYTES, dense
from sparse_search.costs.hardware.machine import Batch, Cost, Hardware, Pass
from sparse_search.costs.hardware.roofline import UPDATE_BYTES

_STORED = (BYTES + 2 / 8) / 2  # bytes of an entry: half of them, each with 2 bits


def sparse_tensor_core(name: str) -> Hardware:
    """A GPU with them: one of `gpu.BOARDS`."""
    board = BOARDS[name]

    def product(batch: Batch, which: Pass) -> Cost:
        if not _gains(batch, which):
            return dense(board, batch)
        size = batch.layer.size
        moved = _STORED * size + BYTES * batch.numbers
        return board.cost(size / 2 * batch.places, moved)

    def update(batch: Batch) -> Cost:
        return board.cost(0, UPDATE_BYTES * batch.layer.size)

    about = (
        f"{name.upper()} with 2:4 sparse tensor cores (Mishra et al. 2021): twice as "
        "fast in the forward product of layers that are 2:4 along their inputs, dense "
        "in all else"
    )
    return Hardware(f"{name}-2:4", about, product, update)


def _gains(batch: Batch, which: Pass) -> bool:
    layer = batch.layer
    if which == "weights" or not layer.sparse:
        return False
    if batch.mask is None:
        whole = batch.rows % 4 == 0 and 2 * layer.nnz == layer.size
        return which == "forward" and whole
    mask = occupancy.matrix(batch.mask)
    return occupancy.at_most_two_of_four(mask if which == "forward" else mask.T)
