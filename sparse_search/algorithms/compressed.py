"""Any algorithm that only exchanges weights, on layers that store nothing else.

The same algorithm in another representation: where a layer is compressed, its parameter
is the vector of its weights' values and its mask a topology (`sparse.formats`); the
masks that a seed gives are those of the masked form. What differs in the contract:

- `init` takes, in place of parameters, what makes those that exist (`Beginning`);
- `view` puts the topologies beside the parameters, as the collection "topology";
- of the collection "taps" among the gradients come the factors of dense gradients;
- `info.source` says where every weight was before.
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
    MaskState,
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
    if algorithm.pattern is not UNSTRUCTURED:
        return f"has the pattern {algorithm.pattern.name!r}"
    if algorithm.rewire is no_rewire:
        if algorithm.conserves != "layer":
            return "divides its weights among layers itself"
        return _first_difference(algorithm, {})
    exchange: grow_prune.Exchange | None = algorithm.exchange
    if exchange is None:
        return "does more than to exchange weights"
    known_score = isinstance(exchange.keep, grow_prune.Importance)
    if exchange.keep is not grow_prune.magnitude and not known_score:
        return "keeps weights by a score of its own"
    if exchange.grow.score not in (None, grow_prune.steepness):
        return "grows by a score of its own"
    if exchange.grow.new != "zero":
        return f"gives new weights a value ({exchange.grow.new})"
    # What describes a built-in is kept by one that was made of it with other functions.
    arguments = exchange._asdict() | {"pattern": algorithm.pattern}
    rewires = _is(algorithm.rewire, grow_prune.rewire, arguments)
    return _first_difference(
        algorithm, {"init": _starts_at_random(algorithm), "rewire": rewires}
    )


def _first_difference(
    algorithm: SparseAlgorithm, others: Mapping[str, bool]
) -> str | None:
    """Which function is not the one that compressed layers take the place of."""
    same = {
        "view": algorithm.view is same_view,
        "filter_grads": algorithm.filter_grads is masked_grads,
    }
    for name, right in {**others, **same}.items():
        if not right:
            return f"has a function {name} of its own"
    return None


def _starts_at_random(algorithm: SparseAlgorithm) -> bool:
    known = {"pattern": algorithm.pattern}
    return _is(algorithm.init, random_start, known) or _is(
        algorithm.init, random_start, known | {"scaled": False}
    )


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

    One that never rewires may begin as it likes: it is shown the dense network once.

    Args:
        algorithm: of which `reason_against` says None.
        rooms: the capacity of every layer that is compressed, by name.
    """
    exchange: grow_prune.Exchange = algorithm.exchange
    start: Any = algorithm.init

    def capacities(counts: Counts) -> Any:
        return jax.tree_util.tree_map_with_path(
            lambda path, _: rooms.get(trees.name(path), 0), counts
        )

    def at_random(
        key: Key, params: Beginning, counts: Counts
    ) -> tuple[Params, MaskState]:
        """Draw the positions, then the weights at them; nothing is dense."""

        def begin(key: Key, count: Array, capacity: int, shape: Any) -> Tiled | None:
            if not capacity:
                return None
            return rewiring.random_topology(key, shape.shape, count, capacity)

        tiled = trees.map_sparse_with_key(
            begin, key, counts, capacities(counts), params.shapes
        )
        drawn = params.draw({layers.TOPOLOGY: _topologies(tiled)[COLLECTION]})
        scaled = start.keywords.get("scaled", True)
        begun = trees.map_sparse(_scaled, tiled, drawn) if scaled else drawn
        others = _without(counts, tiled)
        made, state = algorithm.init(key, trees.where_sparse(begun, drawn), others)
        return made, state._replace(masks=trees.where_sparse(tiled, state.masks))

    def from_dense(
        key: Key, params: Beginning, counts: Counts
    ) -> tuple[Params, MaskState]:
        """Let it choose among the dense network's weights, and store what it keeps."""
        made, state = algorithm.init(key, params.draw({}), counts)

        def store(mask: Array, capacity: int) -> Tiled | None:
            if not capacity:
                return None
            nothing = formats.empty(mask.shape, capacity)
            return rewiring.compress(mask.reshape(nothing.shape), nothing)

        def values(topology: Tiled, weight: Array) -> Array:
            at = formats.positions(topology)
            matrix = weight.reshape(topology.shape)
            return matrix.at[at].get(mode="fill", fill_value=0)

        tiled = trees.map_sparse(store, state.masks, capacities(counts))
        kept = trees.map_sparse(values, tiled, made)
        masks = trees.where_sparse(tiled, state.masks)
        return trees.where_sparse(kept, made), state._replace(masks=masks)

    def view(params: Params, state: MaskState) -> Params:
        topologies = _topologies(state.masks)[COLLECTION]
        return {**algorithm.view(params, state), layers.TOPOLOGY: topologies}

    def filter_grads(
        grads: Params, params: Params, state: MaskState
    ) -> tuple[Params, MaskState]:
        of_params = {name: grads[name] for name in params}
        return algorithm.filter_grads(of_params, params, state)

    def rewire(
        key: Key, params: Params, grads: Params, state: MaskState
    ) -> tuple[Params, MaskState, Info]:
        tiled = trees.map_sparse(
            lambda mask: mask if isinstance(mask, Tiled) else None, state.masks
        )
        share = exchange.fraction(state.step)

        def layer(
            key: Key, topology: Tiled, weight: Array, grad: Array, tapped: Any
        ) -> Any:
            number = grow_prune.part(topology.nnz, share)
            return _exchange(key, topology, weight, grad, tapped, number, exchange)

        tapped = _at_leaves({COLLECTION: grads.get(layers.TAPS, {})}, tiled)
        found = trees.map_sparse_with_key(
            layer, key, tiled, params, {COLLECTION: grads[COLLECTION]}, tapped
        )

        def of_compressed(field: int) -> Any:
            return trees.map_sparse(lambda _, layer: layer[field], tiled, found)

        state = state._replace(masks=_without(state.masks, tiled))
        of_params = {name: grads[name] for name in params}
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

    rewires = algorithm.rewire is not no_rewire
    return algorithm._replace(
        init=at_random if _starts_at_random(algorithm) else from_dense,
        view=view,
        filter_grads=filter_grads,
        rewire=rewire if rewires else no_rewire,
    )


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
