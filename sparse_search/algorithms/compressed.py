"""Any algorithm that looks at stored weights alone, on layers that store nothing else.

The same algorithm in another representation: where a layer is compressed, its parameter
is the vector of its weights' values and its mask a topology (`sparse.formats`); the
masks that a seed gives are those of the masked form. What differs in the contract:

- `init` takes, in place of parameters, what makes those that exist (`Beginning`);
- `view` puts the topologies beside the parameters, as the collection "topology";
- of the collection "taps" among the gradients come the factors of dense gradients;
- `info.source` says where every weight was before.

Between rewires no weights are dense. Those of SET, RigL, GSE and MEST are not at
rewires either; all others are shown the dense network there, and what they keep of it
is stored.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from sparse_search import trees
from sparse_search.algorithms import grow_prune
from sparse_search.algorithms.base import (
    Info,
    SparseAlgorithm,
    masked_grads,
    no_rewire,
    random_start,
    same_view,
)
from sparse_search.masks.patterns import UNSTRUCTURED
from sparse_search.sparse import formats, layers, rewiring
from sparse_search.sparse.formats import Tiled
from sparse_search.types import Array, Counts, Key, Params

COLLECTION = "params"


def reason_against(algorithm: SparseAlgorithm) -> str | None:
    """Why an algorithm cannot train compressed layers; None where it can."""
    if algorithm.view is not same_view:
        return "lets the network see other weights than it stores"
    if algorithm.trainings > 1:
        return "goes back to weights that it had before"
    if algorithm.filter_grads is not masked_grads:
        return "looks at gradients of weights that it does not store, at every step"
    if algorithm.conserves != "layer":
        return "changes how many weights a layer has"
    # `sparse.census` knows a first mask by its key: one that the masks go away from.
    if algorithm.rewire is not no_rewire and not _starts_at_random(algorithm):
        return "rewires and does not begin with any unstructured mask"
    return None


def _starts_at_random(algorithm: SparseAlgorithm) -> bool:
    """Whether it begins anywhere, so that nothing needs to be dense."""
    known = {"pattern": UNSTRUCTURED}
    return _is(algorithm.init, random_start, known) or _is(
        algorithm.init, random_start, known | {"scaled": False}
    )


def _exchanges(algorithm: SparseAlgorithm) -> bool:
    """Whether a rewire is an exchange that stored weights and factors suffice for."""
    exchange: grow_prune.Exchange | None = algorithm.exchange
    if exchange is None:
        return False
    keeps = exchange.keep is grow_prune.magnitude or isinstance(
        exchange.keep, grow_prune.Importance
    )
    grows = exchange.grow.score in (None, grow_prune.steepness)
    # What describes a built-in is kept by one that was made of it with other functions.
    arguments = exchange._asdict() | {"pattern": UNSTRUCTURED}
    same = _is(algorithm.rewire, grow_prune.rewire, arguments)
    return keeps and grows and exchange.grow.new == "zero" and same


def _is(made: Any, function: Callable[..., Any], arguments: dict[str, Any]) -> bool:
    """Whether something is a function with these arguments filled in."""
    if not isinstance(made, functools.partial) or made.func is not function:
        return False
    given = made.keywords
    same = given.keys() == arguments.keys() and not made.args
    return same and all(given[name] is value for name, value in arguments.items())


class Beginning(NamedTuple):
    """What a compressed network begins with.

    Attributes:
        shapes: of the parameters of the dense network.
        draw: initial parameters from the collection of topologies, in a mapping.
    """

    shapes: Params
    draw: Callable[[Any], Params]


def compressed(algorithm: SparseAlgorithm, rooms: Mapping[str, int]) -> SparseAlgorithm:
    """The algorithm on layers of which some are compressed.

    Args:
        algorithm: of which `reason_against` says None.
        rooms: the capacity of every layer that is compressed, by name.
    """
    rewire: Any = no_rewire
    if algorithm.rewire is not no_rewire:
        rewire = (_in_place if _exchanges(algorithm) else _through_dense)(algorithm)

    def view(params: Params, state: Any) -> Params:
        topologies = _topologies(state.masks)[COLLECTION]
        return {**algorithm.view(params, state), layers.TOPOLOGY: topologies}

    def filter_grads(grads: Params, params: Params, state: Any) -> tuple[Params, Any]:
        of_params = {name: grads[name] for name in params}
        return algorithm.filter_grads(of_params, params, state)

    begin = _at_random if _starts_at_random(algorithm) else _from_dense
    return algorithm._replace(
        init=begin(algorithm, rooms),
        view=view,
        filter_grads=filter_grads,
        rewire=rewire,
    )


def _at_random(algorithm: SparseAlgorithm, rooms: Mapping[str, int]) -> Any:
    """An `init` that draws positions, and the weights at them."""
    start: Any = algorithm.init
    scaled = start.keywords.get("scaled", True)

    def init(key: Key, params: Beginning, counts: Counts) -> tuple[Params, Any]:
        def begin(key: Key, count: Array, capacity: int, shape: Any) -> Tiled | None:
            if not capacity:
                return None
            return rewiring.random_topology(key, shape.shape, count, capacity)

        tiled = trees.map_sparse_with_key(
            begin, key, counts, _capacities(counts, rooms), params.shapes
        )
        drawn = params.draw({layers.TOPOLOGY: _topologies(tiled)[COLLECTION]})
        begun = trees.map_sparse(_scaled, tiled, drawn) if scaled else drawn
        others = _without(counts, tiled)
        made, state = algorithm.init(key, trees.where_sparse(begun, drawn), others)
        return made, state._replace(masks=trees.where_sparse(tiled, state.masks))

    return init


def _from_dense(algorithm: SparseAlgorithm, rooms: Mapping[str, int]) -> Any:
    """An `init` that chooses among the dense network's weights; what it keeps."""

    def init(key: Key, params: Beginning, counts: Counts) -> tuple[Params, Any]:
        made, state = algorithm.init(key, params.draw({}), counts)

        def store(mask: Array, capacity: int) -> Tiled | None:
            if not capacity:
                return None
            return _stored(mask, formats.empty(mask.shape, capacity))

        tiled = trees.map_sparse(store, state.masks, _capacities(counts, rooms))
        kept = trees.map_sparse(formats.values_at, tiled, made)
        masks = trees.where_sparse(tiled, state.masks)
        return trees.where_sparse(kept, made), state._replace(masks=masks)

    return init


