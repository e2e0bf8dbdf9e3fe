"""A data set in memory, as every loader returns it."""

import math
from fractions import Fraction
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Integer, Shaped, UInt8

from sparse_search.errors import UserError

# Images whose pixels are counted at once: bounds the memory of `pixel_scale`,
# whose temporary is eight times as large as the images it counts.
_CHUNK = 4096


class Dataset(NamedTuple):
    """Examples with their labels, and the official test split.

    Where the inputs are numbers, the network sees `inputs / scale` as float32. Nothing
    is subtracted, so that a pixel that is always dark gets no gradient, and rewiring
    leaves it out. Images stay uint8 in memory, so that gathering a batch moves a
    quarter of the bytes. Where they are the tokens of a text, there is no scale, and
    the network sees int32.

    Attributes:
        name: the name in the configuration, e.g. "fashion_mnist".
        train_inputs: any shape of one example behind the first axis: images [rows,
            columns] or [rows, columns, channels], features, or tokens [positions].
        train_labels: classes from 0 to `classes` - 1, one an example or one a position.
        test_inputs: as `train_inputs`.
        test_labels: as `train_labels`.
        classes: the number of classes; of a text, its different tokens.
        scale: what numbers are divided by, so that their mean square is 1; of images
            `pixel_scale`, never 0. None for tokens.
    """

    name: str
    train_inputs: Shaped[np.ndarray, "n *example"]
    train_labels: Integer[np.ndarray, "n *positions"]
    test_inputs: Shaped[np.ndarray, "m *example"]
    test_labels: Integer[np.ndarray, "m *positions"]
    classes: int
    scale: float | None

    @property
    def example(self) -> jax.ShapeDtypeStruct:
        """What the network sees of one example."""
        kind = np.int32 if self.scale is None else np.float32
        return jax.ShapeDtypeStruct(self.train_inputs.shape[1:], kind)


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
