"""Models of a user's own, small enough to train in tests."""

import flax.linen as nn
import jax.numpy as jnp
from flax import nnx

from sparse_search.models.nnx_adapter import NNX
from sparse_search.sparse import layers


class Small(nn.Module):
    """A convolution, batch statistics and dropout."""

    width: int
    classes: int
    conv: type = nn.Conv
    dense: type = nn.Dense

    @nn.compact
    def __call__(self, x, *, train=False):
        x = x.reshape(*x.shape[:3], -1)
        x = self.conv(self.width, (3, 3), strides=2, use_bias=False)(x)
        x = nn.BatchNorm(use_running_average=not train, momentum=0.9)(x)
        x = nn.relu(x).reshape(x.shape[0], -1)
        x = nn.Dropout(0.2, deterministic=not train)(x)
        return self.dense(self.classes)(x)


def small(width, depth, classes):
    assert depth == 1
    return Small(width, classes)


def small_stored(width, depth, classes):
    """Of layers that can be compressed."""
    return Small(width, classes, layers.Conv, layers.Dense)


class SmallNNX(nnx.Module):
    def __init__(self, example, width, depth, classes, rngs):
        self.enter = nnx.Conv(example[-1], width, (3, 3), rngs=rngs)
        self.norm = nnx.BatchNorm(width, rngs=rngs)
        self.drop = nnx.Dropout(0.2, rngs=rngs)
        self.hidden = nnx.List(
            [nnx.Linear(width, width, rngs=rngs) for _ in range(depth)]
        )
        self.leave = nnx.Linear(width, classes, rngs=rngs)

    def __call__(self, x):
        x = jnp.mean(nnx.relu(self.norm(self.enter(x))), (1, 2))
        for layer in self.hidden:
            x = jnp.tanh(layer(x))
        return self.leave(self.drop(x))


def small_nnx(width, depth, classes):
    return NNX(
        lambda rngs, example: SmallNNX(example, width, depth, classes, rngs=rngs)
    )
