"""Layers whose weights are dense and masked, or stored alone.

`Dense` is flax's, in whose place it can stand, with the ReLU that follows. Where a
topology is given for its kernel (the collection "topology"), its parameter is the
vector of the weights that exist, and it computes with those only.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from sparse_search.sparse import initializers
from sparse_search.sparse.formats import Tiled
from sparse_search.sparse.products import product
from sparse_search.types import Array, Float

TOPOLOGY, TAPS = "topology", "taps"


class Dense(nn.Dense):
    """A fully connected layer.

    Attributes:
        relu: whether max(·, 0) follows.
    """

    relu: bool = False

    @nn.compact
    def __call__(self, inputs: Float[Array, "... inputs"]) -> Array:
        """The neurons' outputs."""
        if not self.has_variable(TOPOLOGY, "kernel"):
            y = super().__call__(inputs)
            return nn.relu(y) if self.relu else y
        topology: Tiled = self.get_variable(TOPOLOGY, "kernel")
        if inputs.shape[-1] != topology.shape[0]:
            raise ValueError(
                f"{self.name} has a topology of {topology.shape[0]} inputs and is "
                f"given {inputs.shape[-1]}"
            )
        values = self.param(
            "kernel",
            lambda key: initializers.at(
                self.kernel_init, key, topology, self.param_dtype
            ),
        )
        kind = self.param_dtype
        bias = jnp.zeros(self.features, kind)
        if self.use_bias:
            bias = self.param("bias", self.bias_init, (self.features,), kind)
        taps = None
        if self.has_variable(TAPS, "kernel"):
            taps = self.get_variable(TAPS, "kernel")
        x = inputs.astype(self.dtype or kind).reshape(-1, inputs.shape[-1])
        y = product(topology, values, bias, x.T, relu=self.relu, taps=taps)
        return y.T.reshape(*inputs.shape[:-1], self.features)


def with_taps(variables: dict[str, Any], batch: int) -> dict[str, Any]:
    """With zeros whose gradients are the factors of the layers' dense gradients.

    Args:
        variables: of a model; activations are in the type of its parameters.
        batch: rows that reach each of the compressed layers.
    """
    kind = jax.tree.leaves(variables["params"])[0].dtype
    zeros = jax.tree.map(
        lambda t: tuple(jnp.zeros((size, batch), kind) for size in t.shape),
        variables[TOPOLOGY],
        is_leaf=lambda x: isinstance(x, Tiled),
    )
    return {**variables, TAPS: zeros}
