"""Effective parameters: those that an input can act through on an output.

A sparse network may hold weights that compute nothing, because they end in a neuron
without outgoing weights or start in one without incoming weights. Counted are the
parameters that are left without them, as in the effective sparsity of Vysogorets and
Kempe 2023, "Connectivity matters", arXiv:2107.02306.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool


class Effective(NamedTuple):
    """What of a network lies on a path from an input to an output.

    Attributes:
        parameters: effective weights and biases together.
        nnz: effective weights in all layers.
        dead: hidden neurons that lie on no path, per hidden layer.
    """

    parameters: int
    nnz: int
    dead: tuple[int, ...]


def effective(
    masks: Sequence[Bool[np.ndarray, "fan_in fan_out"]], *, biases: bool
) -> Effective:
    """Counts the effective parameters of a chain of fully connected layers.

    A weight counts if an input reaches the neuron it comes from and the neuron it
    goes to reaches an output. A bias counts if its hidden neuron lies on such a path;
    a neuron without incoming weights is a constant and does not. The biases of all
    outputs count, connected or not: each shifts its output.

    Args:
        masks: the stored weights of every layer in forward order, all True for a
            dense layer.
        biases: whether every neuron has a bias.

    Raises:
        ValueError: there is no layer, or masks do not form a chain.
    """
    if not masks or any(mask.dtype != bool for mask in masks):
        raise ValueError("Masks must be a non-empty list of bool arrays.")
    for left, right in pairwise(masks):
        if left.shape[1] != right.shape[0]:
            raise ValueError(
                f"A layer with {left.shape[1]} outputs cannot be followed by one "
                f"with {right.shape[0]} inputs."
            )
    # Of each layer of neurons, inputs first: is it reached, does it reach an output?
    reached = [np.ones(masks[0].shape[0], bool)]
    for mask in masks:
        reached.append(np.logical_or.reduce(mask[reached[-1]], axis=0))
    useful = [np.ones(masks[-1].shape[1], bool)]
    for mask in reversed(masks):
        useful.insert(0, np.logical_or.reduce(mask[:, useful[0]], axis=1))
    nnz = sum(
        int(np.count_nonzero(mask[np.ix_(source, target)]))
        for mask, source, target in zip(masks, reached, useful[1:], strict=False)
    )
    alive = [
        int(np.count_nonzero(source & target))
        for source, target in zip(reached[1:-1], useful[1:-1], strict=True)
    ]
    dead = tuple(
        mask.shape[1] - count for mask, count in zip(masks, alive, strict=False)
    )
    bias_count = sum(alive) + masks[-1].shape[1] if biases else 0
    return Effective(parameters=nnz + bias_count, nnz=nnz, dead=dead)
