"""RigL (Evci et al. 2020, "Rigging the Lottery", arXiv:1911.11134, algorithm 1).

Every ΔT steps until T_end, in every sparse layer of n active weights:

    k = f_decay(t) · n,  f_decay(t) = α/2 · (1 + cos(π t / T_end))       (section 3)
    drop the k active weights of the smallest magnitude |θ|
    grow the k connections of the largest gradient |∇L(θ)|, not among those kept,
         with weight zero

The gradient is dense and of one batch, and that batch makes no weight update. T_end
is 75 % of training and α = 0.3 in the paper's experiments.

With more steps between rewires and a small batch it is RigL-ITOP (Liu et al. 2021,
arXiv:2102.02887). The gradient may be summed over the last batches before a rewire, and
only a random part of the entries looked at (GSE, see `grow_prune.Growth`).

Departure from the paper: initial weights are scaled to the fan-in that the mask leaves
(`base.scale_to_fan_in`). Where its text and the authors' code differ (a connection
dropped and grown in the same rewire), see `grow_prune`.
"""

from functools import partial
from typing import NamedTuple

import jax.numpy as jnp

from sparse_search import trees
from sparse_search.algorithms import grow_prune, schedules
from sparse_search.algorithms.base import (
    NEVER,
    Info,
    MaskState,
    SparseAlgorithm,
    masked_grads,
)
from sparse_search.algorithms.static import static
from sparse_search.errors import Impossible, UserError
from sparse_search.masks.patterns import UNSTRUCTURED, Pattern
from sparse_search.types import Array, Counts, Int, Key, Masks, Params, Scalar


class SummingState(NamedTuple):
    """The state of RigL that sums gradients.

    Attributes:
        masks: the entries that may be stored.
        step: how many gradients it has seen, those of rewires included.
        summed: gradients of the sparse leaves, dense, since the sum was begun.
    """

    masks: Masks
    step: Int[Array, ""]
    summed: Params


def rigl(
    drop_fraction: Scalar = 0.3,
    until: Scalar = NEVER,
    every: int = 100,
    pattern: Pattern = UNSTRUCTURED,
    schedule: str | schedules.Shape = "cosine",
    new: grow_prune.NewWeights = "zero",
    new_scale: Scalar = 1.0,
    batches: int = 1,
    candidates: Scalar | None = None,
) -> SparseAlgorithm:
    """RigL: drop the smallest weights, grow the largest gradients.

    Args:
        drop_fraction: α, of a layer's active weights, at the first rewire.
        until: T_end, the step from which masks stay.
        every: ΔT, steps from one rewire to the next; needed with several batches.
        pattern: which masks are allowed.
        schedule: how the fraction goes on: cosine, constant, linear, inverse_power.
        new: the value of grown weights: zero, random or gradient.
        new_scale: see `grow_prune.Growth`.
        batches: the last gradients before a rewire that are summed.
        candidates: entries looked at, in multiples of the active weights; None: all.

    Raises:
        UserError: an argument is out of range.
    """
    if not 1 <= batches <= every:
        raise UserError(
            f"batches={batches} gradients cannot be summed over the {every} steps from "
            "one rewire to the next; it must be between 1 and those."
        )
    if candidates is not None and not pattern.entries:
        raise Impossible(
            f"Candidates are drawn entry by entry, and the pattern {pattern.name!r} "
            "grows whole blocks; look at all of them."
        )
    exchange = grow_prune.Exchange(
        keep=grow_prune.magnitude,
        grow=grow_prune.growth(grow_prune.steepness, new, new_scale, candidates),
        fraction=schedules.shape(schedule)(drop_fraction, until),
    )
    plain = static(pattern)._replace(
        rewire=partial(grow_prune.rewire, **exchange._asdict(), pattern=pattern),
        dense_gradient="rewire",
        exchange=exchange,
    )
    return plain if batches == 1 else _summing(plain, batches, every)


def _summing(plain: SparseAlgorithm, batches: int, every: int) -> SparseAlgorithm:
    """The same with the sum of the last gradients before a rewire in its place."""

    def init(key: Key, params: Params, counts: Counts) -> tuple[Params, SummingState]:
        params, state = plain.init(key, params, counts)
        zero = trees.map_sparse(lambda m, p: jnp.zeros_like(p), state.masks, params)
        return params, SummingState(state.masks, state.step, zero)

    def add(grads: Params, state: SummingState) -> Params:
        at = state.step % every - (every - batches)  # 0 where a sum begins

        def layer(_: Array, old: Array, grad: Array) -> Array:
            new = jnp.where(at == 0, grad, old + grad).astype(old.dtype)
            return jnp.where(at < 0, old, new)

        return trees.map_sparse(layer, state.masks, state.summed, grads)

    def filter_grads(
        grads: Params, params: Params, state: SummingState
    ) -> tuple[Params, SummingState]:
        masked, new = masked_grads(grads, params, MaskState(state.masks, state.step))
        return masked, SummingState(new.masks, new.step, add(grads, state))

    def rewire(
        key: Key, params: Params, grads: Params, state: SummingState
    ) -> tuple[Params, SummingState, Info]:
        summed = add(grads, state)
        means = trees.map_sparse(lambda _, x: x / batches, state.masks, summed)
        seen = trees.where_sparse(means, grads)
        old = MaskState(state.masks, state.step)
        params, new, info = plain.rewire(key, params, seen, old)
        return params, SummingState(new.masks, new.step, summed), info

    return plain._replace(
        init=init,
        filter_grads=filter_grads,
        rewire=rewire,
        dense_gradient="always",
        exchange=None,
    )
