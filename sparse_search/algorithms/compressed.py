"""Any algorithm that only exchanges weights, on layers that store nothing else.

The same algorithm in another representation: where a layer is compressed, its parameter
is the vector of its weights' values and its mask a topology (`sparse.formats`); the
masks that a seed gives are those of the masked form. What differs in the contract:

- `init` takes, in place of parameters, what makes those that exist (`Beginning`);
- `view` puts the topologies beside the parameters, as the collection "topology";
- of the collection "taps" among the gradients come the factors of dense gradients;
- `info.source` says where every weight was before.
"""

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
    scale_to_fan_in,
)
from sparse_search.masks import counting
from sparse_search.masks.patterns import UNSTRUCTURED
from sparse_search.sparse import formats, layers, rewiring
from sparse_search.sparse.formats import Tiled
from sparse_search.types import Array, Counts, Key, Params

COLLECTION = "params"


def reason_against(algorithm: SparseAlgorithm) -> str | None:
    """Why an algorithm cannot train compressed layers; None where it can."""
    exchange: grow_prune.Exchange | None = algorithm.exchange
    if exchange is None:
        return "does more than to exchange weights"
    if algorithm.pattern is not UNSTRUCTURED:
        return f"has the pattern {algorithm.pattern.name!r}"
    if exchange.keep is not grow_prune.magnitude:
        return "keeps weights by other than their magnitude"
    if exchange.grow.score not in (None, grow_prune.steepness):
        return "grows by a score of its own"
    if exchange.grow.new != "zero":
        return f"gives new weights a value ({exchange.grow.new})"
    return None


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
    exchange: grow_prune.Exchange = algorithm.exchange

    def init(key: Key, params: Beginning, counts: Counts) -> tuple[Params, MaskState]:
        capacities = jax.tree_util.tree_map_with_path(
            lambda path, _: rooms.get(trees.name(path), 0), counts
        )

        def begin(key: Key, count: Array, capacity: int, shape: Any) -> Any:
            if capacity:
                return rewiring.random_topology(key, shape.shape, count, capacity)
            return UNSTRUCTURED.select(key, None, count, jnp.ones(shape.shape, bool))

        masks = trees.map_sparse_with_key(begin, key, counts, capacities, params.shapes)
        topologies = _topologies(masks)[COLLECTION]
        drawn = params.draw({layers.TOPOLOGY: topologies})
        state = MaskState(masks, jnp.zeros((), jnp.int32))
        return _scaled(drawn, masks), state

    def view(params: Params, state: MaskState) -> Params:
        return {**params, layers.TOPOLOGY: _topologies(state.masks)[COLLECTION]}

    def filter_grads(
        grads: Params, params: Params, state: MaskState
    ) -> tuple[Params, MaskState]:
        return masked_grads({name: grads[name] for name in params}, params, state)

    def rewire(
        key: Key, params: Params, grads: Params, state: MaskState
    ) -> tuple[Params, MaskState, Info]:
        share = exchange.fraction(state.step)
        factors = {COLLECTION: grads.get(layers.TAPS, {})}

        def layer(key: Key, mask: Any, weight: Array, grad: Array, tapped: Any) -> Any:
            if isinstance(mask, Tiled):
                number = grow_prune.part(mask.nnz, share)
                return _exchange(key, mask, weight, tapped, number, exchange.grow)
            count = counting.count(mask)
            kept = count - grow_prune.part(count, share)
            scores = grow_prune.growth_scores(key, mask, weight, grad, exchange.grow)
            keep = exchange.keep(weight, grad)
            new = UNSTRUCTURED.exchange(key, mask, keep, kept, scores, count)
            dropped, grown = (counting.count(m) for m in (mask & ~new, new & ~mask))
            weight = jnp.where(new, weight, jnp.zeros_like(weight))
            return new, weight, dropped, grown, None

        tapped = _at_leaves(factors, state.masks)
        of_params = {name: grads[name] for name in params}
        made = trees.map_sparse_with_key(
            layer, key, state.masks, params, of_params, tapped
        )

        def pick(i: int) -> Any:
            return trees.map_sparse(lambda _, found: found[i], state.masks, made)

        masks, changed, dropped, grown, source = (pick(i) for i in range(5))
        params = trees.where_sparse(changed, params)
        info = Info(dropped, grown, source=source)
        return params, MaskState(masks, state.step + 1), info

    rewires = algorithm.rewire is not no_rewire
    return algorithm._replace(
        init=init,
        view=view,
        filter_grads=filter_grads,
        rewire=rewire if rewires else no_rewire,
    )


def _exchange(
    key: Key,
    topology: Tiled,
    values: Array,
    tapped: Any,
    number: Array,
    grow: grow_prune.Growth,
) -> Any:
    """A compressed layer's part of a rewire."""
    growth: rewiring.Growth = "random"
    drawn = None
    if grow.score is not None:
        growth = "gradient" if grow.candidates is None else "sampled_gradient"
    if grow.candidates is not None:
        drawn = jnp.round(grow.candidates * topology.nnz).astype(jnp.int32)
    new = rewiring.exchange(
        key,
        topology,
        jnp.abs(values),
        topology.nnz - number,
        topology.nnz,
        growth,
        rewiring.Factors(*tapped) if grow.score is not None else None,
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


def _scaled(params: Params, masks: Any) -> Params:
    """`base.scale_to_fan_in`, in either representation."""

    def layer(mask: Any, weight: Array) -> Array:
        if not isinstance(mask, Tiled):
            return scale_to_fan_in(weight, mask)
        kept = jnp.maximum(formats.fan_in(mask), 1)
        factor = jnp.sqrt(mask.shape[0] / kept).astype(weight.dtype)
        neuron = formats.positions(mask)[1]
        return weight * factor.at[neuron].get(mode="fill", fill_value=0)

    return trees.where_sparse(trees.map_sparse(layer, masks, params), params)
