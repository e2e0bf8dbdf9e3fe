"""A training run as pure functions: weights, init, round and evaluate.

A round is ΔT gradients in one program. Where the algorithm rewires, the last gradient
of the round feeds the rewire and makes no weight update. The functions take what may
differ between the lanes of a group as traced values (`Hyper`), so that one compiled
program serves every seed, learning rate, budget and length of training.

Which examples a round sees is an argument; it comes from `train.order`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from sparse_search.algorithms.base import Info, SparseAlgorithm, nnz, no_rewire
from sparse_search.keys import subkey
from sparse_search.train.gate import cond_over_lanes
from sparse_search.train.order import streams
from sparse_search.train.step import (
    TrainState,
    apply_gradients,
    loss_and_hits,
    rewire,
    zero_info,
)
from sparse_search.types import Array, Counts, Float, Int, Params, Scalar, UInt

_EVALUATION_BATCH = 1000


class Hyper(NamedTuple):
    """What may differ between lanes; every leaf may be traced and vmapped.

    Attributes:
        seed: of initialisation, masks, rewires, data split and data order.
        learning_rate: the schedule's peak.
        weight_decay: see `config.Optimizer`.
        drop_fraction: at the first rewire.
        steps: weight updates of the whole training: what the schedule ends at.
        rewire_until: the step from which masks stay as they are.
        counts: the nnz of every sparse layer, like the parameters.
    """

    seed: Scalar
    learning_rate: Scalar
    weight_decay: Scalar
    drop_fraction: Scalar
    steps: Scalar
    rewire_until: Scalar
    counts: Counts


class Examples(NamedTuple):
    """A data set on the device, an argument of every program.

    Closed over, it would be compiled into each of them.

    Attributes:
        images: the training examples, then the test examples.
        labels: theirs.
    """

    images: UInt[Array, "n *example"]
    labels: Int[Array, " n"]


class RoundMetrics(NamedTuple):
    """Means over a round's batches, the validation split after it, and the rewire."""

    train_loss: Float[Array, ""]
    train_accuracy: Float[Array, ""]
    valid_loss: Float[Array, ""]
    valid_accuracy: Float[Array, ""]
    grown: Int[Array, ""]
    nnz: Int[Array, ""]


class FinalMetrics(NamedTuple):
    """Over the whole of each split, with the final parameters."""

    train_loss: Float[Array, ""]
    train_accuracy: Float[Array, ""]
    valid_loss: Float[Array, ""]
    valid_accuracy: Float[Array, ""]
    test_loss: Float[Array, ""]
    test_accuracy: Float[Array, ""]


@dataclass(frozen=True)
class Spec:
    """What a compiled program is made for: the static half of a compile key.

    Attributes:
        model: a flax module.
        algorithm: `(drop_fraction, rewire_until) -> SparseAlgorithm`.
        optimizer: `(learning_rate, weight_decay, steps) -> transformation`.
        round_steps: ΔT, the gradients of a round.
        scale: that pixels are divided by.
    """

    model: Any
    algorithm: Callable[[Scalar, Scalar], SparseAlgorithm]
    optimizer: Callable[[Scalar, Scalar, Scalar], optax.GradientTransformation]
    round_steps: int
    scale: float


class Train(NamedTuple):
    """A training run; all can be jitted, and vmapped over all but the examples.

    Attributes:
        weights: `(seed, examples) -> params`, dense, the model's initialisation.
        init: `(hyper, params) -> state`.
        steps: `(hyper, state, rows, examples) -> (state, (losses, accuracies))`; a
            weight update for every row of `rows`, [steps, batch] examples.
        round: `(hyper, state, rows, validation rows, examples)
            -> (state, RoundMetrics)`; rows are [ΔT, batch] examples.
        evaluate: `(hyper, state, part, examples) -> FinalMetrics`; part says for
            every example whether it is of training (0), validation (1) or test (2).
    """

    weights: Callable[..., Params]
    init: Callable[..., TrainState]
    steps: Callable[..., tuple[TrainState, tuple[Array, Array]]]
    round: Callable[..., tuple[TrainState, RoundMetrics]]
    evaluate: Callable[..., FinalMetrics]


