"""Tiny data sets in their official formats."""

import gzip
import pickle
import struct
import tarfile

import numpy as np


def idx(array):
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    return header + array.astype(np.uint8).tobytes()


def emnist(folder, split="balanced", labels=range(47), count=94):
    """Columns before rows, as they are on the disk."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (count, 28, 28), np.uint8)
    for part, n in (("train", count), ("test", count // 2)):
        named = {
            "images-idx3": images[:n].transpose(0, 2, 1),
            "labels-idx1": np.resize(np.asarray(labels), n),
        }
        for kind, array in named.items():
            path = folder / f"emnist-{split}-{part}-{kind}-ubyte.gz"
            path.write_bytes(gzip.compress(idx(array)))
    return images


def cifar_images(count, seed=0):
    """Images [n, 32, 32, 3] with a red, a green and a blue part."""
    random = np.random.default_rng(seed)
    images = random.integers(0, 80, (count, 32, 32, 3))
    return (images + np.array([0, 80, 160])).astype(np.uint8)


def planes(images):
    """As on the disk: all the red pixels of an image, then the green, then the blue."""
    return images.transpose(0, 3, 1, 2).reshape(len(images), -1)


CIFAR10_FILES = [*(f"data_batch_{n}" for n in range(1, 6)), "test_batch"]


def cifar10_binary(folder, each=12):
    """`cifar-10-batches-bin`; returns images and labels of all six files."""
    inner = folder / "cifar-10-batches-bin"
    inner.mkdir(parents=True, exist_ok=True)
    images, labels = cifar_images(6 * each), np.arange(6 * each) % 10
    for number, name in enumerate(CIFAR10_FILES):
        rows = slice(number * each, (number + 1) * each)
        records = np.concatenate([labels[rows, None], planes(images[rows])], axis=1)
        (inner / f"{name}.bin").write_bytes(records.astype(np.uint8).tobytes())
    return images, labels


def cifar10_python(folder, each=12, **changed):
    """`cifar-10-batches-py`, as Python 3 writes it."""
    inner = folder / "cifar-10-batches-py"
    inner.mkdir(parents=True, exist_ok=True)
    images, labels = cifar_images(6 * each), np.arange(6 * each) % 10
    for number, name in enumerate(CIFAR10_FILES):
        rows = slice(number * each, (number + 1) * each)
        batch = {b"data": planes(images[rows]), b"labels": labels[rows].tolist()}
        batch |= changed
        (inner / name).write_bytes(pickle.dumps(batch, protocol=4))
    return images, labels


def cifar100_binary(folder, each=12):
    inner = folder / "cifar-100-binary"
    inner.mkdir(parents=True, exist_ok=True)
    images, fine = cifar_images(6 * each), np.arange(6 * each) % 100
    coarse = np.full(6 * each, 19)
    for name, rows in (("train", slice(0, 5 * each)), ("test", slice(5 * each, None))):
        parts = [coarse[rows, None], fine[rows, None], planes(images[rows])]
        records = np.concatenate(parts, axis=1).astype(np.uint8)
        (inner / f"{name}.bin").write_bytes(records.tobytes())
    return images, fine


def archived(folder, inner, name):
    """Pack a folder into the archive it is published in, and take it away."""
    with tarfile.open(folder / name, "w:gz") as archive:
        archive.add(folder / inner, arcname=inner)
    for path in (folder / inner).iterdir():
        path.unlink()
    (folder / inner).rmdir()
    return folder / name


def text(path, length=3000):
    """A text in which the next letter can be told from the last."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(
        (b"the quick brown fox jumps over the lazy dog. " * length)[:length]
    )
    return path


def image_folder(folder, classes=("ant", "bee"), each=16, side=40):
    """Folders of PNGs that differ in colour by class."""
    from PIL import Image

    random = np.random.default_rng(0)
    for part, count in (("train", each), ("val", max(each // 2, 1))):
        for label, name in enumerate(classes):
            (folder / part / name).mkdir(parents=True, exist_ok=True)
            for number in range(count):
                pixels = random.integers(0, 128, (side, side + 6, 3), np.uint8)
                pixels[..., label] += 100
                path = folder / part / name / f"{number:03}.png"
                Image.fromarray(pixels).save(path)
    return folder
