"""EMNIST: handwritten digits and letters in MNIST's format.

Cohen, Afshar, Tapson and van Schaik 2017, arXiv:1702.05373.
"""

from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from sparse_search.data import files, idx
from sparse_search.data.dataset import Dataset, pixel_scale
from sparse_search.data.files import Origin, Remote
from sparse_search.errors import one_of

_SIDE = 28
# The classes of every split (table II of the paper).
SPLITS = {
    "balanced": 47,
    "byclass": 62,
    "bymerge": 47,
    "digits": 10,
    "letters": 26,
    "mnist": 10,
}
_ORIGIN = Origin(
    name="emnist",
    title="EMNIST",
    source="https://www.nist.gov/itl/products-and-services/emnist-dataset",
)
_ARCHIVES = ("gzip.zip", "emnist.zip")
_REMOTE = Remote(
    "https://biometrics.nist.gov/cs_links/EMNIST/gzip.zip",
    "md5:58c8d27c78d21e728a6bc7b3cc06412e",
)


def load(data_dir: str | Path | None, *, split: str = "balanced") -> Dataset:
    """Loads a split of EMNIST: images of shape [28, 28], upright as MNIST's are.

    Letters are labelled from 1 in their files, and from 0 here.

    Args:
        data_dir: the folder with the split's four files (`emnist-balanced-train-
            images-idx3-ubyte.gz`, …; gzipped or not) or the whole `gzip.zip`, in
            itself or in its subfolders `emnist` and `gzip`; without one, the user's
            cache.
        split: balanced, byclass, bymerge, digits, letters or mnist.

    Raises:
        UserError: there is no such split, or a file is missing and cannot be
            downloaded, or is not what it should be.
    """
    if split not in SPLITS:
        raise one_of("config.data.options.split", split, SPLITS)
    folders = files.places(_ORIGIN, data_dir)
    train_inputs, train_labels = _part(split, "train", folders)
    test_inputs, test_labels = _part(split, "test", folders)
    scale = pixel_scale(train_inputs)
    return Dataset(
        name=f"emnist_{split}",
        train_inputs=train_inputs,
        train_labels=train_labels,
        test_inputs=test_inputs,
        test_labels=test_labels,
        classes=SPLITS[split],
        scale=scale,
    )


def _part(
    split: str, part: str, folders: list[Path]
) -> tuple[UInt8[np.ndarray, "n 28 28"], UInt8[np.ndarray, " n"]]:
    stem = f"emnist-{split}-{part}"
    images, labels = (
        _read(f"{stem}-{kind}-ubyte", folders)
        for kind in ("images-idx3", "labels-idx1")
    )
    pixels, classes = idx.pair(images, labels, _SIDE, _ORIGIN.source)
    first = 1 if split == "letters" else 0
    last = first + SPLITS[split] - 1
    for label in (classes.min(), classes.max()):
        if not first <= label <= last:
            raise files.broken(
                labels[1],
                f"has the label {label}, but labels go from {first} to {last}",
                _ORIGIN.source,
            )
    # Columns are stored before rows.
    return np.ascontiguousarray(pixels.transpose(0, 2, 1)), classes - np.uint8(first)


def _read(name: str, folders: list[Path]) -> tuple[bytes, Path]:
    """What a file holds, and where it is: by itself, or in the archive."""
    inner = [folder / "gzip" for folder in folders]
    found = files.find([*folders, *inner], (f"{name}.gz", name))
    if found is not None:
        return files.read(found, _ORIGIN.source), found
    archive = files.require(_ORIGIN, folders, _ARCHIVES, _REMOTE)
    content = files.from_zip(archive, f"{name}.gz", _ORIGIN.source)
    path = archive / f"{name}.gz"
    return files.unpacked(content, path, _ORIGIN.source), path