def make_train(spec: Spec) -> Train:
    """Make the functions of a training run."""

    def build(hyper: Hyper) -> tuple[SparseAlgorithm, optax.GradientTransformation]:
        return (
            spec.algorithm(hyper.drop_fraction, hyper.rewire_until),
            spec.optimizer(hyper.learning_rate, hyper.weight_decay, hyper.steps),
        )

    rewires = spec.algorithm(0.0, 0).rewire is not no_rewire

    def logits(view: Params, images: UInt[Array, "batch *example"]) -> Array:
        pixels = images.astype(jnp.float32) * (1 / spec.scale)
        return spec.model.apply(view, pixels)

    def weights(seed: Scalar, examples: Examples) -> Params:
        example = jnp.zeros((1, *examples.images.shape[1:]), jnp.float32)
        return spec.model.init(streams(seed).weights, example)

    def init(hyper: Hyper, params: Params) -> TrainState:
        algorithm, optimizer = build(hyper)
        key = streams(hyper.seed).masks
        params, sparse = algorithm.init(key, params, hyper.counts)
        return TrainState(params, optimizer.init(params), sparse, jnp.int32(0))

    def gradient(
        hyper: Hyper, state: TrainState, rows: Array, examples: Examples
    ) -> tuple[Params, tuple[Array, Array]]:
        algorithm, _ = build(hyper)
        images, labels = examples.images[rows], examples.labels[rows]

        def mean_loss(view: Params) -> tuple[Array, Array]:
            loss, hits = loss_and_hits(logits(view, images), labels)
            return jnp.mean(loss), jnp.mean(hits)

        view = algorithm.view(state.params, state.sparse)
        (loss, hits), grads = jax.value_and_grad(mean_loss, has_aux=True)(view)
        return grads, (loss, hits)

    def update(
        hyper: Hyper, state: TrainState, grads: Params
    ) -> tuple[TrainState, Info]:
        return apply_gradients(state, grads, *build(hyper)), zero_info(state)

    def exchange(
        hyper: Hyper, state: TrainState, grads: Params
    ) -> tuple[TrainState, Info]:
        key = subkey(streams(hyper.seed).rewires, state.step)
        return rewire(key, state, grads, *build(hyper))

    def steps(
        hyper: Hyper, state: TrainState, rows: Array, examples: Examples
    ) -> tuple[TrainState, tuple[Array, Array]]:
        def one(state: TrainState, rows: Array) -> tuple[TrainState, Any]:
            grads, seen = gradient(hyper, state, rows, examples)
            return update(hyper, state, grads)[0], seen

        return jax.lax.scan(one, state, rows)

    def round_(
        hyper: Hyper, state: TrainState, rows: Array, valid: Array, examples: Examples
    ) -> tuple[TrainState, RoundMetrics]:
        updates = spec.round_steps - 1 if rewires else spec.round_steps
        state, seen = steps(hyper, state, rows[:updates], examples)
        info = zero_info(state)
        if rewires:
            grads, seen_last = gradient(hyper, state, rows[-1], examples)
            due = state.step < hyper.rewire_until
            state, info = cond_over_lanes(due, exchange, update, hyper, state, grads)
            seen = jax.tree.map(jnp.append, seen, seen_last)
        held_out = jnp.zeros(valid.shape, jnp.int32)
        loss, hits = means(hyper, state, valid, held_out, examples, 1)
        metrics = RoundMetrics(
            train_loss=jnp.mean(seen[0]),
            train_accuracy=jnp.mean(seen[1]),
            valid_loss=loss[0],
            valid_accuracy=hits[0],
            grown=total(info.grown),
            nnz=total(nnz(state.sparse.masks)),
        )
        return state, metrics

    def evaluate(
        hyper: Hyper, state: TrainState, part: Array, examples: Examples
    ) -> FinalMetrics:
        rows = jnp.arange(examples.labels.shape[0])
        loss, hits = means(hyper, state, rows, part, examples, 3)
        return FinalMetrics(loss[0], hits[0], loss[1], hits[1], loss[2], hits[2])

    def means(
        hyper: Hyper,
        state: TrainState,
        rows: Int[Array, " n"],
        part: Int[Array, " n"],
        examples: Examples,
        parts: int,
    ) -> tuple[Float[Array, " parts"], Float[Array, " parts"]]:
        """Mean loss and accuracy of every part, in batches of bounded memory."""
        view = build(hyper)[0].view(state.params, state.sparse)
        batch = min(_EVALUATION_BATCH, rows.shape[0])
        fill = -rows.shape[0] % batch
        rows = jnp.pad(rows, (0, fill)).reshape(-1, batch)
        # Examples that only fill the last batch are of no part.
        part = jnp.pad(part, (0, fill), constant_values=parts).reshape(-1, batch)

        def add(sums: Array, block: tuple[Array, Array]) -> tuple[Array, None]:
            rows, part = block
            images, labels = examples.images[rows], examples.labels[rows]
            loss, hits = loss_and_hits(logits(view, images), labels)
            of_part = part == jnp.arange(parts)[:, None]
            # `where`, not a product: a loss that is not counted may be infinite.
            new = [jnp.sum(jnp.where(of_part, x, 0.0), axis=1) for x in (loss, hits)]
            count = jnp.sum(of_part, axis=1, dtype=jnp.float32)
            return sums + jnp.stack([*new, count]), None

        sums, _ = jax.lax.scan(add, jnp.zeros((3, parts)), (rows, part))
        return sums[0] / sums[2], sums[1] / sums[2]

    def total(counts: Counts) -> Int[Array, ""]:
        return jnp.sum(jnp.array([0, *jax.tree.leaves(counts)], jnp.int32))

    return Train(weights, init, steps, round_, evaluate)
