"""GaP, scheduled grow-and-prune, the cyclic variant.

Ma et al. 2022, "Effective model sparsification by scheduled grow-and-prune methods",
arXiv:2106.09857.

Layers are divided into κ partitions. One partition at a time is dense, the others are
sparse; when its turn is over,

    it is pruned: the weights of the largest magnitude stay
    the next partition grows to all its weights, the new ones at zero

in turn, several times over the steps until T_end (as far as there are rewires). Every
weight of the network is so trained at some time without ever holding a dense network.
At the last rewire what is dense is pruned.

Departures from the paper: partitions are of consecutive layers of equal number, and
training goes on with the last masks after T_end. Initial weights are scaled to the
fan-in that the mask leaves (`base.scale_to_fan_in`).
"""

import jax
import jax.numpy as jnp

from sparse_search import trees
from sparse_search.algorithms.base import (
    NEVER,
    Info,
    SparseAlgorithm,
    exchanged_info,
    integers,
    is_last,
    masked_grads,
    random_masks,
    same_view,
    scale_to_fan_in,
)
from sparse_search.algorithms.dense_state import DenseState
from sparse_search.errors import UserError
from sparse_search.masks.gate import cond_over_lanes
from sparse_search.masks.patterns import UNSTRUCTURED, Pattern
from sparse_search.names import natural
from sparse_search.types import Array, Bool, Counts, Int, Key, Masks, Params, Scalar


def gap(
    until: Scalar = NEVER,
    every: int = 100,
    pattern: Pattern = UNSTRUCTURED,
    partitions: int = 4,
    cycles: int = 2,
) -> SparseAlgorithm:
    """GaP: partitions of the layers are grown to dense and pruned in turn.

    Args:
        until: T_end, the step from which masks stay.
        every: ΔT, the smallest number of steps from one rewire to the next.
        pattern: which masks are allowed.
        partitions: κ; at most as many as there are sparse layers.
        cycles: how often every partition has its turn.

    Raises:
        UserError: an argument is not positive.
    """
    if partitions < 1 or cycles < 1:
        raise UserError(
            f"partitions={partitions} and cycles={cycles} must be at least 1."
        )

    def dense(masks: Masks, phase: Int[Array, ""]) -> Masks:
        """Of every sparse layer, whether its partition has its turn."""
        names = [name for name, m in trees.named_leaves(masks).items() if m is not None]
        order = sorted(names, key=natural)
        number = min(partitions, len(names))
        turn = [
            phase % number == order.index(name) * number // len(names) for name in names
        ]
        return jax.tree.unflatten(jax.tree.structure(masks), turn)

    def begin(mask: Bool[Array, "*s"], turn: Bool[Array, ""]) -> Bool[Array, "*s"]:
        return mask | turn

    def init(key: Key, params: Params, counts: Counts) -> tuple[Params, DenseState]:
        counts = integers(counts)
        sparse = random_masks(key, params, counts, pattern)
        masks = trees.map_sparse(begin, sparse, dense(sparse, jnp.int32(0)))
        state = DenseState(masks, jnp.zeros((), jnp.int32), counts)
        return scale_to_fan_in(params, masks), state

    def rewire(
        key: Key, params: Params, grads: Params, state: DenseState
    ) -> tuple[Params, DenseState, Info]:
        del grads
        number = min(partitions, len(jax.tree.leaves(state.masks))) * cycles
        ends = jnp.maximum(jnp.asarray(until, jnp.int32), 1)
        phase = (state.step + 1) * jnp.clip(ends // every, 1, number) // ends
        turns = dense(state.masks, phase)
        last = is_last(state.step, every, until)

        def layer(
            key: Key, mask: Array, weight: Array, count: Array, turn: Array
        ) -> Array:
            return cond_over_lanes(
                turn & ~last,
                lambda: jnp.ones_like(mask),
                lambda: pattern.select(key, jnp.abs(weight), count, mask),
            )

        masks = trees.map_sparse_with_key(
            layer, key, state.masks, params, state.counts, turns
        )
        info = exchanged_info(state.masks, masks)
        new = state._replace(masks=masks, step=state.step + 1)
        return trees.apply_masks(params, masks), new, info

    return SparseAlgorithm(
        init,
        same_view,
        masked_grads,
        rewire,
        "end",
        pattern=pattern,
        begins="any",
    )
