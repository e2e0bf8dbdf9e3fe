"""Plain convolutional networks: LeNet-5, VGG, MobileNet-v1."""

import flax.linen as nn

from sparse_search.models.images import (
    SMALL,
    conv,
    global_mean,
    norm,
    with_channels,
)
from sparse_search.sparse.initializers import HeNormal
from sparse_search.sparse.layers import Conv, Dense
from sparse_search.sparse.pooling import halved
from sparse_search.types import Array, Float

_LENET5_SIDE = 16  # the smallest image that two windows and two halvings leave a pixel


class LeNet5(nn.Module):
    """LeNet-5 as Caffe has it, and the literature on pruning since: 20, 50, 500.

    LeCun et al. 1998, with ReLU and max pooling; windows are 5×5 without padding.

    Attributes:
        width: channels of the first convolution; the second has 2.5 times as many,
            and the hidden layer 25 times.
        classes: the width of the output.
    """

    width: int
    classes: int

    @nn.compact
    def __call__(self, x: Float[Array, "batch ..."]) -> Float[Array, "batch classes"]:
        """Logits of a batch of images of at least 16×16 pixels."""
        x = with_channels(x)
        if min(x.shape[1:3]) < _LENET5_SIDE:
            raise ValueError(
                f"lenet5 takes images of at least {_LENET5_SIDE}×{_LENET5_SIDE} "
                f"pixels, not {x.shape[1]}×{x.shape[2]}."
            )
        for channels in (self.width, round(2.5 * self.width)):
            x = Conv(
                channels,
                (5, 5),
                padding="VALID",
                kernel_init=HeNormal(),
                halved=True,
            )(x)
        x = x.reshape(x.shape[0], -1)
        x = Dense(25 * self.width, relu=True, kernel_init=HeNormal())(x, wait=True)
        return Dense(self.classes, kernel_init=HeNormal())(x)


def lenet5(width: int, depth: int, classes: int) -> LeNet5:
    """Width 20 gives LeNet-5-Caffe. Its depth is four; others are not defined."""
    if depth != 4:
        raise ValueError("lenet5 has four layers with weights: set model.depth=4.")
    return LeNet5(width, classes)


# Convolutions of each of the five stages, by the number of layers with weights.
_VGG = {
    11: (1, 1, 2, 2, 2),
    13: (2, 2, 2, 2, 2),
    16: (2, 2, 3, 3, 3),
    19: (2, 2, 4, 4, 4),
}


class VGG(nn.Module):
    """Simonyan and Zisserman 2015 (arXiv:1409.1556) with batch normalisation.

    Images of up to 64 pixels get one fully connected layer behind the convolutions,
    as is usual on CIFAR; larger ones the three of the paper, with dropout.

    Attributes:
        width: channels of the first stage; they double up to 8 times as many.
        stages: convolutions of each stage.
        classes: the width of the output.
        dropout: between the fully connected layers of large images.
    """

    width: int
    stages: tuple[int, ...]
    classes: int
    dropout: float = 0.5

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch ..."], *, train: bool = False
    ) -> Float[Array, "batch classes"]:
        """Logits of a batch of images."""
        x = with_channels(x)
        small = max(x.shape[1:3]) <= SMALL
        for stage, convolutions in enumerate(self.stages):
            for number in range(1, convolutions + 1):
                x = norm(train)(conv(self.width * 2 ** min(stage, 3), 3)(x))
                if number == convolutions and min(x.shape[1:3]) > 1:
                    x = halved(x)
                x = nn.relu(x)
        x = x.reshape(x.shape[0], -1)
        for _ in range(0 if small else 2):
            x = Dense(64 * self.width, relu=True, kernel_init=HeNormal())(x)
            x = nn.Dropout(self.dropout, deterministic=not train)(x)
        return Dense(self.classes, kernel_init=HeNormal())(x)


def vgg(width: int, depth: int, classes: int, *, dropout: float = 0.5) -> VGG:
    """Width 64 and depth 16 give VGG-16."""
    if depth not in _VGG:
        raise ValueError("vgg has 11, 13, 16 or 19 layers: set model.depth to one.")
    return VGG(width, _VGG[depth], classes, dropout)


class Depthwise(nn.Module):
    """A 3×3 window over every channel by itself.

    Its kernels are few and stay dense, as in RigL: `masks.allocations.is_sparse` knows
    them by this class's name.
    """

    stride: int = 1

    @nn.compact
    def __call__(self, x: Float[Array, "batch h w c"]) -> Float[Array, "batch h w c"]:
        """As many channels as are given."""
        channels = x.shape[-1]
        return conv(channels, 3, self.stride, feature_group_count=channels)(x)


class MobileNet(nn.Module):
    """Howard et al. 2017 (arXiv:1704.04861), table 1.

    Images of up to 64 pixels are not halved by the first convolution.

    Attributes:
        width: channels of the first convolution; up to 32 times as many follow.
        repeats: separable convolutions with 16 times the width and stride 1.
        classes: the width of the output.
    """

    width: int
    repeats: int
    classes: int

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch ..."], *, train: bool = False
    ) -> Float[Array, "batch classes"]:
        """Logits of a batch of images."""
        x = with_channels(x)
        x = conv(self.width, 3, 1 if max(x.shape[1:3]) <= SMALL else 2)(x)
        x = nn.relu(norm(train)(x))
        for factor, stride in (
            *((2, 1), (4, 2), (4, 1), (8, 2), (8, 1), (16, 2)),
            *((16, 1) for _ in range(self.repeats)),
            *((32, 2), (32, 1)),
        ):
            x = nn.relu(norm(train)(Depthwise(stride)(x)))
            x = nn.relu(norm(train)(conv(factor * self.width, 1)(x)))
        return Dense(self.classes, kernel_init=HeNormal(), name="head")(global_mean(x))


def mobilenet_v1(width: int, depth: int, classes: int) -> MobileNet:
    """Width 32 and 13 separable convolutions are MobileNet-v1; 24 its multiplier 0.75.

    Depths from 8 on take away or add those that the paper has five of.
    """
    if depth < 8:
        raise ValueError(
            "mobilenet_v1 has 8 or more separable convolutions (13 in the paper): set "
            "model.depth so."
        )
    return MobileNet(width, depth - 8, classes)
