"""The drop-then-grow step that SET, RigL and their relatives share.

In a layer of n active weights and drop fraction f, k = round(f · n) are exchanged:

    kept  = the n − k active weights with the largest drop score
    grown = the k entries outside `kept` with the largest growth score
    mask  = kept ∪ grown

A dropped connection may be grown back at once (the candidates are all that are not
kept, as in Evci et al. 2020, algorithm 1). It then goes on as if nothing had happened,
with its weight and its optimizer state, as in the authors' implementation; so a dense
layer passes through unchanged. Every other grown connection starts at zero, or with a
value that is asked for.

`rewire` exchanges as many as it drops in every layer. `exchange` takes the numbers from
elsewhere, where there are fewer and fewer weights (GraNet, gradual magnitude pruning).
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

from sparse_search import trees
from sparse_search.algorithms.base import Info, MaskState, exchanged_info
from sparse_search.algorithms.schedules import Schedule
from sparse_search.errors import one_of
from sparse_search.keys import subkey
from sparse_search.masks import counting, topk
from sparse_search.masks.patterns import Pattern
from sparse_search.types import (
    Array,
    Counts,
    Float,
    Int,
    Key,
    Masks,
    Params,
    Scalar,
)

Score = Callable[[Float[Array, "*s"], Float[Array, "*s"]], Float[Array, "*s"]]
"""A score of every entry of a layer, from its weights and its dense gradients."""

NewWeights = Literal["zero", "random", "gradient"]


class Growth(NamedTuple):
    """How connections are grown.

    Attributes:
        score: the largest are grown; None grows at random.
        new: the value of new weights: "zero"; "random", normal with the variance that
            keeps that of a neuron's sum, 1 / (mean fan-in); "gradient", a step down
            the gradient.
        scale: that "random" is multiplied by; the length of the step of "gradient".
        candidates: how many entries are looked at, drawn at random, in multiples of a
            layer's active weights (guided stochastic exploration, GSE; Heddes et al.
            2024, arXiv:2401.06898); None looks at all.
    """

    score: Score | None = None
    new: NewWeights = "zero"
    scale: Scalar = 1.0
    candidates: Scalar | None = None


class Exchange(NamedTuple):
    """What a rewire drops and grows.

    Attributes:
        keep: which active weights are kept: the largest.
        grow: which entries are grown, and how.
        fraction: of a layer's active weights, to exchange.
    """

    keep: Score
    grow: Growth
    fraction: Schedule


def growth(
    score: Score | None,
    new: NewWeights = "zero",
    scale: Scalar = 1.0,
    candidates: Scalar | None = None,
) -> Growth:
    """The checked form of `Growth`.

    Raises:
        UserError: there is no such value of new weights.
    """
    if new not in ("zero", "random", "gradient"):
        raise one_of("The value of new weights", new, ("zero", "random", "gradient"))
    return Growth(score, new, scale, candidates)


def magnitude(weight: Float[Array, "*s"], grad: Float[Array, "*s"]) -> Array:
    """|w|: what SET and RigL keep."""
    del grad
    return jnp.abs(weight)


class Importance(NamedTuple):
    """|w| + λ |∇|: what MEST keeps, where a weight is stored and nowhere else.

    Attributes:
        gradient_weight: λ.
    """

    gradient_weight: Scalar

    def __call__(self, weight: Float[Array, "*s"], grad: Float[Array, "*s"]) -> Array:
        """The score of every entry."""
        return jnp.abs(weight) + self.gradient_weight * jnp.abs(grad)


def steepness(weight: Float[Array, "*s"], grad: Float[Array, "*s"]) -> Array:
    """|∇|: what RigL grows."""
    del weight
    return jnp.abs(grad)


def part(number: Int[Array, ""], share: Float[Array, ""]) -> Int[Array, ""]:
    """A share of a number of connections, none of them less and all of them at most."""
    return jnp.clip(jnp.round(share * number).astype(jnp.int32), 0, number)


def exchanged(masks: Masks, share: Float[Array, ""]) -> Counts:
    """How many connections a share of every layer's is."""
    return trees.map_sparse(lambda mask: part(counting.count(mask), share), masks)


