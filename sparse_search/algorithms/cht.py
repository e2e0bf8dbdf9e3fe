"""CHT and CHTs, Cannistraci–Hebb training: growth from topology alone.

Zhang et al. 2024, "Epitopological learning and Cannistraci-Hebb network shape
intelligence brain-inspired theory for ultra-sparse advantage in deep learning", ICLR
(CHT); Zhang et al. 2025, arXiv:2501.19107 (CHTs).

A layer is a bipartite graph A of inputs u and neurons v. Two inputs have
P = A Aᵀ common neighbours, two neurons Q = Aᵀ A; of the links of z those that do not
lie in the local community with u are e(u, z) = deg(z) − P(u, z). A missing link (u, v)
scores, over paths of length three by their nodes (L3n),

    Σ_z [P(u, z) > 0] (1 + c P(u, z)) / max(e(u, z), 1) A(z, v)
  + the same with the roles of inputs and neurons exchanged

with c = 0 for CH3 and c = 1 for CH2. Every ΔT steps, in every sparse layer of n weights
with drop fraction ζ:

    CHT:  drop the ζ n weights of the smallest |θ|; grow the ζ n links of the largest
          CH3 score of what is left, at zero
    CHTs: keep (1 − ζ) n weights, drawn without replacement with probabilities ∝ |θ|^T,
          T rising from 1 to 3; grow ζ n links, drawn with probabilities ∝ CH2 score

Departures from the papers: CHT's scores are summed by nodes, as CHTs does, where CHT
sums over paths; initial topologies are random, not correlated with the data; links of
neurons that have lost all others stay; layers do not stop rewiring early. Kernels with
more axes are seen as matrices, all axes but the last being inputs. Initial weights are
scaled to the fan-in that the mask leaves (`base.scale_to_fan_in`).
"""

import jax
import jax.numpy as jnp

from sparse_search import trees
from sparse_search.algorithms import grow_prune, schedules
from sparse_search.algorithms.base import (
    NEVER,
    Info,
    MaskState,
    SparseAlgorithm,
    exchanged_info,
)
from sparse_search.algorithms.static import static
from sparse_search.errors import Impossible
from sparse_search.keys import subkey
from sparse_search.masks import counting, topk
from sparse_search.masks.patterns import UNSTRUCTURED, Pattern
from sparse_search.types import Array, Bool, Float, Key, Params, Scalar


def cht(
    drop_fraction: Scalar = 0.3,
    until: Scalar = NEVER,
    pattern: Pattern = UNSTRUCTURED,
    schedule: str | schedules.Shape = "constant",
) -> SparseAlgorithm:
    """CHT: drop the smallest weights, grow the links that the topology predicts.

    Args:
        drop_fraction: ζ, of a layer's weights, at the first rewire.
        until: the step from which masks stay.
        pattern: which masks are allowed.
        schedule: how the fraction goes on: constant, cosine, linear, inverse_power.
    """
    return _epitopological(drop_fraction, until, pattern, schedule, soft=False)


def chts(
    drop_fraction: Scalar = 0.3,
    until: Scalar = NEVER,
    pattern: Pattern = UNSTRUCTURED,
    schedule: str | schedules.Shape = "constant",
) -> SparseAlgorithm:
    """CHTs: the same with both choices drawn at random, by magnitude and by score.

    Args:
        drop_fraction: ζ, of a layer's weights, at the first rewire.
        until: the step from which masks stay; T is 3 there.
        pattern: which masks are allowed.
        schedule: how the fraction goes on: constant, cosine, linear, inverse_power.
    """
    return _epitopological(drop_fraction, until, pattern, schedule, soft=True)


def scores(mask: Bool[Array, "*s"], c: float) -> Float[Array, "*s"]:
    """The CH-L3n scores of all links of a layer, stored or not.

    Args:
        mask: the links that there are.
        c: 0 for CH3, 1 for CH2.
    """
    links = mask.reshape(-1, mask.shape[-1]).astype(jnp.float32)

    def side(links: Array) -> Array:
        common = links @ links.T
        external = jnp.sum(links, axis=1) - common
        weight = (1 + c * common) / jnp.maximum(external, 1)
        return jnp.where(common > 0, weight, 0) @ links

    return (side(links) + side(links.T).T).reshape(mask.shape)


def _epitopological(
    drop_fraction: Scalar,
    until: Scalar,
    pattern: Pattern,
    schedule: str | schedules.Shape,
    soft: bool,
) -> SparseAlgorithm:
    fraction = schedules.shape(schedule)(drop_fraction, until)
    if not pattern.entries:
        raise Impossible(
            f"Links are grown one by one, and the pattern {pattern.name!r} grows whole "
            "blocks."
        )

    def rewire(
        key: Key, params: Params, grads: Params, state: MaskState
    ) -> tuple[Params, MaskState, Info]:
        del grads
        share = fraction(state.step)
        ends = jnp.maximum(jnp.asarray(until, jnp.float32), 1)
        temperature = 1 + 2 * jnp.clip(state.step / ends, 0, 1)

        def layer(key: Key, mask: Array, weight: Array) -> Array:
            number = counting.count(mask)
            kept = number - grow_prune.part(number, share)
            keep = jnp.abs(weight).astype(jnp.float32)
            if soft:
                keep = _drawn(subkey(key, 0), temperature * jnp.log(keep))
            rest = topk.select(subkey(key, 1), keep, kept, mask)
            grow = scores(rest, 1.0 if soft else 0.0)
            if soft:
                grow = _drawn(subkey(key, 2), jnp.log(grow))
            # What is kept is known, so that any order keeps it.
            return pattern.exchange(subkey(key, 3), rest, None, kept, grow, number)

        masks = trees.map_sparse_with_key(layer, key, state.masks, params)
        info = exchanged_info(state.masks, masks)
        new = MaskState(masks, state.step + 1)
        return trees.apply_masks(params, masks), new, info

    return static(pattern)._replace(rewire=rewire, draws=soft, exchange=None)


def _drawn(key: Key, logits: Float[Array, "*s"]) -> Float[Array, "*s"]:
    """Scores whose largest are a draw without replacement (Gumbel top-k)."""
    return logits + jax.random.gumbel(key, logits.shape)
