"""Bytes of a trained network's kernels, from numbers of weights."""

import operator
from collections.abc import Sequence

_VALUE = 4  # float32


def kernel_bytes(nnz_per_layer: Sequence[int], sizes_per_layer: Sequence[int]) -> int:
    """Bytes that kernels take in float32, every layer in the smallest of three forms.

    Dense: 4 bytes an entry. Bitmap: a bit an entry, and 4 bytes a weight. Coordinates:
    4 bytes a weight and 4 for its position (8 in layers of over 2³² entries). Which is
    smallest depends on the density; patterns that would take less are not looked at.

    Args:
        nnz_per_layer: active weights of every layer, its size for a dense one.
        sizes_per_layer: all weights of every layer, fan-in times fan-out.

    Raises:
        ValueError: a layer has more weights than its size.
    """
    total = 0
    for nnz, size in zip(nnz_per_layer, sizes_per_layer, strict=True):
        nnz, size = operator.index(nnz), operator.index(size)
        if not 0 <= nnz <= size:
            raise ValueError(f"A layer of size {size} cannot hold {nnz} weights.")
        position = 4 if size <= 2**32 else 8
        bitmap = _VALUE * nnz + -(-size // 8)
        total += min(_VALUE * size, bitmap, (_VALUE + position) * nnz)
    return total
