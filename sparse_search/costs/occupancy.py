"""Where a layer's weights are, as hardware sees it: degrees, blocks, groups of four.

A mask is a bool array whose last axis is outputs, or a matrix of SciPy; a convolution's
is read as the matrix with a row for every place of the window and input.
"""

from typing import Any

import numpy as np
from jaxtyping import Int
from scipy.sparse import csr_array, issparse


def matrix(mask: Any) -> Any:
    """The mask as [inputs, outputs], array or SciPy matrix as it was."""
    return mask.reshape(-1, mask.shape[-1]) if isinstance(mask, np.ndarray) else mask


def fan_in(mask: Any) -> Int[np.ndarray, " outputs"]:
    """How many weights every output has."""
    return np.asarray(matrix(mask).sum(axis=0)).ravel()


def fan_out(mask: Any) -> Int[np.ndarray, " inputs"]:
    """How many weights every input has."""
    return np.asarray(matrix(mask).sum(axis=1)).ravel()


def blocks(mask: Any, side: int) -> int:
    """How many blocks of side × side hold a weight; those at the end may overhang."""
    entries: Any = csr_array(matrix(mask)).tocoo()
    rows, columns = entries.coords
    across = -(-entries.shape[1] // side)
    return len(np.unique(rows.astype(np.int64) // side * across + columns // side))


def at_most_two_of_four(mask: Any) -> bool:
    """Whether no four inputs of an output, from the first on, store more than two."""
    entries = matrix(mask)
    if issparse(entries):
        at: Any = entries.tocoo()
        rows, columns = at.coords
        group = rows.astype(np.int64) // 4 * at.shape[1] + columns
        return not len(group) or bool(np.unique(group, return_counts=True)[1].max() < 3)
    whole = np.pad(entries, ((0, -len(entries) % 4), (0, 0)))
    return bool((whole.reshape(-1, 4, whole.shape[1]).sum(axis=1) < 3).all())
