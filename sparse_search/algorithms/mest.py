"""MEST, memory-economic sparse training (Yuan et al. 2021, arXiv:2110.14032).

Elastic mutation, every ΔT steps, in every sparse layer of n active weights:

    drop the p n active weights of the smallest |θ| + λ |∇L(θ)|             (eq. 1)
    grow p n connections at random among those not kept, at zero

The gradient is needed where a weight is stored, nowhere else. p falls over training.

With a soft memory bound s (the paper's EM&S) layers hold up to (1 + s) n weights
between rewires: what grows is trained beside what it may replace. A rewire keeps
n − p n of those weights, and grows p n and s n more; the last one leaves n.

Departures from the paper: p falls on a cosine, where the paper lowers it in steps, and
the soft bound holds until the last rewire. Initial weights are scaled to the fan-in
that the mask leaves (`base.scale_to_fan_in`).
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from sparse_search import trees
from sparse_search.algorithms import grow_prune, schedules
from sparse_search.algorithms.base import (
    NEVER,
    Info,
    SparseAlgorithm,
    integers,
    is_last,
    masked_grads,
    random_masks,
    same_view,
    scale_to_fan_in,
)
from sparse_search.algorithms.static import static
from sparse_search.masks.patterns import UNSTRUCTURED, Pattern
from sparse_search.types import Array, Counts, Int, Key, Masks, Params, Scalar


class SoftState(NamedTuple):
    """The state of MEST with a soft memory bound.

    Attributes:
        masks: the entries that may be stored.
        step: how many gradients it has seen, those of rewires included.
        counts: n of every layer.
    """

    masks: Masks
    step: Int[Array, ""]
    counts: Counts


def mest(
    drop_fraction: Scalar = 0.3,
    until: Scalar = NEVER,
    every: int = 100,
    pattern: Pattern = UNSTRUCTURED,
    schedule: str | schedules.Shape = "cosine",
    gradient_weight: Scalar = 0.01,
    soft_bound: float = 0.0,
) -> SparseAlgorithm:
    """MEST: drop the smallest |weight| + λ |gradient|, grow at random.

    Args:
        drop_fraction: p, of a layer's weights, at the first rewire.
        until: the step from which masks stay.
        every: ΔT, steps from one rewire to the next; needed with a soft bound.
        pattern: which masks are allowed.
        schedule: how the fraction goes on: cosine, constant, linear, inverse_power.
        gradient_weight: λ.
        soft_bound: s, how many more weights layers hold between rewires, as a part.
    """
    fraction = schedules.shape(schedule)(drop_fraction, until)
    keep, grow = grow_prune.Importance(gradient_weight), grow_prune.growth(None)
    if not soft_bound:
        exchange = grow_prune.Exchange(keep, grow, fraction)
        rewire = partial(grow_prune.rewire, **exchange._asdict(), pattern=pattern)
        return static(pattern)._replace(rewire=rewire, exchange=exchange)

    def more(counts: Counts, params: Params) -> Counts:
        return trees.map_sparse(
            lambda n, p: jnp.minimum(jnp.round((1 + soft_bound) * n), p.size).astype(
                jnp.int32
            ),
            counts,
            params,
        )

    def init(key: Key, params: Params, counts: Counts) -> tuple[Params, SoftState]:
        counts = integers(counts)
        masks = random_masks(key, params, more(counts, params), pattern)
        state = SoftState(masks, jnp.zeros((), jnp.int32), counts)
        return scale_to_fan_in(params, masks), state

    def soft_rewire(
        key: Key, params: Params, grads: Params, state: SoftState
    ) -> tuple[Params, SoftState, Info]:
        last = is_last(state.step, every, until)
        share = jnp.where(last, 0, fraction(state.step))
        after = jax.tree.map(
            lambda n, soft: jnp.where(last, n, soft),
            state.counts,
            more(state.counts, params),
        )
        params, masks, info = grow_prune.exchange(
            key,
            params,
            grads,
            state.masks,
            keep=keep,
            kept=trees.map_sparse(
                lambda n: n - grow_prune.part(n, share), state.counts
            ),
            grow=grow,
            counts=after,
            pattern=pattern,
        )
        return params, SoftState(masks, state.step + 1, state.counts), info

    return SparseAlgorithm(
        init,
        same_view,
        masked_grads,
        soft_rewire,
        "end",
        pattern=pattern,
        begins="any",
    )
