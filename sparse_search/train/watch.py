"""The metrics of a round that are about its topology."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from sparse_search import trees
from sparse_search.algorithms.base import Info
from sparse_search.masks import topology
from sparse_search.masks.allocations import natural
from sparse_search.types import Array, Float, Int, Masks, Params


class Watch(NamedTuple):
    """What is remembered of masks.

    Attributes:
        first: as they were at the start.
        ever: entries that were stored at some time.
    """

    first: Masks
    ever: Masks


class LayerMetrics(NamedTuple):
    """Of one sparse layer.

    Attributes:
        nnz: stored weights.
        density: nnz over size.
        dropped: connections, at the round's rewire.
        grown: likewise.
        turnover: the part of what is stored that was not stored at the start.
        exploration: the part of the layer that was stored at some time (the ITOP rate
            of Liu et al. 2021, arXiv:2102.02887).
        fan_in_spread: standard deviation over mean of the inputs of a neuron.
        fan_out_spread: likewise of the neurons that an input goes to.
    """

    nnz: Int[Array, ""]
    density: Float[Array, ""]
    dropped: Int[Array, ""]
    grown: Int[Array, ""]
    turnover: Float[Array, ""]
    exploration: Float[Array, ""]
    fan_in_spread: Float[Array, ""]
    fan_out_spread: Float[Array, ""]


class TopologyMetrics(NamedTuple):
    """Of all sparse layers; the first four as in `LayerMetrics`, summed or of sums.

    Attributes:
        nnz: stored weights.
        dropped: connections, at the round's rewire.
        grown: likewise.
        turnover: the part of what is stored that was not stored at the start.
        exploration: the part that was stored at some time.
        effective_parameters: those on a path from an input to an output; None for
            networks that are no chain of dense layers.
        dead_neurons: hidden neurons on no path; None likewise.
        gradient_norm_on: of the round's last gradient where weights are stored.
        gradient_norm_off: where sparse layers store none.
        layers: of every sparse layer, by name.
    """

    nnz: Int[Array, ""]
    dropped: Int[Array, ""]
    grown: Int[Array, ""]
    turnover: Float[Array, ""]
    exploration: Float[Array, ""]
    effective_parameters: Int[Array, ""] | None
    dead_neurons: Int[Array, ""] | None
    gradient_norm_on: Float[Array, ""]
    gradient_norm_off: Float[Array, ""]
    layers: dict[str, LayerMetrics]


def begin(masks: Masks) -> Watch:
    """Before the first step."""
    return Watch(masks, masks)


def look(watch: Watch, masks: Masks) -> Watch:
    """After a round."""
    ever = trees.map_sparse(lambda old, new: old | new, watch.ever, masks)
    return watch._replace(ever=ever)


def measure(
    watch: Watch, masks: Masks, before: Masks, grads: Params, info: Info
) -> TopologyMetrics:
    """The metrics of a round.

    Args:
        watch: after the round.
        masks: after the round.
        before: those that the last gradient was taken with.
        grads: the round's last gradient, dense.
        info: what its rewire did.
    """
    named = {name: m for name, m in trees.named_leaves(masks).items() if m is not None}
    found = [
        topology.layer(*of_layer)
        for of_layer in zip(
            named.values(),
            jax.tree.leaves(watch.first),
            jax.tree.leaves(watch.ever),
            strict=True,
        )
    ]
    dropped, grown = jax.tree.leaves(info.dropped), jax.tree.leaves(info.grown)
    layers = {}
    for name, at, out, into in zip(named, found, dropped, grown, strict=True):
        size = named[name].size
        layers[name] = LayerMetrics(
            nnz=at.nnz,
            density=at.nnz / size,
            dropped=out,
            grown=into,
            turnover=1 - at.kept / jnp.maximum(at.nnz, 1),
            exploration=at.explored / size,
            fan_in_spread=at.fan_in_spread,
            fan_out_spread=at.fan_out_spread,
        )
    order = sorted(named, key=natural)
    useful = topology.effective([named[name] for name in order])
    stored = _sum([at.nnz for at in found])
    sizes = max(sum(mask.size for mask in named.values()), 1)
    on, off = _norms(before, grads)
    return TopologyMetrics(
        nnz=stored,
        dropped=_sum(dropped),
        grown=_sum(grown),
        turnover=1 - _sum([at.kept for at in found]) / jnp.maximum(stored, 1),
        exploration=_sum([at.explored for at in found]) / sizes,
        effective_parameters=useful.parameters if useful else None,
        dead_neurons=useful.dead if useful else None,
        gradient_norm_on=on,
        gradient_norm_off=off,
        layers=layers,
    )


def _norms(masks: Masks, grads: Params) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Of gradients where weights are stored, dense leaves among them, and elsewhere."""
    on = trees.apply_masks(grads, masks)
    off = jax.tree.map(
        lambda m, g: jnp.where(True if m is None else m, jnp.zeros_like(g), g),
        masks,
        grads,
        is_leaf=lambda x: x is None,
    )
    return _norm(on), _norm(off)


def _norm(tree: Params) -> Float[Array, ""]:
    # A product with itself is faster than a sum of squares.
    squares = [jnp.vdot(x, x).astype(jnp.float32) for x in jax.tree.leaves(tree)]
    return jnp.sqrt(jnp.sum(jnp.stack(squares)))


def _sum(numbers: list[Array]) -> Int[Array, ""]:
    return jnp.sum(jnp.array([0, *numbers], jnp.int32))
