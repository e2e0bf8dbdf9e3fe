"""A data set in memory, as every loader returns it."""

import math
from fractions import Fraction
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Integer, Shaped, UInt8

from sparse_search.data.streamed import Streamed
from sparse_search.errors import UserError

# Images whose pixels are counted at once: bounds the memory of `pixel_scale`,
# whose temporary is eight times as large as the images it counts.
_CHUNK = 4096


class Dataset(NamedTuple):
    """Examples with their labels, and the official test split.

    Where the inputs are numbers, the network sees `inputs / scale` as float32. Nothing
    is subtracted unless `config.data.center` asks for it, so that a pixel that is
    always dark gets no gradient, and rewiring leaves it out. Images stay uint8 in
    memory, so that gathering a batch moves a quarter of the bytes. Where they are the
    tokens of a text, there is no scale, and the network sees int32.

    Attributes:
        name: the name in the configuration, e.g. "fashion_mnist".
        train_inputs: any shape of one example behind the first axis: images [rows,
            columns] or [rows, columns, channels], features, or tokens [positions].
            `Streamed` where they stay on the disk.
        train_labels: classes from 0 to `classes` - 1, one an example or one a position.
        test_inputs: as `train_inputs`.
        test_labels: as `train_labels`.
        classes: the number of classes; of a text, its different tokens.
        scale: what numbers are divided by, so that their mean square is 1 unless
            `config.data.divisor` says otherwise; of images `pixel_scale`, never 0. None
            for tokens.
        validation: how many of the last training examples are an official validation
            part, of which some are held out; 0 where any may be.
        mean: what is subtracted of every channel, or of all; () where nothing is.
    """

    name: str
    train_inputs: Shaped[np.ndarray, "n *example"] | Streamed
    train_labels: Integer[np.ndarray, "n *positions"]
    test_inputs: Shaped[np.ndarray, "m *example"] | Streamed
    test_labels: Integer[np.ndarray, "m *positions"]
    classes: int
    scale: float | None
    validation: int = 0
    mean: tuple[float, ...] = ()

    @property
    def example(self) -> jax.ShapeDtypeStruct:
        """What the network sees of one example."""
        kind = np.int32 if self.scale is None else np.float32
        return jax.ShapeDtypeStruct(self.train_inputs.shape[1:], kind)


def numbers(
    inputs: Shaped[Array, "n *example"], mean: tuple[float, ...], scale: float
) -> Float[Array, "n *example"]:
    """Inputs as the network sees them; see `Dataset`."""
    inputs = inputs.astype(jnp.float32)
    if mean:
        inputs = inputs - jnp.asarray(mean, jnp.float32)
    return inputs * (1 / scale)


def centered(dataset: Dataset) -> Dataset:
    """With the training inputs' means, and their deviation from these as the scale.

    A mean is of one feature of [features], of one channel of [rows, columns, channels],
    of all pixels of [rows, columns]. Images are counted in whole numbers, so no machine
    changes a bit of it.

    Raises:
        UserError: the inputs are tokens or not in memory, or every channel is constant.
    """
    inputs = dataset.train_inputs
    if dataset.scale is None or isinstance(inputs, Streamed):
        what = "tokens" if dataset.scale is None else "inputs that stay on the disk"
        raise UserError(
            f"config.data.center is True, but {dataset.name!r} has {what}, of which no "
            "mean is subtracted."
        )
    channels = inputs.shape[-1] if inputs.ndim != 3 else 1
    kind = np.int64 if np.issubdtype(inputs.dtype, np.integer) else np.float64
    sums, squares = np.zeros(channels, kind), np.zeros(channels, kind)
    for start in range(0, len(inputs), _CHUNK):
        some = inputs[start : start + _CHUNK].reshape(-1, channels).astype(kind)
        sums += some.sum(axis=0)
        squares += np.square(some).sum(axis=0)
    count = inputs.size // channels
    rest = [
        q - s * s / count for s, q in zip(sums.tolist(), squares.tolist(), strict=True)
    ]
    square = sum(rest) / inputs.size
    if square <= 0:
        raise UserError(
            f"config.data.center is True, but nothing varies in {dataset.name!r}."
        )
    mean = tuple(s / count for s in sums.tolist())
    return dataset._replace(mean=mean, scale=math.sqrt(square))


def check(dataset: Dataset) -> None:
    """Raise a `UserError` for a data set that cannot be trained on."""
    name = f"The data set {dataset.name!r}"
    if not isinstance(dataset.name, str) or not dataset.name:
        raise UserError(f"{name} has no name.")
    if dataset.test_inputs.shape[1:] != dataset.train_inputs.shape[1:]:
        raise UserError(
            f"{name} has training examples of shape "
            f"{list(dataset.train_inputs.shape[1:])}, but test examples of shape "
            f"{list(dataset.test_inputs.shape[1:])}."
        )
    if not 0 <= dataset.validation < len(dataset.train_labels):
        raise UserError(f"{name} has nothing to train on beside its validation part.")
    for part, inputs, labels in (
        ("training", dataset.train_inputs, dataset.train_labels),
        ("test", dataset.test_inputs, dataset.test_labels),
    ):
        if len(inputs) != len(labels) or not len(labels):
            raise UserError(
                f"{name} has {len(inputs)} {part} examples and {len(labels)} labels."
            )
        if not np.issubdtype(labels.dtype, np.integer):
            raise UserError(f"{name} has labels of {labels.dtype}, not whole numbers.")
        least, most = int(labels.min()), int(labels.max())
        if least < 0 or most >= dataset.classes:
            raise UserError(
                f"{name} has {part} labels from {least} to {most}, but "
                f"{dataset.classes} classes, from 0 to {dataset.classes - 1}."
            )
        numbers = None if isinstance(inputs, Streamed) else inputs
        if numbers is not None and not np.isfinite(numbers).all():
            raise UserError(f"{name} has {part} inputs that are no finite numbers.")
        if dataset.scale is None and not np.issubdtype(inputs.dtype, np.integer):
            raise UserError(
                f"{name} has no scale, so its inputs are tokens, not {inputs.dtype}."
            )
    if dataset.scale is not None and not 0 < dataset.scale < math.inf:
        raise UserError(f"{name} has the scale {dataset.scale}; it is above 0.")


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
