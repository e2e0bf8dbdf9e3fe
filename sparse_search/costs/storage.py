"""Bytes of a trained network's kernels, from numbers of weights, by format.

Values are float32. A layer that has all its weights is dense in every format.

- `dense`: 4 bytes an entry.
- `bitmap`: a bit an entry, and 4 bytes a weight, as in RigL's tables of model sizes.
- `coo`: 4 bytes a weight and 4 for its position (8 in layers of over 2³² entries).
- `csr`: rows are inputs (of a convolution, places of the window and inputs); 4 bytes a
  weight and 4 for its column, and 4 a row and one.
- `tiled`: what compressed layers keep (`sparse.formats`), indices in both directions;
  rows as in `csr`.
- of a pattern: `n_m`, the place of a weight in its group of M in as few bits as it
  takes; `block`, 4 bytes a block and 4 a row of blocks; `fan_in`, 4 bytes a weight and
  nothing a row.
"""

import math
import operator
import re
from collections.abc import Iterable, Sequence

from sparse_search.costs.layers import Layer
from sparse_search.sparse.tiles import tile_of, tiles

_FORMATS: tuple[str, ...] = ("dense", "bitmap", "coo", "csr", "tiled")
_VALUE = 4  # float32
_INDEX = 4


def kernel_bytes(nnz_per_layer: Sequence[int], sizes_per_layer: Sequence[int]) -> int:
    """Bytes that kernels take, every layer in the smallest of three forms.

    These are dense, bitmap and coordinates. Which is smallest depends on the density;
    patterns that would take less are not looked at.

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
        total += min(_VALUE * size, _bitmap(nnz, size), _coo(nnz, size))
    return total


def format_bytes(
    layers: Iterable[Layer], pattern: str = "unstructured"
) -> dict[str, int]:
    """Bytes that kernels take in every format that can hold them.

    Args:
        layers: of a network.
        pattern: of its masks; its own format is among them.
    """
    layers = list(layers)
    total: dict[str, int] = dict.fromkeys(_FORMATS, 0)
    for layer in layers:
        nnz, size = layer.nnz, layer.size
        whole = _VALUE * size
        full = nnz == size
        rows = math.prod(layer.shape[:-1])
        total["dense"] += whole
        total["bitmap"] += whole if full else _bitmap(nnz, size)
        total["coo"] += whole if full else _coo(nnz, size)
        csr = (_VALUE + _INDEX) * nnz + _INDEX * (rows + 1)
        total["csr"] += whole if full else csr
        total["tiled"] += whole if full else _tiled(layer)
    own = [_of_pattern(layer, pattern) for layer in layers]
    if all(found is not None for found in own) and own:
        name = own[0][0] if own[0] else ""
        total[name] = sum(found[1] for found in own if found)
    return total


def activation_bytes(layers: Iterable[Layer]) -> int:
    """Bytes of the outputs of all layers for one example, in float32.

    This is what training keeps of an example for the backward pass, but for what lies
    between layers, such as normalised outputs.
    """
    return _VALUE * sum(layer.outputs for layer in layers)


def _bitmap(nnz: int, size: int) -> int:
    return _VALUE * nnz + -(-size // 8)


def _coo(nnz: int, size: int) -> int:
    return (_VALUE + (_INDEX if size <= 2**32 else 8)) * nnz


def _tiled(layer: Layer) -> int:
    inputs, neurons = math.prod(layer.shape[:-1]), layer.shape[-1]
    tile = tile_of((inputs, neurons), layer.nnz)
    index = 4 if tile.narrow else 8
    number = math.prod(tiles((inputs, neurons), tile))
    pointers = number * (tile[0] + 1 + tile[1] + 1)
    return (_VALUE + index) * layer.nnz + _INDEX * pointers


def _of_pattern(layer: Layer, pattern: str) -> tuple[str, int] | None:
    """The pattern's own format and the bytes of a layer in it."""
    nnz, whole = layer.nnz, _VALUE * layer.size
    if found := re.fullmatch(r"(?:\d+|n):(\d+)(?:@out)?", pattern):
        bits = max(int(found[1]) - 1, 1).bit_length()
        packed = _VALUE * nnz + -(-nnz * bits // 8)
        return "n_m", whole if nnz == layer.size else packed
    if found := re.fullmatch(r"block(\d+)x(\d+)", pattern):
        high, wide = int(found[1]), int(found[2])
        blocks = -(-nnz // (high * wide))
        rows = -(-layer.shape[-2] // high) * math.prod(layer.shape[:-2])
        packed = _VALUE * nnz + _INDEX * (blocks + rows + 1)
        return "block", whole if nnz == layer.size else packed
    if pattern == "fan_in":
        return "fan_in", whole if nnz == layer.size else (_VALUE + _INDEX) * nnz
    return None
