"""Floating-point operations of training and inference, from numbers of weights.

Convention, that of Evci et al. 2020 (RigL, arXiv:1911.11134, appendix H): a
multiply-add is 2 FLOPs, and only the products with weights are counted. Biases,
activations, the loss, the optimizer and the selection of a rewire are left out. The
backward pass costs twice the forward pass, as if the gradient with respect to the
network's input were made too. Costs are those of a machine that skips zeros. All
numbers are Python integers, so they are exact at any size.
"""

import operator
from collections.abc import Sequence
from typing import Literal, get_args

from sparse_search.errors import one_of

# How a method grows connections, and so what a rewire computes: nothing more (dense
# and static networks, "none"; SET, "random") or a dense weight gradient (RigL; SNFS
# at every step, "momentum").
Growth = Literal["none", "random", "gradient", "momentum"]


def inference_flops(nnz_per_layer: Sequence[int]) -> int:
    """FLOPs of the forward pass of one example.

    Args:
        nnz_per_layer: active weights of every fully connected layer, its size for a
            dense one.
    """
    return 2 * sum(map(operator.index, nnz_per_layer))


def train_flops(
    growth: Growth,
    nnz_per_layer: Sequence[int],
    sizes_per_layer: Sequence[int],
    *,
    steps: int,
    rewires: int,
    batch_size: int,
) -> int:
    """FLOPs of a whole training run with a constant number of weights.

    Each step costs three forward passes: forward, gradient with respect to the
    layers' inputs, gradient with respect to the weights. Where growth follows the
    gradient, the weight gradient of the step that feeds a rewire is dense, and costs
    2 · size for every layer and example in place of 2 · nnz; where it follows a
    running mean of gradients, every step's is dense.

    Args:
        growth: what a rewire needs.
        nnz_per_layer: active weights of every layer.
        sizes_per_layer: all weights of every layer, fan-in times fan-out.
        steps: gradient evaluations, those that feed a rewire among them.
        rewires: how many of the steps feed a rewire.
        batch_size: examples in a step.

    Raises:
        UserError: `growth` is not known.
        ValueError: there are more rewires than steps, or a layer has more weights
            than its size.
    """
    if growth not in get_args(Growth):
        raise one_of("growth", growth, get_args(Growth))
    steps, rewires, batch_size = map(operator.index, (steps, rewires, batch_size))
    if not 0 <= rewires <= steps:
        raise ValueError(f"{steps} steps cannot hold {rewires} rewires.")
    if any(n > s for n, s in zip(nnz_per_layer, sizes_per_layer, strict=True)):
        raise ValueError(
            f"Layers of sizes {list(sizes_per_layer)} cannot hold "
            f"{list(nnz_per_layer)} weights."
        )
    forward = inference_flops(nnz_per_layer)
    flops = 3 * forward * steps
    dense = {"gradient": rewires, "momentum": steps}.get(growth, 0)
    flops += (inference_flops(sizes_per_layer) - forward) * dense
    return flops * batch_size
