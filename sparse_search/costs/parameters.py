"""Effective parameters: those that an input can act through on an output.

A sparse network may hold weights that compute nothing, because they end in a neuron
without outgoing weights or start in one without incoming weights. Counted are the
parameters that are left without them, as in the effective sparsity of Vysogorets and
Kempe 2023, "Connectivity matters", arXiv:2107.02306.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.sparse import csr_array


class Effective(NamedTuple):
    """What of a network lies on a path from an input to an output.

    Attributes:
        parameters: effective weights and biases together.
        nnz: effective weights in all layers.
        neurons: inputs that lie on one, then neurons of every hidden layer: the
            architecture that is left, as in 408-100-69 of a 784-300-100.
    """

    parameters: int
    nnz: int
    neurons: tuple[int, ...]


def effective(
    masks: Sequence[Any], *, biases: bool | Sequence[int], groups: Sequence[int] = ()
) -> Effective:
    """Counts the effective parameters of a chain of layers.

    A weight counts if an input reaches the neuron it comes from and the neuron it
    goes to reaches an output. A bias counts if its hidden neuron lies on such a path;
    a neuron without incoming weights is a constant and does not. The biases of all
    outputs count, connected or not: each shifts its output.

    The channels of a convolution are its neurons, connected by any weight of their
    window. A fully connected layer behind it sees every channel at all places.

    Args:
        masks: the stored weights of every layer [fan-in, fan-out] in forward order, as
            bool arrays or bool matrices of SciPy, or of a convolution [rows, columns,
            inputs / groups, outputs]; all True for a dense layer.
        biases: whether every neuron has a bias, or how many parameters of its own the
            neurons of each layer have (two with batch normalisation).
        groups: of every layer; 1 where not given.

    Raises:
        ValueError: there is no layer, or masks do not form a chain.
    """
    if not masks or any(mask.dtype != bool for mask in masks):
        raise ValueError("Masks must be a non-empty list of bool arrays.")
    own = [int(biases)] * len(masks) if isinstance(biases, bool) else list(biases)
    # Weights between two neurons, of each layer.
    matrices: list[Any] = []
    for mask, number in zip(masks, groups or [1] * len(masks), strict=True):
        before = masks[len(matrices) - 1].shape[-1] if matrices else 0
        matrices.append(_connections(mask, number, before))
    # Of each layer of neurons, inputs first: is it reached, does it reach an output?
    reached = [np.ones(matrices[0].shape[0], bool)]
    for matrix in matrices:
        reached.append(matrix.T @ reached[-1].astype(np.int64) > 0)
    useful = [np.ones(matrices[-1].shape[1], bool)]
    for matrix in reversed(matrices):
        useful.insert(0, matrix @ useful[0].astype(np.int64) > 0)
    nnz = sum(
        int(source.astype(np.int64) @ (matrix @ target.astype(np.int64)))
        for matrix, source, target in zip(matrices, reached, useful[1:], strict=False)
    )
    alive = tuple(
        int(np.count_nonzero(source & target))
        for source, target in zip(reached[:-1], useful[:-1], strict=True)
    )
    of_neurons = zip(own, [*alive[1:], matrices[-1].shape[1]], strict=True)
    others = sum(number * count for number, count in of_neurons)
    return Effective(parameters=nnz + others, nnz=nnz, neurons=alive)


def _connections(mask: Any, groups: int, before: int) -> Any:
    """How many weights join every neuron of one layer to every one of the next."""
    inputs, outputs = mask.shape[-2] * groups, mask.shape[-1]
    places = 1 if not before or mask.ndim > 2 or inputs % before else inputs // before
    if before and inputs != before * places:
        raise ValueError(
            f"A layer with {before} outputs cannot be followed by one with {inputs} "
            "inputs."
        )
    if mask.ndim == 2 and places == 1:
        return csr_array(mask, dtype=np.int64)
    if mask.ndim == 2:
        # Flattened with the channels last.
        dense = mask if isinstance(mask, np.ndarray) else mask.toarray()
        each = dense.reshape(places, before, outputs)
        return csr_array(each.sum(axis=0, dtype=np.int64))
    window = np.asarray(mask).sum(axis=(0, 1), dtype=np.int64)
    whole = np.zeros((inputs, outputs), np.int64)
    wide, many = window.shape[0], outputs // groups
    for group in range(groups):
        columns = slice(group * many, (group + 1) * many)
        whole[group * wide : (group + 1) * wide, columns] = window[:, columns]
    return csr_array(whole)
