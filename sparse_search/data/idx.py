"""The IDX format of MNIST, read strictly: an array that is right, or an error.

Big-endian: two zero bytes, a type code, the number of dimensions, each dimension as
32 bits, then the values (http://yann.lecun.com/exdb/mnist/, "The IDX file format").
The first four bytes together are called the magic number.
"""

import gzip
import math
import zlib
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from sparse_search.errors import UserError

# Type code 8 (unsigned byte), then one dimension or three.
LABELS = 0x00000801
IMAGES = 0x00000803
_CONTENTS = {LABELS: "labels", IMAGES: "images"}
_GZIP = b"\x1f\x8b"


def read(path: Path, magic: int, source: str) -> UInt8[np.ndarray, "..."]:
    """Reads an IDX file of unsigned bytes, gzipped if its name ends in `.gz`.

    Args:
        path: the file.
        magic: what it must hold: `LABELS` ([n]) or `IMAGES` ([n, rows, columns]).
        source: where the file is published, for errors.

    Returns:
        A read-only array with the dimensions that the file states, all above 0.

    Raises:
        UserError: the file cannot be read, or is not exactly what it claims to be.
    """
    data = _read_bytes(path, source)
    if not path.name.endswith(".gz") and data.startswith(_GZIP):
        raise UserError(f"{path} is compressed by gzip: add .gz to its name.")
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


def broken(path: Path, problem: str, source: str) -> UserError:
    """An error in a sentence: what is wrong with `path`, and where to get it anew."""
    return UserError(f"{path} {problem}; get the file again from {source}.")


def _times(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape))


def _read_bytes(path: Path, source: str) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from None
    if not path.name.endswith(".gz"):
        return data
    if not data.startswith(_GZIP):
        raise broken(
            path,
            "is not a gzip file (if it is the uncompressed file, take .gz off its "
            "name)",
            source,
        )
    try:
        return gzip.decompress(data)
    except EOFError:
        raise broken(path, "is truncated: its gzip stream has no end", source) from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise broken(path, f"is a damaged gzip file ({error})", source) from None
