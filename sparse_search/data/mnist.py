"""MNIST, and what is published in its format: 28×28 images, 10 classes, four files.

LeCun, Bottou, Bengio and Haffner 1998, "Gradient-based learning applied to document
recognition".
"""

import os
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from sparse_search.data import idx
from sparse_search.data.dataset import Dataset, pixel_scale
from sparse_search.errors import UserError

_CLASSES = 10
_SIDE = 28
# (images, labels) of the training and of the test part; with or without .gz.
_TRAIN = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte")
_TEST = ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


class Published(NamedTuple):
    """A data set that is published as files in MNIST's format.

    Attributes:
        name: the name in the configuration, and of the subfolder with its files.
        title: the name in messages.
        source: where it is published.
        labels: CRC-32 of the training labels and of the test labels. Data sets have
            the same file names and sizes; only what the files hold tells them apart.
    """

    name: str
    title: str
    source: str
    labels: tuple[int, int]


MNIST = Published(
    name="mnist",
    title="MNIST",
    source="https://yann.lecun.com/exdb/mnist/ "
    "(mirror: https://ossci-datasets.s3.amazonaws.com/mnist/)",
    labels=(0xBA07E8EF, 0xEE8604D9),
)
FASHION_MNIST = Published(
    name="fashion_mnist",
    title="Fashion-MNIST",
    source="https://github.com/zalandoresearch/fashion-mnist",
    labels=(0x2ED6E46A, 0x242BC73F),
)


def load(data_dir: str | Path | None) -> Dataset:
    """Loads MNIST: 60,000 training and 10,000 test images of shape [28, 28].

    Args:
        data_dir: the folder with the four official files, gzipped or not, in itself
            or in its subfolder `mnist`.

    Raises:
        UserError: a file is missing, or is not what it should be.
    """
    return load_published(MNIST, data_dir)


def load_published(published: Published, data_dir: str | Path | None) -> Dataset:
    """Loads a data set in MNIST's format; arguments and errors as for `load`."""
    folder = _folder(published, data_dir)
    train_inputs, train_labels = _part(published, folder, _TRAIN)
    test_inputs, test_labels = _part(published, folder, _TEST)
    scale = pixel_scale(train_inputs)
    return Dataset(
        name=published.name,
        train_inputs=train_inputs,
        train_labels=train_labels,
        test_inputs=test_inputs,
        test_labels=test_labels,
        classes=_CLASSES,
        scale=scale,
    )


def _folder(published: Published, data_dir: str | Path | None) -> Path:
    """The one folder that all four files are read from.

    The subfolder comes first: it names the data set, and the files of both data sets
    have the same names.
    """
    if data_dir is None or not str(data_dir).strip():
        raise UserError(
            f"{published.title} is read from its official files ({_TRAIN[0]}.gz, …), "
            f"but no folder was given to look in: get them from {published.source} "
            "and pass the folder as --config.data_dir=DIR."
        )
    folder = Path(data_dir).expanduser().absolute()
    subfolder = folder / published.name
    names = _TRAIN + _TEST
    return subfolder if any(_find(subfolder, name) for name in names) else folder


def _find(folder: Path, name: str) -> Path | None:
    """The file `name` in `folder`, compressed or not, if there is one."""
    for path in (folder / f"{name}.gz", folder / name):
        if os.path.exists(path):
            return path
    return None


def _part(
    published: Published, folder: Path, names: tuple[str, str]
) -> tuple[UInt8[np.ndarray, "n 28 28"], UInt8[np.ndarray, " n"]]:
    """Images and labels of one part (training or test), checked against each other."""
    source = published.source
    images_path, labels_path = (_require(published, folder, name) for name in names)
    images = idx.read(images_path, idx.IMAGES, source)
    labels = idx.read(labels_path, idx.LABELS, source)
    if images.shape[1:] != (_SIDE, _SIDE):
        rows, columns = images.shape[1:]
        raise idx.broken(
            images_path,
            f"has images of {rows}×{columns} pixels, not {_SIDE}×{_SIDE}",
            source,
        )
    # What is left where a download reserved its space and was never filled.
    if images.min() == images.max():
        raise idx.broken(images_path, "has the same value in all its pixels", source)
    if len(images) != len(labels):
        raise idx.broken(
            images_path,
            f"has {len(images)} images, but {labels_path} has {len(labels)} labels, "
            "so one of them is the wrong file",
            source,
        )
    if labels.max() >= _CLASSES:
        raise idx.broken(
            labels_path,
            f"has the label {labels.max()}, but labels go from 0 to {_CLASSES - 1}",
            source,
        )
    checksum = zlib.crc32(labels.tobytes())
    for other in (MNIST, FASHION_MNIST):
        if other.name != published.name and checksum in other.labels:
            raise idx.broken(
                labels_path, f"is of {other.title}, not {published.title}", source
            )
    return images, labels


def _require(published: Published, folder: Path, name: str) -> Path:
    path = _find(folder, name)
    if path is None:
        if not os.path.isdir(folder):
            where = f"{folder}, which is not a folder"
        elif folder.name == published.name:
            where = str(folder)
        else:
            where = f"{folder} or its subfolder {published.name}"
        raise UserError(
            f"{published.title}'s file {name}.gz was not found in {where}: get it from "
            f"{published.source} and pass its folder as --config.data_dir=DIR."
        )
    return path
