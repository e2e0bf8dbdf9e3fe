"""Folders of images, a folder a class, as ImageNet is laid out; read while training.

    DIR/train/n01440764/n01440764_10026.JPEG
    DIR/val/n01440764/ILSVRC2012_val_00000293.JPEG

An image is scaled so that its shorter side is 8/7 of the size that is asked for (256
for 224), and its middle is cut out, as in the evaluation of He et al. 2016
(arXiv:1512.03385); what else happens to a training image is in `augment`.
"""

import os
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from sparse_search.data.dataset import Dataset
from sparse_search.data.streamed import Streamed
from sparse_search.errors import UserError

_SUFFIXES = (".jpeg", ".jpg", ".png", ".bmp", ".ppm", ".webp")
_TEST = ("val", "valid", "test")
_SCALE = 128.0
"""The root mean square of ImageNet's pixels, whose means are 0.485, 0.456 and 0.406 and
deviations 0.229, 0.224 and 0.225 of 255; counting them would read every image."""


class Images:
    """Images by their place in a list of files."""

    def __init__(self, files: list[str], size: int):
        """Nothing is read yet.

        Args:
            files: paths.
            size: pixels of a side.
        """
        self._files, self._size = files, size

    def __len__(self) -> int:
        """How many there are."""
        return len(self._files)

    def __getitem__(self, row: int) -> UInt8[np.ndarray, "size size 3"]:
        """The middle of an image, scaled.

        Raises:
            UserError: the file is damaged.
        """
        from PIL import Image

        path, size = self._files[row], self._size
        shorter = round(size * 8 / 7)
        try:
            with Image.open(path) as opened:
                opened.draft("RGB", (shorter, shorter))  # JPEGs are halved as they load
                image = opened.convert("RGB")
        except Exception as error:  # decoders raise anything for damaged files
            raise UserError(f"{path} is no image that can be read: {error}.") from None
        part = shorter / min(image.size)
        wide, high = (max(round(side * part), shorter) for side in image.size)
        left, top = (wide - size) // 2, (high - size) // 2
        image = image.resize((wide, high), Image.Resampling.BILINEAR)
        return np.asarray(image.crop((left, top, left + size, top + size)))


def load(data_dir: str | Path | None, *, size: int = 224) -> Dataset:
    """Finds the images of a folder: [size, size, 3], and a class a folder.

    Classes are numbered in the order of their folders' names. Nothing is read but the
    names, so the data may be larger than the memory.

    Args:
        data_dir: the folder with `train` and `val` (or `valid`, or `test`).
        size: pixels of a side.

    Raises:
        UserError: there are no such folders, or the loader is not installed.
    """
    try:
        import grain  # noqa: F401
        import PIL  # noqa: F401
    except ImportError as error:
        raise UserError(
            'config.data.name="image_folder" needs grain and Pillow: pip install '
            f"'sparse_search[grain]' ({error})."
        ) from None
    if not isinstance(size, int) or size < 1:
        raise UserError(f"config.data.options.size is {size!r}; it is at least 1.")
    folder = Path(data_dir or ".").expanduser().absolute()
    test = next((folder / name for name in _TEST if (folder / name).is_dir()), None)
    if not data_dir or not (folder / "train").is_dir() or test is None:
        raise UserError(
            'config.data.name="image_folder" reads the folders train and val, each '
            f"with a folder of images for every class, and {folder} has not both: pass "
            "the folder that has them as --config.data_dir=DIR."
        )
    classes = _classes(folder / "train")
    if _classes(test) != classes:
        differ = sorted(set(classes) ^ set(_classes(test)))
        raise UserError(
            f"{folder / 'train'} and {test} have not the same classes: {differ[0]!r} "
            f"is in one of them only ({len(differ)} such)."
        )
    train, held_out = (_files(part, classes) for part in (folder / "train", test))
    inputs = [
        Streamed((Images(one[0], size),), (size, size, 3)) for one in (train, held_out)
    ]
    return Dataset(
        name=folder.name,
        train_inputs=inputs[0],
        train_labels=train[1],
        test_inputs=inputs[1],
        test_labels=held_out[1],
        classes=len(classes),
        scale=_SCALE,
    )


def _classes(folder: Path) -> list[str]:
    return sorted(entry.name for entry in os.scandir(folder) if entry.is_dir())


def _files(folder: Path, classes: list[str]) -> tuple[list[str], np.ndarray]:
    paths, labels = [], []
    for label, name in enumerate(classes):
        inside = sorted(
            entry.path
            for entry in os.scandir(folder / name)
            if entry.name.lower().endswith(_SUFFIXES)
        )
        if not inside:
            raise UserError(f"{folder / name} has no images ({', '.join(_SUFFIXES)}).")
        paths += inside
        labels += [label] * len(inside)
    if len(classes) < 2:
        raise UserError(f"{folder} has {len(classes)} folders; a class has one each.")
    return paths, np.asarray(labels, np.int32)
