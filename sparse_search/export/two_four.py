"""2:4 compression: of every four inputs the two that are stored, and which they are.

The layout is the one that Mishra et al. 2021 (arXiv:2104.08378, section 3) describe for
sparse tensor cores, before any reordering that a single kernel library wants. A kernel
[inputs, outputs] (a convolution's with a row for every place of the window and input)
becomes

- `values` [outputs, inputs / 2]: of every output, the two stored weights of its first
  four inputs, then those of the next four, …;
- `metadata` [outputs, ⌈inputs / 8⌉] of uint8: of every stored weight, in the same
  order, its place 0 … 3 among the four inputs, in 2 bits. A byte holds those of two
  groups, the first in its lowest bits; what is left of a last byte is zero.

Values are stored as they are, zeros too, so that the way back is exact to the bit.
"""

import numpy as np
from jaxtyping import Bool, Num, UInt8

from sparse_search.errors import UserError


def compress(
    name: str, weights: Num[np.ndarray, "*s"], mask: Bool[np.ndarray, "*s"]
) -> tuple[Num[np.ndarray, "outputs half"], UInt8[np.ndarray, "outputs bytes"]]:
    """Values and metadata of a layer.

    Args:
        name: of the layer, for the error.
        weights: its kernel; all axes but the last are inputs.
        mask: where it is stored.

    Raises:
        UserError: some four inputs do not store exactly two weights.
    """
    outputs = mask.shape[-1]
    stored = mask.reshape(-1, outputs).T
    inputs = stored.shape[1]
    groups = np.zeros(0, int)
    if inputs % 4 == 0:
        groups = stored.reshape(outputs, -1, 4).sum(axis=2)
    if not groups.size or (groups != 2).any():
        others = int((groups != 2).sum())
        wrong = (
            f"{others:,} of {groups.size:,} groups of four do not store two weights"
            if groups.size
            else f"its {inputs:,} inputs are not whole groups of four"
        )
        raise UserError(
            f"{name} is not 2:4 along its inputs: {wrong}. Train with "
            "config.sparsity.pattern='2:4', or export another --format."
        )
    places = np.nonzero(stored.reshape(-1, 4))[1].astype(np.uint8)
    values = weights.reshape(-1, outputs).T[stored].reshape(outputs, inputs // 2)
    places = places.reshape(outputs, inputs // 2)
    places = np.pad(places, ((0, 0), (0, -places.shape[1] % 4)))
    shifts = np.array([0, 2, 4, 6], np.uint8)
    packed = places.reshape(outputs, -1, 4) << shifts
    return values, np.bitwise_or.reduce(packed, axis=2).astype(np.uint8)


def decompress(
    values: Num[np.ndarray, "outputs half"],
    metadata: UInt8[np.ndarray, "outputs bytes"],
    shape: tuple[int, ...],
) -> tuple[Num[np.ndarray, "*s"], Bool[np.ndarray, "*s"]]:
    """The kernel and the mask that `compress` was given.

    Args:
        values: the stored weights.
        metadata: their places.
        shape: of the kernel.
    """
    outputs, half = values.shape
    shifts = np.array([0, 2, 4, 6], np.uint8)
    places = (metadata[:, :, None] >> shifts & 3).reshape(outputs, -1)[:, :half]
    at = places + 4 * (np.arange(half) // 2)
    weights = np.zeros((outputs, 2 * half), values.dtype)
    mask = np.zeros(weights.shape, bool)
    np.put_along_axis(weights, at, values, axis=1)
    np.put_along_axis(mask, at, True, axis=1)
    return weights.T.reshape(shape), mask.T.reshape(shape)
