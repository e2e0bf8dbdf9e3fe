"""What models of images share."""

import flax.linen as nn
import jax.numpy as jnp

from sparse_search.sparse.initializers import HeNormal
from sparse_search.sparse.layers import Conv
from sparse_search.types import Array

SMALL = 64
"""Pixels of a side up to which images are taken as CIFAR's are, not as ImageNet's."""


def with_channels(x: Array) -> Array:
    """Images [batch, rows, columns, channels]; grey ones may come without channels."""
    if x.ndim == 3:
        x = x[..., None]
    if x.ndim != 4:
        raise ValueError(
            "this model takes images [rows, columns] or [rows, columns, channels], not "
            f"examples of shape {list(x.shape[1:])}."
        )
    return x


def conv(features: int, window: int, stride: int = 1, **options: object) -> Conv:
    """A convolution without bias, padded so that stride 1 keeps the size.

    The padding is the same on all sides, as in the papers' own code; TensorFlow's
    "SAME" would shift windows with a stride of 2.
    """
    side = (window - 1) // 2
    return Conv(
        features,
        (window, window),
        (stride, stride),
        padding=((side, side), (side, side)),
        use_bias=False,
        kernel_init=HeNormal(),
        **options,  # pyright: ignore
    )


def norm(train: bool) -> nn.BatchNorm:
    """Batch normalisation: by the batch in training, else by running means."""
    return nn.BatchNorm(use_running_average=not train, momentum=0.9, epsilon=1e-5)


def global_mean(x: Array) -> Array:
    """The mean over all places: [batch, channels]."""
    return jnp.mean(x, axis=(1, 2))
