"""What can be seen of a topology, inside a program: cheap enough for every round.

Sums over rows and columns are products with ones: XLA computes those faster than
reductions, and they are exact up to 2²⁴.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax.numpy as jnp

from sparse_search.masks import counting
from sparse_search.types import Array, Bool, Float, Int


class LayerTopology(NamedTuple):
    """Of one layer.

    Attributes:
        nnz: stored weights.
        kept: those of them that were stored at the start, too.
        explored: entries that were stored at some time.
        fan_in_spread: standard deviation over mean of the inputs of a neuron.
        fan_out_spread: likewise of the neurons that an input goes to.
    """

    nnz: Int[Array, ""]
    kept: Int[Array, ""]
    explored: Int[Array, ""]
    fan_in_spread: Float[Array, ""]
    fan_out_spread: Float[Array, ""]


def layer(
    mask: Bool[Array, "*s"], first: Bool[Array, "*s"], ever: Bool[Array, "*s"]
) -> LayerTopology:
    """Look at a layer.

    Args:
        mask: as it is; all axes but the last are inputs.
        first: as it was at the start.
        ever: what was stored at some time.
    """
    matrix = _matrix(mask)
    ones = jnp.ones(matrix.shape[0]), jnp.ones(matrix.shape[1])
    return LayerTopology(
        nnz=counting.count(mask),
        kept=counting.count(mask & first),
        explored=counting.count(ever),
        fan_in_spread=spread(ones[0] @ matrix),
        fan_out_spread=spread(matrix @ ones[1]),
    )


class Effective(NamedTuple):
    """What lies on a path from an input to an output, of a chain of dense layers.

    Attributes:
        parameters: weights and biases, as `costs.parameters.effective` counts them.
        dead: hidden neurons on no path.
    """

    parameters: Int[Array, ""]
    dead: Int[Array, ""]


class Layer(NamedTuple):
    """A layer as what its connections do with numbers of its neurons.

    Attributes:
        shape: inputs, neurons.
        forward: what the inputs' numbers sum to at every neuron.
        backward: what the neurons' numbers sum to at every input.
    """

    shape: tuple[int, ...]
    forward: Callable[[Array], Array]
    backward: Callable[[Array], Array]


def of_mask(mask: Bool[Array, "fan_in fan_out"]) -> Layer:
    """A layer from its mask."""
    matrix = _matrix(mask)
    return Layer(mask.shape, lambda x: x @ matrix, lambda y: matrix @ y)


def effective(layers: Sequence[Layer]) -> Effective | None:
    """Effective parameters of layers in forward order; None where they form no chain.

    Every neuron is taken to have a bias.
    """
    shapes = [layer.shape for layer in layers]
    chain = all(len(shape) == 2 for shape in shapes) and all(
        left[1] == right[0] for left, right in zip(shapes, shapes[1:], strict=False)
    )
    if not layers or not chain:
        return None
    reached = [jnp.ones(shapes[0][0])]
    for layer in layers:
        reached.append((layer.forward(reached[-1]) > 0).astype(jnp.float32))
    useful = [jnp.ones(shapes[-1][1])]
    for layer in reversed(layers):
        useful.insert(0, (layer.backward(useful[0]) > 0).astype(jnp.float32))
    weights = [
        _sum(layer.forward(source) * target)
        for source, layer, target in zip(reached, layers, useful[1:], strict=False)
    ]
    alive = [_sum(a * b) for a, b in zip(reached[1:-1], useful[1:-1], strict=True)]
    number = sum(alive, jnp.int32(0))
    hidden = sum(shape[1] for shape in shapes[:-1])
    outputs = shapes[-1][1]
    return Effective(sum(weights, jnp.int32(0)) + number + outputs, hidden - number)


def _matrix(mask: Bool[Array, "*s"]) -> Float[Array, "inputs neurons"]:
    return mask.reshape(-1, mask.shape[-1]).astype(jnp.float32)


def _sum(numbers: Float[Array, " n"]) -> Int[Array, ""]:
    return jnp.sum(numbers.astype(jnp.int32), dtype=jnp.int32)


def spread(numbers: Float[Array, " n"]) -> Float[Array, ""]:
    """Standard deviation over mean."""
    return jnp.std(numbers) / jnp.maximum(jnp.mean(numbers), 1e-9)
