"""Residual networks: for ImageNet, for CIFAR, and wide ones."""

from functools import partial

import flax.linen as nn
import jax.numpy as jnp

from sparse_search.models.images import SMALL, conv, global_mean, norm, with_channels
from sparse_search.sparse.initializers import HeNormal
from sparse_search.sparse.layers import Dense
from sparse_search.types import Array, Float

# Blocks of each stage, and whether they are bottlenecks (He et al. 2016, table 1).
_STAGES = {
    18: ((2, 2, 2, 2), False),
    34: ((3, 4, 6, 3), False),
    50: ((3, 4, 6, 3), True),
    101: ((3, 4, 23, 3), True),
    152: ((3, 8, 36, 3), True),
}


class ResidualBlock(nn.Module):
    """Two convolutions, or three with a bottleneck, and what goes round them.

    Attributes:
        features: channels; a bottleneck returns 4 times as many.
        stride: of the (first) 3×3 convolution.
        bottleneck: 1×1, 3×3, 1×1 in place of 3×3, 3×3.
        pad: whether a shortcut that must grow is filled up with zeros (option A of the
            paper), which has no weights, in place of a 1×1 convolution (option B).
    """

    features: int
    stride: int = 1
    bottleneck: bool = False
    pad: bool = False

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch h w c"], train: bool
    ) -> Float[Array, "batch h2 w2 c2"]:
        """The block's output, behind its last ReLU."""
        before, stride = x, self.stride
        if self.bottleneck:
            x = nn.relu(norm(train)(conv(self.features, 1)(x)))
            x = nn.relu(norm(train)(conv(self.features, 3, stride)(x)))
            x = norm(train)(conv(4 * self.features, 1)(x))
        else:
            x = nn.relu(norm(train)(conv(self.features, 3, stride)(x)))
            x = norm(train)(conv(self.features, 3)(x))
        if before.shape == x.shape:
            return nn.relu(x + before)
        if self.pad:
            before = before[:, ::stride, ::stride]
            more = x.shape[-1] - before.shape[-1]
            sides = ((0, 0), (0, 0), (0, 0), (more // 2, more - more // 2))
            return nn.relu(x + jnp.pad(before, sides))
        return nn.relu(x + norm(train)(conv(x.shape[-1], 1, stride)(before)))


class ResNet(nn.Module):
    """He et al. 2016 (arXiv:1512.03385), with the stride in the 3×3 convolution.

    Images of up to 64 pixels begin with a 3×3 convolution that keeps their size, in
    place of 7×7 and pooling that quarter it.

    Attributes:
        width: channels of the first stage; they double with every stage.
        stages: blocks of each stage.
        bottleneck: the kind of block.
        classes: the width of the output.
    """

    width: int
    stages: tuple[int, ...]
    bottleneck: bool
    classes: int

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch ..."], *, train: bool = False
    ) -> Float[Array, "batch classes"]:
        """Logits of a batch of images."""
        x = with_channels(x)
        small = max(x.shape[1:3]) <= SMALL
        x = conv(self.width, 3)(x) if small else conv(self.width, 7, 2)(x)
        x = nn.relu(norm(train)(x))
        if not small:
            border = ((1, 1), (1, 1))
            x = nn.max_pool(x, (3, 3), (2, 2), border)  # pyright: ignore
        for stage, blocks in enumerate(self.stages):
            for number in range(blocks):
                stride = 2 if stage and not number else 1
                x = ResidualBlock(self.width * 2**stage, stride, self.bottleneck)(
                    x, train
                )
        return Dense(self.classes, kernel_init=HeNormal(), name="head")(global_mean(x))


def resnet(width: int, depth: int, classes: int) -> ResNet:
    """Width 64 and depth 50 give ResNet-50."""
    if depth not in _STAGES:
        raise ValueError(
            f"resnet has {', '.join(map(str, _STAGES))} layers: set model.depth to one "
            "(cifar_resnet has 20, 32, 56, …)."
        )
    stages, bottleneck = _STAGES[depth]
    return ResNet(width, stages, bottleneck, classes)


class CifarResNet(nn.Module):
    """He et al. 2016, section 4.2: three stages, shortcuts without weights.

    Attributes:
        width: channels of the first stage; they double with every stage.
        blocks: of each stage.
        classes: the width of the output.
    """

    width: int
    blocks: int
    classes: int

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch ..."], *, train: bool = False
    ) -> Float[Array, "batch classes"]:
        """Logits of a batch of images."""
        x = nn.relu(norm(train)(conv(self.width, 3)(with_channels(x))))
        for stage in range(3):
            for number in range(self.blocks):
                stride = 2 if stage and not number else 1
                x = ResidualBlock(self.width * 2**stage, stride, pad=True)(x, train)
        return Dense(self.classes, kernel_init=HeNormal(), name="head")(global_mean(x))


def cifar_resnet(width: int, depth: int, classes: int) -> CifarResNet:
    """Width 16 and depth 20, 32 or 56 give the paper's."""
    return CifarResNet(width, _blocks("cifar_resnet", depth, 2), classes)


class WideBlock(nn.Module):
    """Two convolutions behind normalisation and ReLU.

    Attributes:
        features: channels.
        stride: of the first convolution.
        dropout: between the two.
    """

    features: int
    stride: int
    dropout: float

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch h w c"], train: bool
    ) -> Float[Array, "batch h2 w2 features"]:
        """The block's output, which the next normalises."""
        convolution = partial(conv, self.features)
        y = nn.relu(norm(train)(x))
        grows = x.shape[-1] != self.features or self.stride > 1
        around = convolution(1, self.stride)(y) if grows else x
        y = convolution(3, self.stride)(y)
        y = nn.Dropout(self.dropout, deterministic=not train)(nn.relu(norm(train)(y)))
        return around + convolution(3)(y)


class WideResNet(nn.Module):
    """Zagoruyko and Komodakis 2016 (arXiv:1605.07146).

    Attributes:
        width: channels of the first stage, 16 k in WRN-d-k; they double with every
            stage. The convolution before has 16, or `width` where that is fewer.
        blocks: of each stage.
        classes: the width of the output.
        dropout: within blocks.
    """

    width: int
    blocks: int
    classes: int
    dropout: float = 0.0

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch ..."], *, train: bool = False
    ) -> Float[Array, "batch classes"]:
        """Logits of a batch of images."""
        x = conv(min(16, self.width), 3)(with_channels(x))
        for stage in range(3):
            for number in range(self.blocks):
                stride = 2 if stage and not number else 1
                x = WideBlock(self.width * 2**stage, stride, self.dropout)(x, train)
        x = global_mean(nn.relu(norm(train)(x)))
        return Dense(self.classes, kernel_init=HeNormal(), name="head")(x)


def wrn(width: int, depth: int, classes: int, *, dropout: float = 0.0) -> WideResNet:
    """Width 32 and depth 22 give WRN-22-2."""
    return WideResNet(width, _blocks("wrn", depth, 4), classes, dropout)


def _blocks(name: str, depth: int, others: int) -> int:
    """Blocks of each of three stages, of a depth with some other layers."""
    if depth <= others or (depth - others) % 6:
        allowed = ", ".join(str(6 * n + others) for n in range(1, 5))
        raise ValueError(
            f"{name} has {allowed}, … layers: set model.depth to one of these, not "
            f"{depth}."
        )
    return (depth - others) // 6
