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


def mlp(width: int, depth: int, classes: int) -> MLP:
    """`depth` hidden layers of `width` neurons."""
    return MLP((width,) * depth, classes)


def lenet_300_100(width: int, depth: int, classes: int) -> MLP:
    """LeNet-300-100 (LeCun et al. 1998) scaled: hidden layers w and w / 3.

    Width 300 gives the original. Its depth is two; others are not defined.
    """
    if depth != 2:
        raise ValueError("lenet_300_100 has two hidden layers: set model.depth=2.")
    return MLP((width, max(round(width / 3), 1)), classes)
