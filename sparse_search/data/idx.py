"""The IDX format of MNIST, read strictly: an array that is right, or an error.

Big-endian: two zero bytes, a type code, the number of dimensions, each dimension as
32 bits, then the values (http://yann.lecun.com/exdb/mnist/, "The IDX file format").
The first four bytes together are called the magic number.
"""

import math
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from sparse_search.data.files import broken

# Type code 8 (unsigned byte), then one dimension or three.
LABELS = 0x00000801
IMAGES = 0x00000803
_CONTENTS = {LABELS: "labels", IMAGES: "images"}


def parse(data: bytes, path: Path, magic: int, source: str) -> UInt8[np.ndarray, "..."]:
    """The array of an IDX file of unsigned bytes.

    Args:
        data: what the file holds, uncompressed.
        path: the file, for errors.
        magic: what it must hold: `LABELS` ([n]) or `IMAGES` ([n, rows, columns]).
        source: where the file is published, for errors.

    Returns:
        A read-only array with the dimensions that the file states, all above 0.

    Raises:
        UserError: the file is not exactly what it claims to be.
    """
    dimensions = magic & 0xFF
    header = 4 + 4 * dimensions
    found = int.from_bytes(data[:4], "big")
    if len(data) >= 4 and found != magic:
        holds = (
            f"holds {_CONTENTS[found]}" if found in _CONTENTS else "is not such a file"
        )
        raise broken(
            path,
            f"should hold {_CONTENTS[magic]} (magic number {magic}) but {holds} "
            f"(magic number {found})",
            source,
        )
    if len(data) < header:
        raise broken(
            path,
            f"is truncated: it has {len(data)} of the {header} bytes of its header",
            source,
        )
    shape = tuple(
        int.from_bytes(data[start : start + 4], "big") for start in range(4, header, 4)
    )
    expected = header + math.prod(shape)
    if len(data) != expected:
        problem = "is truncated" if len(data) < expected else "is too long"
        raise broken(
            path,
            f"{problem}: it has {len(data)} bytes, but {expected} according to the "
            f"dimensions in its header ({_times(shape)})",
            source,
        )
    if 0 in shape:
        raise broken(path, f"is empty: its dimensions are {_times(shape)}", source)
    return np.frombuffer(data, np.uint8, offset=header).reshape(shape)


def pair(
    images: tuple[bytes, Path], labels: tuple[bytes, Path], side: int, source: str
) -> tuple[UInt8[np.ndarray, "n side side"], UInt8[np.ndarray, " n"]]:
    """Images and labels of one part (training or test), checked against each other.

    Args:
        images: what their file holds, and its path.
        labels: theirs.
        side: pixels of a side.
        source: where they are published, for errors.

    Raises:
        UserError: one is damaged, or they do not belong together.
    """
    images_path, labels_path = images[1], labels[1]
    pixels = parse(*images, IMAGES, source)
    classes = parse(*labels, LABELS, source)
    if pixels.shape[1:] != (side, side):
        rows, columns = pixels.shape[1:]
        raise broken(
            images_path,
            f"has images of {rows}×{columns} pixels, not {side}×{side}",
            source,
        )
    # What is left where a download reserved its space and was never filled.
    if pixels.min() == pixels.max():
        raise broken(images_path, "has the same value in all its pixels", source)
    if len(pixels) != len(classes):
        raise broken(
            images_path,
            f"has {len(pixels)} images, but {labels_path} has {len(classes)} labels, "
            "so one of them is the wrong file",
            source,
        )
    return pixels, classes


def _times(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape))
