"""The metrics of a round that are about its topology."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from sparse_search import trees
from sparse_search.algorithms.base import Info
from sparse_search.masks import topology
from sparse_search.masks.allocations import natural
from sparse_search.sparse import formats
from sparse_search.sparse.formats import Tiled
from sparse_search.sparse.layers import TAPS
from sparse_search.sparse.products import product, transposed
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
    turnover: Float[Array, ""] | None
    exploration: Float[Array, ""] | None
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
    turnover: Float[Array, ""] | None
    exploration: Float[Array, ""] | None
    effective_parameters: Int[Array, ""] | None
    dead_neurons: Int[Array, ""] | None
    gradient_norm_on: Float[Array, ""]
    gradient_norm_off: Float[Array, ""]
    layers: dict[str, LayerMetrics]


def begin(masks: Masks) -> Watch:
    """Before the first step."""
    dense = trees.map_sparse(lambda m: None if isinstance(m, Tiled) else m, masks)
    return Watch(dense, dense)


def look(watch: Watch, masks: Masks) -> Watch:
    """After a round."""
    ever = trees.map_sparse(
        lambda new, old: None if isinstance(new, Tiled) else old | new,
        masks,
        watch.ever,
    )
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
    first, ever = trees.named_leaves(watch.first), trees.named_leaves(watch.ever)
    found = [_layer(m, first.get(name), ever.get(name)) for name, m in named.items()]
    dropped, grown = jax.tree.leaves(info.dropped), jax.tree.leaves(info.grown)
    layers = {}
    for name, at, out, into in zip(named, found, dropped, grown, strict=True):
        size = float(named[name].size)
        layers[name] = LayerMetrics(
            nnz=at.nnz,
            density=at.nnz / size,
            dropped=out,
            grown=into,
            turnover=None if at.kept is None else 1 - at.kept / jnp.maximum(at.nnz, 1),
            exploration=None if at.explored is None else at.explored / size,
            fan_in_spread=at.fan_in_spread,
            fan_out_spread=at.fan_out_spread,
        )
    order = sorted(named, key=natural)
    useful = topology.effective([_connections(named[name]) for name in order])
    stored = _sum([at.nnz for at in found])
    sizes = float(max(sum(mask.size for mask in named.values()), 1))
    on, off = _norms(before, grads)
    kept = [at.kept for at in found]
    explored = [at.explored for at in found]
    return TopologyMetrics(
        nnz=stored,
        dropped=_sum(dropped),
        grown=_sum(grown),
        turnover=None if None in kept else 1 - _sum(kept) / jnp.maximum(stored, 1),
        exploration=None if None in explored else _sum(explored) / sizes,
        effective_parameters=useful.parameters if useful else None,
        dead_neurons=useful.dead if useful else None,
        gradient_norm_on=on,
        gradient_norm_off=off,
        layers=layers,
    )


def _layer(mask: Any, first: Any, ever: Any) -> topology.LayerTopology:
    if not isinstance(mask, Tiled):
        return topology.layer(mask, first, ever)
    return topology.LayerTopology(
        nnz=mask.nnz,
        kept=None,
        explored=None,
        fan_in_spread=topology.spread(formats.fan_in(mask).astype(jnp.float32)),
        fan_out_spread=topology.spread(formats.fan_out(mask).astype(jnp.float32)),
    )


def _connections(mask: Any) -> topology.Layer:
    if not isinstance(mask, Tiled):
        return topology.of_mask(mask)

    def forward(x: Array) -> Array:
        ones, none = mask.stored.astype(x.dtype), jnp.zeros(mask.shape[1], x.dtype)
        return product(mask, ones, none, x[:, None])[:, 0]

    def backward(y: Array) -> Array:
        return transposed(mask, mask.stored.astype(y.dtype), y[:, None])[:, 0]

    return topology.Layer(mask.shape, forward, backward)


def _norms(masks: Masks, grads: Params) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Of gradients where weights are stored, dense leaves among them, and elsewhere."""
    named = trees.named_leaves({name: grads[name] for name in masks})
    tapped = trees.named_leaves({"params": grads.get(TAPS, {})})
    on, off = jnp.zeros(()), jnp.zeros(())
    for name, mask in trees.named_leaves(masks).items():
        grad = named[name]
        if mask is None:
            on += _square(grad)
            continue
        stored = _square(jnp.where(trees.stored(mask), grad, jnp.zeros_like(grad)))
        on += stored
        if isinstance(mask, Tiled):
            x, g = tapped[f"{name}/0"], tapped[f"{name}/1"]
            # Of x gᵀ, from the products of every two examples.
            everywhere = jnp.vdot(x.T @ x, g.T @ g).astype(jnp.float32)
            off += jnp.maximum(everywhere - stored, 0)
        else:
            off += _square(jnp.where(mask, jnp.zeros_like(grad), grad))
    return jnp.sqrt(on), jnp.sqrt(off)


def _square(x: Array) -> Float[Array, ""]:
    # A product with itself is faster than a sum of squares.
    return jnp.vdot(x, x).astype(jnp.float32)


def _sum(numbers: Sequence[Array | None]) -> Int[Array, ""]:
    return jnp.sum(jnp.array([0, *numbers], jnp.int32))
