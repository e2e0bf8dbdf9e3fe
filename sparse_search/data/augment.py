"""Augmentation of image batches: pure functions of a key, inside the jitted step.

Names are applied in the order in which they are given:

- `crop`: the image shifted by up to an eighth of its side in either direction, dark
  where nothing is left (the padding of He et al. 2016, section 4.2);
- `crop_reflect`: the same, the image's reflection where nothing is left;
- `flip`: mirrored, left and right, every other time;
- `cutout`: a square of half the side is dark, its centre anywhere (DeVries and Taylor
  2017, arXiv:1708.04552);
- `mixup`: x = λ a + (1 − λ) b and the loss λ L(a) + (1 − λ) L(b), with λ uniform from 0
  to 1 for every batch (Zhang et al. 2018, arXiv:1710.09412, with α = 1).
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from sparse_search.errors import one_of
from sparse_search.types import Array, Float, Int, Key


class Targets(NamedTuple):
    """What a batch is labelled with.

    Attributes:
        labels: of every example.
        mixed: where examples are mixed, the part of the labels, and the other labels.
    """

    labels: Int[Array, "batch *positions"]
    mixed: tuple[Float[Array, ""], Int[Array, "batch *positions"]] | None = None

    def average(
        self, measure: Callable[[Array], tuple[Array, Array]]
    ) -> tuple[Array, Array]:
        """Loss and hits with respect to the labels, or both labels by their parts."""
        first = measure(self.labels)
        if self.mixed is None:
            return first
        share, others = self.mixed
        second = measure(others)
        loss, hits = (
            share * a + (1 - share) * b for a, b in zip(first, second, strict=True)
        )
        return loss, hits


def _crop(key: Key, images: Array, mode: str = "constant") -> Array:
    rows, columns = images.shape[1:3]
    most = (max(rows // 8, 1), max(columns // 8, 1))
    sides = [(0, 0)] * images.ndim
    sides[1], sides[2] = ((most[0], most[0]), (most[1], most[1]))
    padded = jnp.pad(images, sides, mode)
    keys = jax.random.split(key)
    top, left = (
        jax.random.randint(k, (len(images),), 0, 2 * m + 1)
        for k, m in zip(keys, most, strict=True)
    )

    def cut(image: Array, top: Array, left: Array) -> Array:
        image = jax.lax.dynamic_slice_in_dim(image, top, rows)
        return jax.lax.dynamic_slice_in_dim(image, left, columns, axis=1)

    return jax.vmap(cut)(padded, top, left)


def _flip(key: Key, images: Array) -> Array:
    mirrored = jax.random.bernoulli(key, shape=(len(images),))
    mirrored = mirrored.reshape(-1, *[1] * (images.ndim - 1))
    return jnp.where(mirrored, images[:, :, ::-1], images)


def _cutout(key: Key, images: Array) -> Array:
    rows, columns = images.shape[1:3]
    keys = jax.random.split(key)

    def near(key: Key, side: int) -> Array:
        """Which of the places along a side are in the square."""
        centre = jax.random.randint(key, (len(images), 1), 0, side)
        from_start = jnp.arange(side) - (centre - side // 4)
        return (from_start >= 0) & (from_start < side // 2)

    dark = near(keys[0], rows)[:, :, None] & near(keys[1], columns)[:, None]
    dark = dark.reshape(*dark.shape, *[1] * (images.ndim - 3))
    return jnp.where(dark, 0, images)


_OF_IMAGES: dict[str, Callable[[Key, Array], Array]] = {
    "crop": _crop,
    "crop_reflect": partial(_crop, mode="reflect"),
    "flip": _flip,
    "cutout": _cutout,
}
NAMES = (*_OF_IMAGES, "mixup")


def check(names: Sequence[str]) -> None:
    """Raise a `UserError` for an augmentation that there is not."""
    for name in names:
        if name not in NAMES:
            raise one_of("config.data.augment", name, NAMES)


def augmented(
    names: Sequence[str],
    key: Key,
    inputs: Float[Array, "batch rows columns *channels"],
    labels: Int[Array, " batch"],
) -> tuple[Array, Targets]:
    """A batch as it is trained on.

    Args:
        names: of `NAMES`, static.
        key: of the step.
        inputs: the batch.
        labels: theirs.
    """
    targets = Targets(labels)
    for name, one in zip(
        names, jax.random.split(key, max(len(names), 1)), strict=False
    ):
        if name == "mixup":
            share = jax.random.uniform(one)
            # The batch is in random order already.
            inputs = share * inputs + (1 - share) * jnp.roll(inputs, 1, axis=0)
            targets = Targets(labels, (share, jnp.roll(labels, 1, axis=0)))
        else:
            inputs = _OF_IMAGES[name](one, inputs)
    return inputs, targets
