"""Multilayer perceptrons with ReLU, of any width and depth."""

from collections.abc import Callable, Sequence

import flax.linen as nn

from sparse_search.errors import one_of
from sparse_search.sparse.initializers import HeNormal
from sparse_search.sparse.layers import Dense
from sparse_search.types import Array, Float

_INITIALIZERS: dict[str, Callable[..., Array]] = {
    "he_normal": HeNormal(),
    "he_uniform": nn.initializers.he_uniform(),
    "glorot_normal": nn.initializers.glorot_normal(),
    "glorot_uniform": nn.initializers.glorot_uniform(),
    "lecun_normal": nn.initializers.lecun_normal(),
    "lecun_uniform": nn.initializers.lecun_uniform(),
}


class MLP(nn.Module):
    """Dense layers with ReLU between them.

    Attributes:
        features: the width of every hidden layer.
        classes: the width of the output.
        kernel_init: draws the weights of every layer.
    """

    features: Sequence[int]
    classes: int
    kernel_init: Callable[..., Array] = HeNormal()

    @nn.compact
    def __call__(self, x: Float[Array, "batch ..."]) -> Float[Array, "batch classes"]:
        """Logits of a batch; all axes but the first are flattened."""
        x = x.reshape(x.shape[0], -1)
        for width in self.features:
            x = Dense(width, relu=True, kernel_init=self.kernel_init)(x, wait=True)
        return Dense(self.classes, kernel_init=self.kernel_init)(x)


def mlp(
    width: int,
    depth: int,
    classes: int,
    *,
    widths: Sequence[int] = (),
    init: str = "he_normal",
) -> MLP:
    """`depth` hidden layers of `width` neurons.

    Args:
        width: of the widest hidden layer.
        depth: the number of hidden layers.
        classes: outputs.
        widths: of the hidden layers in proportion, as (4000, 1000, 4000) for SET-MLP,
            whose width is 4000; by default all the same.
        init: how weights are drawn: he, glorot or lecun, _normal or _uniform.
    """
    drawn = _initializer(init)
    if not widths:
        return MLP((width,) * depth, classes, drawn)
    if len(widths) != depth or min(widths) < 1:
        raise ValueError(
            f"options.widths={tuple(widths)} has {len(widths)} layers: set "
            f"model.depth={len(widths)}, not {depth}."
        )
    largest = max(widths)
    scaled = (max(round(width * one / largest), 1) for one in widths)
    return MLP(tuple(scaled), classes, drawn)


def lenet_300_100(
    width: int, depth: int, classes: int, *, init: str = "he_normal"
) -> MLP:
    """LeNet-300-100 (LeCun et al. 1998) scaled: hidden layers w and w / 3.

    Width 300 gives the original. Its depth is two; others are not defined. `init` says
    how weights are drawn, as in `mlp`.
    """
    if depth != 2:
        raise ValueError("lenet_300_100 has two hidden layers: set model.depth=2.")
    return MLP((width, max(round(width / 3), 1)), classes, _initializer(init))


def _initializer(name: str) -> Callable[..., Array]:
    if name not in _INITIALIZERS:
        raise one_of("config.model.options.init", name, _INITIALIZERS)
    return _INITIALIZERS[name]
