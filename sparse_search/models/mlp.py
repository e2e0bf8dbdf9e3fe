"""Multilayer perceptrons with ReLU, of any width and depth."""

from collections.abc import Sequence

import flax.linen as nn

from sparse_search.sparse.initializers import HeNormal
from sparse_search.sparse.layers import Dense
from sparse_search.types import Array, Float


class MLP(nn.Module):
    """Dense layers with ReLU between them.

    Attributes:
        features: the width of every hidden layer.
        classes: the width of the output.
    """

    features: Sequence[int]
    classes: int

    @nn.compact
    def __call__(self, x: Float[Array, "batch ..."]) -> Float[Array, "batch classes"]:
        """Logits of a batch; all axes but the first are flattened."""
        x = x.reshape(x.shape[0], -1)
        for width in self.features:
            x = Dense(width, relu=True, kernel_init=HeNormal())(x, wait=True)
        return Dense(self.classes, kernel_init=HeNormal())(x)


def mlp(width: int, depth: int, classes: int, *, widths: Sequence[int] = ()) -> MLP:
    """`depth` hidden layers of `width` neurons.

    Args:
        width: of the widest hidden layer.
        depth: the number of hidden layers.
        classes: outputs.
        widths: of the hidden layers in proportion, as (4000, 1000, 4000) for SET-MLP,
            whose width is 4000; by default all the same.
    """
    if not widths:
        return MLP((width,) * depth, classes)
    if len(widths) != depth or min(widths) < 1:
        raise ValueError(
            f"options.widths={tuple(widths)} has {len(widths)} layers: set "
            f"model.depth={len(widths)}, not {depth}."
        )
    largest = max(widths)
    scaled = (max(round(width * one / largest), 1) for one in widths)
    return MLP(tuple(scaled), classes)


def lenet_300_100(width: int, depth: int, classes: int) -> MLP:
    """LeNet-300-100 (LeCun et al. 1998) scaled: hidden layers w and w / 3.

    Width 300 gives the original. Its depth is two; others are not defined.
    """
    if depth != 2:
        raise ValueError("lenet_300_100 has two hidden layers: set model.depth=2.")
    return MLP((width, max(round(width / 3), 1)), classes)
