"""Layers whose weights are dense and masked, or stored alone.

`Dense` is flax's, in whose place it can stand, with the ReLU that follows. Where a
topology is given for its kernel (the collection "topology"), its parameter is the
vector of the weights that exist, and it computes with those only.
"""

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from sparse_search.sparse import initializers
from sparse_search.sparse.formats import Tiled
from sparse_search.sparse.products import Layer, chain, features_first
from sparse_search.types import Array, Float

TOPOLOGY, TAPS = "topology", "taps"


class Pending(NamedTuple):
    """Compressed layers that wait for those that follow, to be one operation.

    Attributes:
        x: what the first of them is given: [rows, inputs].
        layers: each with ReLU.
        shape: of the batch that the rows are.
    """

    x: Float[Array, "rows inputs"]
    layers: tuple[Layer, ...]
    shape: tuple[int, ...]


class Dense(nn.Dense):
    """A fully connected layer.

    Attributes:
        relu: whether max(·, 0) follows.
    """

    relu: bool = False

    @nn.compact
    def __call__(self, inputs: Array | Pending, *, wait: bool = False) -> Any:
        """The neurons' outputs.

        Args:
            inputs: [..., inputs], or what a layer before returned that waits.
            wait: return `Pending` where that makes one operation of this layer and the
                next: for outputs that go to another `Dense` and nowhere else.
        """
        if not self.has_variable(TOPOLOGY, "kernel"):
            y = super().__call__(_resolved(inputs))
            return nn.relu(y) if self.relu else y
        kind = self.param_dtype
        if not isinstance(inputs, Pending):
            x = inputs.astype(self.dtype or kind).reshape(-1, inputs.shape[-1])
            inputs = Pending(x, (), inputs.shape[:-1])
        topology: Tiled = self.get_variable(TOPOLOGY, "kernel")
        values = self.param(
            "kernel", lambda key: initializers.at(self.kernel_init, key, topology, kind)
        )
        bias = jnp.zeros(self.features, kind)
        if self.use_bias:
            bias = self.param("bias", self.bias_init, (self.features,), kind)
        taps = None
        if self.has_variable(TAPS, "kernel"):
            taps = self.get_variable(TAPS, "kernel")
        layer = Layer(topology, values, bias, taps)
        inputs = inputs._replace(layers=(*inputs.layers, layer))
        return inputs if wait and self.relu else _resolved(inputs, relu=self.relu)


def _resolved(inputs: Array | Pending, *, relu: bool = True) -> Array:
    if not isinstance(inputs, Pending):
        return inputs
    y = chain(inputs.layers, features_first(inputs.x), relu=relu).T
    return y.reshape(*inputs.shape, y.shape[-1])


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
