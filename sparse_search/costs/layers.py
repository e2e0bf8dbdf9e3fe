"""A network as its layers with weights: what all costs are computed from.

Operations are counted as in Evci et al. 2020 (RigL, arXiv:1911.11134, appendix H) and
the MicroNet challenge. An output that adds up n products takes n multiplications and
n - 1 additions, one more for its bias and one for its activation, whether it has them
or not: 2 n + 1 FLOPs together. So a layer takes 2 FLOPs for every use of every weight
that exists, and one for every output. Places of a window that lie in the padding count
as all others. Normalisation, pooling, softmax, sums of branches, loss, optimizer and
the selection of a rewire are left out. Costs are those of a machine that skips zeros.

All numbers are Python integers, exact at any size.
"""

import math
import operator
from collections.abc import Iterable, Mapping
from typing import NamedTuple


class Layer(NamedTuple):
    """A kernel and what one example does with it.

    Attributes:
        name: of the kernel, as in "params/Conv_0/kernel".
        shape: of the kernel: [inputs, outputs], or [rows, columns, inputs / groups,
            outputs]; of an embedding that computes logits, [tokens, width].
        uses: multiply-adds of every weight for one example: 1 in a fully connected
            layer, the output's places in a convolution, positions in a text.
        nnz: weights that exist; the size where the layer is dense.
        sparse: whether it is sparsified.
        inputs: numbers that one example gives it, over all places and positions.
        outputs: numbers that it makes of one example.
    """

    name: str
    shape: tuple[int, ...]
    uses: int
    nnz: int
    sparse: bool
    inputs: int
    outputs: int

    @property
    def size(self) -> int:
        """Entries of the kernel."""
        return math.prod(self.shape)

    @property
    def density(self) -> float:
        """Weights that exist, of all entries."""
        return self.nnz / self.size

    @property
    def flops(self) -> int:
        """Of the forward pass of one example."""
        return 2 * self.nnz * self.uses + self.outputs

    @property
    def dense_flops(self) -> int:
        """The same, were all weights there."""
        return 2 * self.size * self.uses + self.outputs


class Network(NamedTuple):
    """A network as costs see it.

    Attributes:
        layers: in forward order; sparsified kernels, and all that are multiplied with.
        others: parameters outside of the layers: biases, norms, embeddings.
        products: multiply-adds of one example that no weight takes part in, those of
            attention.
        is_chain: whether every layer sees the one before it and nothing else.
    """

    layers: tuple[Layer, ...]
    others: int
    products: int
    is_chain: bool = False


def with_counts(layers: Iterable[Layer], counts: Mapping[str, int]) -> list[Layer]:
    """The layers with other numbers of weights; what is not named stays as it is.

    Args:
        layers: of a network.
        counts: the nnz of layers, by name.

    Raises:
        ValueError: a layer has more weights than its size, or a name is of none.
    """
    found = []
    names = set(counts)
    for layer in layers:
        nnz = operator.index(counts.get(layer.name, layer.nnz))
        if not 0 <= nnz <= layer.size:
            raise ValueError(f"{layer.name} of size {layer.size} cannot hold {nnz}.")
        names.discard(layer.name)
        found.append(layer._replace(nnz=nnz))
    if names:
        raise ValueError(f"There are no layers {sorted(names)}.")
    return found
