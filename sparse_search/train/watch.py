"""The metrics of a round that are about its topology."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from sparse_search import trees
from sparse_search.algorithms.base import Info
from sparse_search.masks import topology
from sparse_search.names import natural
from sparse_search.sparse import census, formats
from sparse_search.sparse.formats import Tiled
from sparse_search.sparse.layers import TAPS
from sparse_search.sparse.products import product, transposed
from sparse_search.types import Array, Float, Int, Key, Masks, Params


class Watch(NamedTuple):
    """What is remembered of masks; of compressed layers, what `sparse.census` tells.

    Attributes:
        first: as they were at the start.
        ever: entries that were stored at some time.
    """

    first: Any
    ever: Any


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


def begin(key: Key, masks: Masks) -> Watch:
    """Before the first step.

    Args:
        key: that the masks were made with.
        masks: as they were made.
    """

    def layer(key: Key, mask: Any) -> Any:
        return census.begin(key, mask) if isinstance(mask, Tiled) else (mask, mask)

    made = trees.map_sparse_with_key(layer, key, masks)
    return Watch(
        trees.map_sparse(lambda _, found: found[0], masks, made),
        trees.map_sparse(lambda _, found: found[1], masks, made),
    )


def look(
    watch: Watch,
    masks: Masks,
    before: Masks,
    grads: Params,
    info: Info,
    is_chain: bool = True,
) -> tuple[Watch, TopologyMetrics]:
    """What is remembered after a round, and the round's metrics.

    Args:
        watch: before the round.
        masks: after the round.
        before: those that the last gradient was taken with.
        grads: the round's last gradient, dense.
        info: what its rewire did.
        is_chain: whether every layer sees the one before it and nothing else.
    """
    named = {name: m for name, m in trees.named_leaves(masks).items() if m is not None}
    seen = trees.map_sparse(_layer, masks, watch.first, watch.ever)
    watch = watch._replace(ever=trees.map_sparse(lambda _, one: one.ever, masks, seen))
    found = [one.topology for one in jax.tree.leaves(seen, is_leaf=_is_looked)]
    dropped, grown = jax.tree.leaves(info.dropped), jax.tree.leaves(info.grown)
    layers = {}
    for name, at, out, into in zip(named, found, dropped, grown, strict=True):
        size = float(named[name].size)
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
    connections = [_connections(named[name]) for name in order]
    useful = topology.effective(connections) if is_chain else None
    stored = _sum([at.nnz for at in found])
    sizes = float(max(sum(mask.size for mask in named.values()), 1))
    on, off = _norms(before, grads)
    metrics = TopologyMetrics(
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
    return watch, metrics


class _Looked(NamedTuple):
    """A layer after a round, and what is remembered of it from then on."""

    topology: topology.LayerTopology
    ever: Any


def _is_looked(found: Any) -> bool:
    return isinstance(found, _Looked)


def _layer(mask: Any, first: Any, ever: Any) -> _Looked:
    if not isinstance(mask, Tiled):
        ever = ever | mask
        return _Looked(topology.layer(mask, first, ever), ever)
    kept, ever = census.look(first, ever, mask)
    found = topology.LayerTopology(
        nnz=mask.nnz,
        kept=kept,
        explored=jnp.round(census.explored(ever)).astype(jnp.int32),
        fan_in_spread=topology.spread(formats.fan_in(mask).astype(jnp.float32)),
        fan_out_spread=topology.spread(formats.fan_out(mask).astype(jnp.float32)),
    )
    return _Looked(found, ever)


def _connections(mask: Any) -> topology.Layer:
    if not isinstance(mask, Tiled):
        return topology.of_mask(mask)

    def forward(x: Array) -> Array:
        ones, none = mask.stored.astype(x.dtype), jnp.zeros(mask.shape[1], x.dtype)
        return product(mask, ones, none, x[:, None])[:, 0]

    def backward(y: Array) -> Array:
        return transposed(mask, mask.stored.astype(y.dtype), y[:, None])[:, 0]

    return topology.Layer(mask.kernel, forward, backward)


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
            x, g = tapped[f"{name}/0"], tapped.get(f"{name}/1")
            if g is None:
                everywhere = _square(x)
            else:  # of x gᵀ, from the products of every two examples
                everywhere = jnp.vdot(x.T @ x, g.T @ g).astype(jnp.float32)
            off += jnp.maximum(everywhere - stored, 0)
        else:
            off += _square(jnp.where(mask, jnp.zeros_like(grad), grad))
    return jnp.sqrt(on), jnp.sqrt(off)


def _square(x: Array) -> Float[Array, ""]:
    # A product with itself is faster than a sum of squares. Not `vdot`, which would
    # gather an array that is sharded to make a vector of it.
    return jnp.tensordot(x, x, x.ndim).astype(jnp.float32)


def _sum(numbers: list[Array]) -> Int[Array, ""]:
    return jnp.sum(jnp.array([0, *numbers], jnp.int32))
