"""A data set in memory, as every loader returns it."""

import math
from fractions import Fraction
from typing import NamedTuple

import numpy as np
from jaxtyping import Integer, UInt8

from sparse_search.errors import UserError

# Images whose pixels are counted at once: bounds the memory of `pixel_scale`,
# whose temporary is eight times as large as the images it counts.
_CHUNK = 4096


class Dataset(NamedTuple):
    """Images and labels of a classification task, with the official test split.

    The network sees `images / scale` as float32. Nothing is subtracted, so that a
    pixel that is always dark gets no gradient, and rewiring leaves it out. Images stay
    uint8 in memory, so that gathering a batch moves a quarter of the bytes.

    Attributes:
        name: the name in the configuration, e.g. "fashion_mnist".
        train_images: pixels, with any shape of one example behind the first axis.
        train_labels: classes from 0 to `classes` - 1.
        test_images: as `train_images`.
        test_labels: as `train_labels`.
        classes: the number of classes.
        scale: root mean square of all training pixels, never 0.
    """

    name: str
    train_images: UInt8[np.ndarray, "n *example"]
    train_labels: Integer[np.ndarray, " n"]
    test_images: UInt8[np.ndarray, "m *example"]
    test_labels: Integer[np.ndarray, " m"]
    classes: int
    scale: float


def pixel_scale(images: UInt8[np.ndarray, "n *example"]) -> float:
    """Root mean square of all pixels, the same on every machine.

    Divided by it, inputs have the unit second moment that initialisers assume. Sums
    are exact integers, so neither the order of summation nor the machine's vector
    width changes a bit of the result.

    Raises:
        UserError: all pixels are equal, or there are none: nothing can be learned.
    """
    counts = np.zeros(256, np.int64)
    for start in range(0, len(images), _CHUNK):
        counts += np.bincount(images[start : start + _CHUNK].ravel(), minlength=256)
    if np.count_nonzero(counts) < 2:
        raise UserError(
            f"All {int(counts.sum())} pixels of the training images are equal, so "
            "there is nothing to learn from them."
        )
    squares = sum(value**2 * count for value, count in enumerate(counts.tolist()))
    return math.sqrt(Fraction(squares, int(counts.sum())))