def exchange(
    key: Key,
    params: Params,
    grads: Params,
    masks: Masks,
    *,
    keep: Score,
    kept: Counts,
    grow: Growth,
    counts: Counts,
    pattern: Pattern,
) -> tuple[Params, Masks, Info]:
    """Keep some connections of every layer and grow others.

    Args:
        key: resolves ties and makes random choices.
        params: zero off the masks.
        grads: dense, what the scores look at: the raw gradients, or their means.
        masks: before.
        keep: which active weights to keep: the largest.
        kept: how many of every layer.
        grow: which entries to grow, and how.
        counts: the non-zeros of every layer afterwards.
        pattern: which masks are allowed.

    Returns:
        Parameters (zero where dropped, new where grown), masks, and what was exchanged.
    """

    def layer(
        key: Key, mask: Array, weight: Array, grad: Array, kept: Array, count: Array
    ) -> Array:
        scores = growth_scores(key, mask, weight, grad, grow)
        return pattern.exchange(key, mask, keep(weight, grad), kept, scores, count)

    new = trees.map_sparse_with_key(layer, key, masks, params, grads, kept, counts)
    params = new_weights(key, params, grads, masks, new, grow)
    return params, new, exchanged_info(masks, new)


def growth_scores(
    key: Key, mask: Array, weight: Array, grad: Array, grow: Growth
) -> Float[Array, "*s"] | None:
    """What a layer's growth is ranked by; entries that are no candidates come last."""
    if grow.score is None:
        return None
    scores = grow.score(weight, grad)
    if grow.candidates is None:
        return scores
    number = jnp.round(grow.candidates * counting.count(mask)).astype(jnp.int32)
    drawn = topk.select_random(subkey(key, 3), number, ~mask)
    return jnp.where(drawn, scores, -jnp.inf)


def new_weights(
    key: Key, params: Params, grads: Params, old: Masks, new: Masks, grow: Growth
) -> Params:
    """Parameters of new masks: zero off them, new values where something grew."""
    if grow.new == "zero":
        return trees.apply_masks(params, new)

    def value(key: Key, weight: Array, grad: Array, mask: Array) -> Array:
        if grow.new == "gradient":
            return (-grow.scale * grad).astype(weight.dtype)
        normal = jax.random.normal(subkey(key, 4), weight.shape, weight.dtype)
        fan_in = counting.count(mask) / weight.shape[-1]
        return (grow.scale / jnp.sqrt(jnp.maximum(fan_in, 1)) * normal).astype(
            weight.dtype
        )

    def layer(key: Key, new: Any, old: Array, weight: Array, grad: Array) -> Array:
        grown = jnp.where(new & ~old, value(key, weight, grad, new), weight)
        return jnp.where(new, grown, jnp.zeros_like(weight))

    changed = trees.map_sparse_with_key(layer, key, new, old, params, grads)
    return trees.where_sparse(changed, params)


def rewire(
    key: Key,
    params: Params,
    grads: Params,
    state: MaskState,
    *,
    keep: Score,
    grow: Growth,
    fraction: Schedule,
    pattern: Pattern,
) -> tuple[Params, MaskState, Info]:
    """Exchange the drop fraction of every sparse layer's connections.

    Args:
        key: resolves ties and makes random choices.
        params: zero off the masks.
        grads: raw and dense; not looked at where growth is random.
        state: the masks, and the step that `fraction` is evaluated at.
        keep: which active weights to keep: the largest.
        grow: which entries to grow, and how.
        fraction: of a layer's active weights, to exchange.
        pattern: which masks are allowed.

    Returns:
        Parameters (zero where dropped, new where grown), the state one step later with
        as many non-zeros in every layer as before, and what was exchanged.
    """
    numbers = exchanged(state.masks, fraction(state.step))
    counts = trees.map_sparse(counting.count, state.masks)
    params, masks, info = exchange(
        key,
        params,
        grads,
        state.masks,
        keep=keep,
        kept=trees.map_sparse(jnp.subtract, counts, numbers),
        grow=grow,
        counts=counts,
        pattern=pattern,
    )
    return params, MaskState(masks, state.step + 1), info


def total(counts: Counts) -> Int[Array, ""]:
    """The sum of counts over layers."""
    return jnp.sum(jnp.array([0, *jax.tree.leaves(counts)], jnp.int32))
