"""MNIST, and what is published in its format: 28×28 images, 10 classes, four files.

LeCun, Bottou, Bengio and Haffner 1998, "Gradient-based learning applied to document
recognition".
"""

import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from sparse_search.data import files, idx
from sparse_search.data.dataset import Dataset, pixel_scale
from sparse_search.data.files import Known, Origin, Remote

_CLASSES = 10
_SIDE = 28
# (images, labels) of the training and of the test part; with or without .gz.
_TRAIN = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte")
_TEST = ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


class Published(NamedTuple):
    """A data set that is published as files in MNIST's format.

    Attributes:
        origin: its names, and where it is published.
        remote: where its files can be downloaded.
        known: what its files hold.
        labels: CRC-32 of the training labels and of the test labels. Data sets have
            the same file names and sizes; only what the files hold tells them apart.
    """

    origin: Origin
    remote: dict[str, Remote]
    known: dict[str, Known]
    labels: tuple[int, int]


def _remote(base: str, *md5: str) -> dict[str, Remote]:
    names = (*_TRAIN, *_TEST)
    return {
        name: Remote(f"{base}{name}.gz", f"md5:{one}")
        for name, one in zip(names, md5, strict=True)
    }


def _known(*sha256: str) -> dict[str, Known]:
    names, sizes = (*_TRAIN, *_TEST), (47040016, 60008, 7840016, 10008)
    return {
        name: Known(size, digest)
        for name, size, digest in zip(names, sizes, sha256, strict=True)
    }


MNIST = Published(
    origin=Origin(
        name="mnist",
        title="MNIST",
        source="https://yann.lecun.com/exdb/mnist/ "
        "(mirror: https://ossci-datasets.s3.amazonaws.com/mnist/)",
    ),
    remote=_remote(
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "f68b3c2dcbeaaa9fbdd348bbdeb94873",
        "d53e105ee54ea40749a09fcbcd1e9432",
        "9fb629c4189551a2d022fa330f9573f3",
        "ec29112dd5afa0611ce80d1b7f02629c",
    ),
    known=_known(
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ),
    labels=(0xBA07E8EF, 0xEE8604D9),
)
FASHION_MNIST = Published(
    origin=Origin(
        name="fashion_mnist",
        title="Fashion-MNIST",
        source="https://github.com/zalandoresearch/fashion-mnist",
    ),
    remote=_remote(
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "25c81989df183df01b3e8a0aad5dffbe",
        "bef4ecab320f06d8554ea6380940ec79",
        "bb300cfdad3c16e7a12a480ee83cd310",
    ),
    known=_known(
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    ),
    labels=(0x2ED6E46A, 0x242BC73F),
)


def load(data_dir: str | Path | None) -> Dataset:
    """Loads MNIST: 60,000 training and 10,000 test images of shape [28, 28].

    Args:
        data_dir: the folder with the four official files, gzipped or not, in itself
            or in its subfolder `mnist`; without one, the user's cache.

    Raises:
        UserError: a file is missing and cannot be downloaded, or is not what it
            should be.
    """
    return load_published(MNIST, data_dir)


def load_published(published: Published, data_dir: str | Path | None) -> Dataset:
    """Loads a data set in MNIST's format; arguments and errors as for `load`."""
    folders = _one_folder(published, data_dir)
    train_inputs, train_labels = _part(published, folders, _TRAIN)
    test_inputs, test_labels = _part(published, folders, _TEST)
    scale = pixel_scale(train_inputs)
    return Dataset(
        name=published.origin.name,
        train_inputs=train_inputs,
        train_labels=train_labels,
        test_inputs=test_inputs,
        test_labels=test_labels,
        classes=_CLASSES,
        scale=scale,
    )


def _one_folder(published: Published, data_dir: str | Path | None) -> list[Path]:
    """The one folder that all four files are read from; both, if they are in none.

    The subfolder comes first: it names the data set, and the files of both data sets
    have the same names.
    """
    folders = files.places(published.origin, data_dir)
    names = [n for name in (*_TRAIN, *_TEST) for n in (f"{name}.gz", name)]
    for folder in folders:
        if files.find([folder], names):
            return [folder]
    return folders


def _part(
    published: Published, folders: list[Path], names: tuple[str, str]
) -> tuple[UInt8[np.ndarray, "n 28 28"], UInt8[np.ndarray, " n"]]:
    """Images and labels of one part (training or test)."""
    origin, source = published.origin, published.origin.source
    paths = [
        files.require(origin, folders, (f"{name}.gz", name), published.remote[name])
        for name in names
    ]
    read = [(files.read(path, source), path) for path in paths]
    images, labels = idx.pair(read[0], read[1], _SIDE, source)
    labels_path = paths[1]
    if labels.max() >= _CLASSES:
        raise files.broken(
            labels_path,
            f"has the label {labels.max()}, but labels go from 0 to {_CLASSES - 1}",
            source,
        )
    checksum = zlib.crc32(labels.tobytes())
    for other in (MNIST, FASHION_MNIST):
        if other.origin.name != origin.name and checksum in other.labels:
            raise files.broken(
                labels_path, f"is of {other.origin.title}, not {origin.title}", source
            )
    for name, (content, path) in zip(names, read, strict=True):
        files.check(content, path, published.known, name, source)
    return images, labels
