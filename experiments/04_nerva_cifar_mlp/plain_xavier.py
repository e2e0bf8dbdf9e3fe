"""The perceptron with initial weights uniform within ±1 / √inputs."""

import jax

from sparse_search.models.mlp import MLP

_INIT = jax.nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")


def mlp(width, depth, classes, *, widths):
    """`widths` neurons in the hidden layers; width and depth are theirs."""
    return MLP(tuple(widths), classes, _INIT)
