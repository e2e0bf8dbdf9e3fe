"""CIFAR-10 and CIFAR-100: colour images of 32×32 pixels.

Krizhevsky 2009, "Learning multiple layers of features from tiny images". Of the 100
classes the fine labels are taken. Both are published as plain records ("binary
version") and as pickles ("python version"); either is read, unpacked or from its
`.tar.gz`.
"""

import io
import pickle
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import UInt8

from sparse_search.data import files
from sparse_search.data.dataset import Dataset, pixel_scale
from sparse_search.data.files import Known, Origin, Remote
from sparse_search.errors import UserError

_SOURCE = "https://www.cs.toronto.edu/~kriz/cifar.html"
_PIXELS = 3 * 32 * 32
_BATCHES = tuple(f"data_batch_{number}" for number in range(1, 6))
Part = tuple[UInt8[np.ndarray, "n 32 32 3"], UInt8[np.ndarray, " n"]]


class Form(NamedTuple):
    """One of the two forms in which a data set is published.

    Attributes:
        folder: in the archive.
        train: the files of the training part.
        test: the file of the test part.
        archive: the whole.
        known: what the files hold.
    """

    folder: str
    train: tuple[str, ...]
    test: str
    archive: Remote
    known: dict[str, Known]


class Published(NamedTuple):
    """A data set: its classes, the labels of a record, and its forms.

    Attributes:
        origin: its names, and where it is published.
        classes: how many there are.
        labels: bytes before the pixels of a record, of which the last counts.
        key: of the labels in a pickle.
        binary: the plain records, which are looked for first.
        python: the pickles.
    """

    origin: Origin
    classes: int
    labels: int
    key: str
    binary: Form
    python: Form


def _remote(name: str, md5: str) -> Remote:
    return Remote(f"https://www.cs.toronto.edu/~kriz/{name}.tar.gz", f"md5:{md5}")


CIFAR10 = Published(
    Origin("cifar10", "CIFAR-10", _SOURCE),
    classes=10,
    labels=1,
    key="labels",
    binary=Form(
        "cifar-10-batches-bin",
        tuple(f"{name}.bin" for name in _BATCHES),
        "test_batch.bin",
        _remote("cifar-10-binary", "c32a1d4ab5d03f1284b67883e8d87530"),
        {
            f"{name}.bin": Known(30730000, digest)
            for name, digest in {
                "data_batch_1": "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b"
                "261883ada5",
                "data_batch_2": "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ad"
                "a8b3fa57ed",
                "data_batch_3": "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d9"
                "3ceea26f67",
                "data_batch_4": "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d71"
                "0285ff4e48",
                "data_batch_5": "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a"
                "39453a9add",
                "test_batch": "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf48"
                "0273f65b",
            }.items()
        },
    ),
    python=Form(
        "cifar-10-batches-py",
        _BATCHES,
        "test_batch",
        _remote("cifar-10-python", "c58f30108f718f92721af3b95e74349a"),
        {
            "data_batch_1": Known(31035704, "c99cafc152244af753f735de768cd75f"),
            "data_batch_2": Known(31035320, "d4bba439e000b95fd0a9bffe97cbabec"),
            "data_batch_3": Known(31035999, "54ebc095f3ab1f0389bbae665268c751"),
            "data_batch_4": Known(31035696, "634d18415352ddfa80567beed471001a"),
            "data_batch_5": Known(31035623, "482c414d41f54cd18b22e5b47cb7c3cb"),
            "test_batch": Known(31035526, "40351d587109b95175f43aff81a1287e"),
        },
    ),
)
CIFAR100 = Published(
    Origin("cifar100", "CIFAR-100", _SOURCE),
    classes=100,
    labels=2,
    key="fine_labels",
    binary=Form(
        "cifar-100-binary",
        ("train.bin",),
        "test.bin",
        _remote("cifar-100-binary", "03b5dce01913d631647c71ecec9e9cb8"),
        {},
    ),
    python=Form(
        "cifar-100-python",
        ("train",),
        "test",
        _remote("cifar-100-python", "eb9058c3a382ffc7106e4002c42a8d85"),
        {"train": Known(155249918, "16019d7e3df5f24257cddd939b257f8d")},
    ),
)


def load_10(data_dir: str | Path | None) -> Dataset:
    """Loads CIFAR-10: 50,000 training and 10,000 test images, [32, 32, 3].

    Args:
        data_dir: the folder with `cifar-10-batches-bin` or `cifar-10-batches-py`, or
            with one of their archives, in itself or in its subfolder `cifar10`, or
            that folder; without one, the user's cache.

    Raises:
        UserError: a file is missing and cannot be downloaded, or is not what it
            should be.
    """
    return _load(CIFAR10, data_dir)


def load_100(data_dir: str | Path | None) -> Dataset:
    """Loads CIFAR-100; as `load_10`, with `cifar-100-binary` or `cifar-100-python`."""
    return _load(CIFAR100, data_dir)


