"""Effective parameters: those that an input can act through on an output.

A sparse network may hold weights that compute nothing, because they end in a neuron
without outgoing weights or start in one without incoming weights. Counted are the
parameters that are left without them, as in the effective sparsity of Vysogorets and
Kempe 2023, "Connectivity matters", arXiv:2107.02306.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from scipy.sparse import csr_array


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


def effective(masks: Sequence[Any], *, biases: bool) -> Effective:
    """Counts the effective parameters of a chain of fully connected layers.

    A weight counts if an input reaches the neuron it comes from and the neuron it
    goes to reaches an output. A bias counts if its hidden neuron lies on such a path;
    a neuron without incoming weights is a constant and does not. The biases of all
    outputs count, connected or not: each shifts its output.

    Args:
        masks: the stored weights of every layer [fan-in, fan-out] in forward order, as
            bool arrays or bool matrices of SciPy; all True for a dense layer.
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
    matrices = [csr_array(mask, dtype=np.int64) for mask in masks]
    reached = [np.ones(masks[0].shape[0], bool)]
    for matrix in matrices:
        reached.append(matrix.T @ reached[-1].astype(np.int64) > 0)
    useful = [np.ones(masks[-1].shape[1], bool)]
    for matrix in reversed(matrices):
        useful.insert(0, matrix @ useful[0].astype(np.int64) > 0)
    nnz = sum(
        int(source.astype(np.int64) @ (matrix @ target.astype(np.int64)))
        for matrix, source, target in zip(matrices, reached, useful[1:], strict=False)
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
