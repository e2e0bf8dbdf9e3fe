"""Floating-point operations of inference and training, from numbers of weights.

`costs.layers` says what is counted in a forward pass; f(n) is what it takes of one
example with n weights in its layers. Training is counted as in Evci et al. 2020 (RigL,
arXiv:1911.11134, appendix H): the backward pass takes as much for the gradient with
respect to the layers' inputs (as if that of the network's input were made too), and
f(m) for the gradient with respect to m weights, which may be more than those that the
forward pass uses. So a step takes 3 f(n); one that feeds a rewire of RigL takes
2 f(n) + f(dense), and every step of SNFS.
"""

import operator
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

from sparse_search.costs.layers import Layer, Network
from sparse_search.names import natural

# What of the weights that do not exist a method needs the gradient of: nothing (dense
# and static networks, "none"; SET, "random"), all before a rewire (RigL), or all at
# every step (SNFS, "momentum").
Growth = Literal["none", "random", "gradient", "momentum"]


class Work(NamedTuple):
    """What counts of a network whose numbers of weights are not settled.

    Attributes:
        sizes: all weights of every sparse layer.
        uses: multiply-adds of every weight of these layers for one example.
        base: FLOPs of the forward pass that do not depend on their nnz: outputs,
            dense layers, products without weights.
    """

    sizes: tuple[int, ...]
    uses: tuple[int, ...]
    base: int

    def forward(self, nnz: Sequence[int]) -> int:
        """FLOPs of the forward pass of one example, by the nnz of sparse layers.

        Raises:
            ValueError: a layer has more weights than its size.
        """
        total = 0
        for n, size, uses in zip(nnz, self.sizes, self.uses, strict=True):
            n = operator.index(n)
            if not 0 <= n <= size:
                raise ValueError(f"A layer of size {size} cannot hold {n} weights.")
            total += 2 * n * int(uses)
        return self.base + total

    def most(self, nnz: int) -> tuple[int, ...]:
        """The division of so many weights among the layers that takes most FLOPs."""
        given = [0] * len(self.sizes)
        for layer in sorted(range(len(given)), key=lambda i: -self.uses[i]):
            given[layer] = min(nnz, self.sizes[layer])
            nnz -= given[layer]
        return tuple(given)


class Phase(NamedTuple):
    """Steps that are trained with the same numbers of weights.

    Attributes:
        steps: gradients.
        forward: the nnz of every sparse layer, as the forward pass sees it.
        gradient: how many weights of every sparse layer get a gradient.
    """

    steps: int
    forward: tuple[int, ...]
    gradient: tuple[int, ...]


def work_of(network: Network) -> Work:
    """What counts of a network; its sparse layers in the order of their names."""
    sparse = _sparse(network)
    base = 2 * network.products + sum(layer.outputs for layer in network.layers)
    base += sum(2 * k.nnz * k.uses for k in network.layers if not k.sparse)
    return Work(tuple(k.size for k in sparse), tuple(k.uses for k in sparse), base)


def counts_of(network: Network) -> tuple[int, ...]:
    """The nnz of the sparse layers, in the same order."""
    return tuple(layer.nnz for layer in _sparse(network))


def _sparse(network: Network) -> list[Layer]:
    found = (layer for layer in network.layers if layer.sparse)
    return sorted(found, key=lambda layer: natural(layer.name))


def inference_flops(layers: Iterable[Layer], products: int = 0) -> int:
    """FLOPs of the forward pass of one example.

    Args:
        layers: with the numbers of weights that exist.
        products: multiply-adds that no weight takes part in.
    """
    return sum(layer.flops for layer in layers) + 2 * products


def dense_inference_flops(layers: Iterable[Layer], products: int = 0) -> int:
    """The same, were all weights there."""
    return sum(layer.dense_flops for layer in layers) + 2 * products


def train_flops(work: Work, phases: Iterable[Phase], batch_size: int = 1) -> int:
    """FLOPs of a training.

    Args:
        work: what counts of the network.
        phases: all steps.
        batch_size: examples in a step.
    """
    total = 0
    for phase in phases:
        forward = work.forward(phase.forward)
        gradient = work.forward(phase.gradient)
        total += operator.index(phase.steps) * (2 * forward + gradient)
    return operator.index(batch_size) * total