def _load(published: Published, data_dir: str | Path | None) -> Dataset:
    form, contents = _contents(published, data_dir)
    parts = {}
    for name, (content, path) in contents.items():
        files.check(content, path, form.known, name, _SOURCE)
        parse = _records if form is published.binary else _pickled
        parts[name] = parse(published, content, path)
    # A file that ends early between two records is seen by its number only.
    test_images, test_labels = parts[form.test]
    each = len(test_labels) * 5 // len(form.train)
    for name in form.train:
        if len(parts[name][1]) != each:
            raise files.broken(
                contents[name][1],
                f"has {len(parts[name][1])} images, but should have {each} beside the "
                f"{len(test_labels)} of {form.test}, so one of them is truncated",
                _SOURCE,
            )
    images = np.concatenate([parts[name][0] for name in form.train])
    labels = np.concatenate([parts[name][1] for name in form.train])
    return Dataset(
        name=published.origin.name,
        train_inputs=images,
        train_labels=labels,
        test_inputs=test_images,
        test_labels=test_labels,
        classes=published.classes,
        scale=pixel_scale(images),
    )


def _contents(
    published: Published, data_dir: str | Path | None
) -> tuple[Form, dict[str, tuple[bytes, Path]]]:
    """What every file holds, and where it is."""
    folders = files.places(published.origin, data_dir)
    for form in (published.binary, published.python):
        names = (*form.train, form.test)
        for folder in (one for f in folders for one in (f / form.folder, f)):
            if files.find([folder], names) and (
                folder.name == form.folder or form is published.binary
            ):
                for name in names:
                    if not (folder / name).exists():
                        raise files.broken(
                            folder, f"has no file {name} beside the others", _SOURCE
                        )
                return form, {
                    name: (files.read(folder / name, _SOURCE), folder / name)
                    for name in names
                }
    for form in (published.binary, published.python):
        if files.find(folders, [form.archive.file]):
            return form, _archived(published, folders, form)
    return published.binary, _archived(published, folders, published.binary)


def _archived(
    published: Published, folders: list[Path], form: Form
) -> dict[str, tuple[bytes, Path]]:
    archive = files.require(
        published.origin, folders, [form.archive.file], form.archive
    )
    names = {name: f"{form.folder}/{name}" for name in (*form.train, form.test)}
    found = files.from_tar(archive, list(names.values()), _SOURCE)
    return {name: (found[inner], archive / inner) for name, inner in names.items()}


def _records(published: Published, content: bytes, path: Path) -> Part:
    """Records of label bytes and pixels, all the red ones first."""
    length = published.labels + _PIXELS
    if not content or len(content) % length:
        raise files.broken(
            path,
            f"is truncated: it has {len(content)} bytes, no whole number of records "
            f"of {length}",
            _SOURCE,
        )
    records = np.frombuffer(content, np.uint8).reshape(-1, length)
    labels = records[:, published.labels - 1].copy()
    return _part(published, records[:, published.labels :], labels, path)


def _pickled(published: Published, content: bytes, path: Path) -> Part:
    """A dictionary with the pixels of every image in a row, and its labels."""
    try:
        found = _Plain(io.BytesIO(content), encoding="latin1").load()
        found = {
            key.decode() if isinstance(key, bytes) else key: value
            for key, value in found.items()
        }
        pixels = np.asarray(found["data"])
        labels = np.asarray(found[published.key])
    except UserError:
        raise
    except Exception as error:  # pickle raises anything for a damaged file
        reason = f"{type(error).__name__}: {error}"
        raise files.broken(
            path, f"is truncated or no CIFAR batch ({reason})", _SOURCE
        ) from None
    if pixels.dtype != np.uint8 or pixels.ndim != 2 or pixels.shape[1] != _PIXELS:
        raise files.broken(
            path,
            f"has pixels of shape {list(pixels.shape)} and type {pixels.dtype}, not "
            f"[n, {_PIXELS}] of uint8",
            _SOURCE,
        )
    whole = labels.ndim == 1 and np.issubdtype(labels.dtype, np.integer)
    if not whole or len(labels) != len(pixels):
        raise files.broken(
            path, f"has {len(pixels)} images, but {labels.size} labels", _SOURCE
        )
    return _part(published, pixels, labels, path)


class _Plain(pickle.Unpickler):
    """Arrays, lists, dictionaries, text and numbers; a pickle could run anything."""

    _ALLOWED = {
        ("numpy.core.multiarray", "_reconstruct"),
        ("numpy._core.multiarray", "_reconstruct"),
        ("numpy", "ndarray"),
        ("numpy", "dtype"),
    }

    def find_class(self, module: str, name: str, /) -> Any:
        if (module, name) not in self._ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        module = module.replace("numpy.core", "numpy._core")
        return super().find_class(module, name)


def _part(
    published: Published, pixels: np.ndarray, labels: np.ndarray, path: Path
) -> Part:
    least, most = int(labels.min(initial=0)), int(labels.max(initial=0))
    if least < 0 or most >= published.classes:
        raise files.broken(
            path,
            f"has the label {most if least >= 0 else least}, but labels go from 0 to "
            f"{published.classes - 1}",
            _SOURCE,
        )
    # On the disk all red pixels come first, then green, then blue.
    images = pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(images), labels.astype(np.uint8)