def _in_place(algorithm: SparseAlgorithm) -> Any:
    """A `rewire` of stored weights, by the factors of their dense gradients."""
    exchange: grow_prune.Exchange = algorithm.exchange

    def rewire(
        key: Key, params: Params, grads: Params, state: Any
    ) -> tuple[Params, Any, Info]:
        tiled = _tiled(state.masks)
        share = exchange.fraction(state.step)

        def layer(
            key: Key, topology: Tiled, weight: Array, grad: Array, tapped: Any
        ) -> Any:
            number = grow_prune.part(topology.nnz, share)
            return _exchange(key, topology, weight, grad, tapped, number, exchange)

        of_params = {name: grads[name] for name in params}
        tapped = _at_leaves({COLLECTION: grads.get(layers.TAPS, {})}, tiled)
        found = trees.map_sparse_with_key(layer, key, tiled, params, of_params, tapped)

        def of_compressed(field: int) -> Any:
            return trees.map_sparse(lambda _, layer: layer[field], tiled, found)

        state = state._replace(masks=_without(state.masks, tiled))
        params, state, info = algorithm.rewire(key, params, of_params, state)
        masks, weights, dropped, grown, source = map(of_compressed, range(5))
        return (
            trees.where_sparse(weights, params),
            state._replace(masks=trees.where_sparse(masks, state.masks)),
            Info(
                trees.where_sparse(dropped, info.dropped),
                trees.where_sparse(grown, info.grown),
                source=source,
            ),
        )

    return rewire


def _through_dense(algorithm: SparseAlgorithm) -> Any:
    """A `rewire` of the dense network, of which is stored what it keeps."""

    def rewire(
        key: Key, params: Params, grads: Params, state: Any
    ) -> tuple[Params, Any, Info]:
        tiled = _tiled(state.masks)

        def matrix(topology: Tiled, values: Array) -> Array:
            return formats.to_dense(topology, values).reshape(topology.kernel)

        def gradient(topology: Tiled, grad: Array, tapped: Any) -> Array:
            x, *g = tapped
            dense = jnp.matmul(x, g[0].T) if g else x
            return dense.astype(grad.dtype).reshape(topology.kernel)

        def mask(topology: Tiled) -> Array:
            return formats.to_mask(topology).reshape(topology.kernel)

        of_params = {name: grads[name] for name in params}
        tapped = _at_leaves({COLLECTION: grads.get(layers.TAPS, {})}, tiled)
        made, state, info = algorithm.rewire(
            key,
            trees.where_sparse(trees.map_sparse(matrix, tiled, params), params),
            trees.where_sparse(
                trees.map_sparse(gradient, tiled, of_params, tapped), of_params
            ),
            state._replace(
                masks=trees.where_sparse(trees.map_sparse(mask, tiled), state.masks)
            ),
        )
        new = trees.map_sparse(lambda old, mask: _stored(mask, old), tiled, state.masks)
        source = trees.map_sparse(rewiring.sources, tiled, new)
        kept = trees.map_sparse(formats.values_at, new, made)
        return (
            trees.where_sparse(kept, made),
            state._replace(masks=trees.where_sparse(new, state.masks)),
            info._replace(source=source),
        )

    return rewire


def _tiled(masks: Any) -> Any:
    """The compressed leaves of masks, None in the place of all others."""
    return trees.map_sparse(lambda m: m if isinstance(m, Tiled) else None, masks)


def _capacities(counts: Counts, rooms: Mapping[str, int]) -> Any:
    return jax.tree_util.tree_map_with_path(
        lambda path, _: rooms.get(trees.name(path), 0), counts
    )


def _stored(mask: Array, like: Tiled) -> Tiled:
    return rewiring.compress(mask.reshape(like.shape), like)


def _exchange(
    key: Key,
    topology: Tiled,
    values: Array,
    grad: Array,
    tapped: Any,
    number: Array,
    exchange: grow_prune.Exchange,
) -> Any:
    """A compressed layer's part of a rewire."""
    grow = exchange.grow
    growth: rewiring.Growth = "random"
    drawn = None
    if grow.score is not None:
        growth = "gradient" if grow.candidates is None else "sampled_gradient"
    if grow.candidates is not None:
        drawn = jnp.round(grow.candidates * topology.nnz).astype(jnp.int32)
    new = rewiring.exchange(
        key,
        topology,
        exchange.keep(values, grad),
        topology.nnz - number,
        topology.nnz,
        growth,
        rewiring.factors(tapped) if grow.score is not None else None,
        drawn,
    )
    moved = jnp.where(new.source >= 0, values[new.source], jnp.zeros_like(values))
    return new.topology, moved, new.dropped, new.grown, new.source


def _topologies(masks: Any) -> Any:
    """The compressed leaves of masks alone: a tree without the others."""
    if isinstance(masks, Mapping):
        found = {name: _topologies(inner) for name, inner in masks.items()}
        return {name: inner for name, inner in found.items() if inner is not None}
    return masks if isinstance(masks, Tiled) else None


def _at_leaves(tree: Any, masks: Any) -> Any:
    """A tree of some leaves with the structure of masks, None where it has none."""
    if isinstance(masks, Mapping):
        return {
            name: _at_leaves(tree.get(name, {}) if isinstance(tree, Mapping) else {}, m)
            for name, m in masks.items()
        }
    return tree if isinstance(masks, Tiled) and tree else None


def _without(tree: Any, tiled: Any) -> Any:
    """A tree like masks without its compressed leaves: None, as where it is dense."""
    return jax.tree.map(
        lambda topology, leaf: leaf if topology is None else None,
        tiled,
        tree,
        is_leaf=lambda x: x is None or isinstance(x, Tiled),
    )


def _scaled(topology: Tiled, weight: Array) -> Array:
    """`base.scale_to_fan_in`, of weights that are stored alone."""
    kept = jnp.maximum(formats.fan_in(topology), 1)
    factor = jnp.sqrt(topology.shape[0] / kept).astype(weight.dtype)
    neuron = formats.positions(topology)[1]
    return weight * factor.at[neuron].get(mode="fill", fill_value=0)
