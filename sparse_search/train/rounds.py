"""A training run as three pure functions: init, round and evaluate.

A round is ΔT gradients in one program. Where the algorithm rewires, the last gradient
of the round feeds the rewire and makes no weight update. The functions take what may
differ between the lanes of a group as traced values (`Hyper`), so that one compiled
program serves every seed, learning rate, budget and length of training.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from sparse_search.algorithms.base import SparseAlgorithm, no_rewire
from sparse_search.data.batches import round_indices, split
from sparse_search.train.step import (
    TrainState,
    apply_gradients,
    loss_and_hits,
    rewire,
    zero_info,
)
from sparse_search.types import Array, Counts, Float, Int, Key, Scalar, UInt

_EVALUATION_BATCH = 1000


class Hyper(NamedTuple):
    """What may differ between lanes; every leaf may be traced and vmapped.

    Attributes:
        seed: of initialisation, masks, rewires, data split and data order.
        learning_rate: the schedule's peak.
        weight_decay: see `config.Optimizer`.
        drop_fraction: at the first rewire.
        steps: of the whole training.
        rewire_until: the step from which masks stay as they are.
        counts: the nnz of every sparse layer, like the parameters.
    """

    seed: Int[Array, ""]
    learning_rate: Float[Array, ""]
    weight_decay: Float[Array, ""]
    drop_fraction: Float[Array, ""]
    steps: Int[Array, ""]
    rewire_until: Int[Array, ""]
    counts: Counts


class Examples(NamedTuple):
    """A data set on the device, an argument of every program.

    Closed over, it would be compiled into each of them.
    """

    train_images: UInt[Array, "n *example"]
    train_labels: Int[Array, " n"]
    test_images: UInt[Array, "m *example"]
    test_labels: Int[Array, " m"]


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
        batch_size: examples a gradient.
        validation: examples held out.
        mean: subtracted from pixels.
        scale: that pixels are divided by.
    """

    model: Any
    algorithm: Callable[[Scalar, Scalar], SparseAlgorithm]
    optimizer: Callable[[Scalar, Scalar, Scalar], optax.GradientTransformation]
    round_steps: int
    batch_size: int
    validation: int
    mean: float
    scale: float


class Train(NamedTuple):
    """A training run; all three are pure and can be jitted and vmapped over `hyper`.

    Attributes:
        init: `(hyper, examples) -> state`.
        round: `(hyper, state, examples) -> (state, RoundMetrics)`.
        evaluate: `(hyper, state, examples) -> FinalMetrics`.
    """

    init: Callable[[Hyper, Examples], TrainState]
    round: Callable[[Hyper, TrainState, Examples], tuple[TrainState, RoundMetrics]]
    evaluate: Callable[[Hyper, TrainState, Examples], FinalMetrics]


class _Keys(NamedTuple):
    """Independent streams of one seed; split and order are shared by structures."""

    split: Key
    order: Key
    weights: Key
    masks: Key
    rewires: Key


def _keys(seed: Int[Array, ""]) -> _Keys:
    return _Keys(*jax.random.split(jax.random.key(seed), 5))


def make_train(spec: Spec) -> Train:
    """Make the functions of a training run."""

    def build(hyper: Hyper) -> tuple[SparseAlgorithm, optax.GradientTransformation]:
        return (
            spec.algorithm(hyper.drop_fraction, hyper.rewire_until),
            spec.optimizer(hyper.learning_rate, hyper.weight_decay, hyper.steps),
        )

    rewires = spec.algorithm(0.0, 0).rewire is not no_rewire

    def logits(params: Any, images: UInt[Array, "batch *example"]) -> Array:
        pixels = (images.astype(jnp.float32) - spec.mean) * (1 / spec.scale)
        return spec.model.apply(params, pixels)

    def init(hyper: Hyper, examples: Examples) -> TrainState:
        keys = _keys(hyper.seed)
        algorithm, optimizer = build(hyper)
        example = jnp.zeros((1, *examples.train_images.shape[1:]), jnp.float32)
        params = spec.model.init(keys.weights, example)
        params, sparse = algorithm.init(keys.masks, params, hyper.counts)
        return TrainState(params, optimizer.init(params), sparse, jnp.int32(0))

    def gradient(
        hyper: Hyper, state: TrainState, rows: Array, examples: Examples
    ) -> tuple[Any, tuple[Array, Array]]:
        algorithm, _ = build(hyper)
        images, labels = examples.train_images[rows], examples.train_labels[rows]

        def mean_loss(view: Any) -> tuple[Array, Array]:
            loss, hits = loss_and_hits(logits(view, images), labels)
            return jnp.mean(loss), jnp.mean(hits)

        view = algorithm.view(state.params, state.sparse)
        (loss, hits), grads = jax.value_and_grad(mean_loss, has_aux=True)(view)
        return grads, (loss, hits)

    def update(hyper: Hyper, state: TrainState, grads: Any) -> tuple[TrainState, Any]:
        return apply_gradients(state, grads, *build(hyper)), zero_info(state)

    def exchange(hyper: Hyper, state: TrainState, grads: Any) -> tuple[TrainState, Any]:
        key = jax.random.fold_in(_keys(hyper.seed).rewires, state.step)
        return rewire(key, state, grads, *build(hyper))

    # Where no lane rewires, no selection may run: a plain `cond` under `vmap` becomes
    # a `select` that computes both branches always.
    @jax.custom_batching.custom_vmap
    def finish(due: Array, hyper: Hyper, state: TrainState, grads: Any) -> Any:
        return jax.lax.cond(due, exchange, update, hyper, state, grads)

    @finish.def_vmap
    def _(size: int, batched: Any, due: Array, hyper: Any, state: Any, grads: Any):
        def full(tree: Any, is_batched: Any) -> Any:
            return jax.tree.map(
                lambda x, b: x if b else jnp.broadcast_to(x, (size, *x.shape)),
                tree,
                is_batched,
            )

        due, hyper, state, grads = map(full, (due, hyper, state, grads), batched)

        def some(hyper: Any, state: Any, grads: Any) -> Any:
            new = jax.vmap(exchange)(hyper, state, grads)
            old = jax.vmap(update)(hyper, state, grads)
            return jax.tree.map(
                lambda n, o: jnp.where(due.reshape(-1, *[1] * (n.ndim - 1)), n, o),
                new,
                old,
            )

        out = jax.lax.cond(jnp.any(due), some, jax.vmap(update), hyper, state, grads)
        return out, jax.tree.map(lambda _: True, out)

    def round_(
        hyper: Hyper, state: TrainState, examples: Examples
    ) -> tuple[TrainState, RoundMetrics]:
        keys = _keys(hyper.seed)
        size = examples.train_labels.shape[0]
        parts = split(keys.split, size=size, validation=spec.validation)
        rows = parts.train[
            round_indices(
                keys.order,
                state.step,
                steps=spec.round_steps,
                train_size=size - spec.validation,
                batch_size=spec.batch_size,
            )
        ]

        def one(state: TrainState, rows: Array) -> tuple[TrainState, Any]:
            grads, seen = gradient(hyper, state, rows, examples)
            return update(hyper, state, grads)[0], seen

        last = spec.round_steps - 1 if rewires else spec.round_steps
        state, seen = jax.lax.scan(one, state, rows[:last])
        info = zero_info(state)
        if rewires:
            grads, seen_last = gradient(hyper, state, rows[-1], examples)
            due = state.step < hyper.rewire_until
            state, info = finish(due, hyper, state, grads)
            seen = jax.tree.map(
                lambda xs, x: jnp.append(xs, x), seen, seen_last
            )
        valid = _mean_metrics(
            lambda images: logits(build(hyper)[0].view(state.params, state.sparse), images),
            examples.train_images,
            examples.train_labels,
            parts.validation,
        )
        metrics = RoundMetrics(
            jnp.mean(seen[0]),
            jnp.mean(seen[1]),
            *valid,
            grown=sum(jax.tree.leaves(info.grown), start=jnp.int32(0)),
            nnz=sum(
                (jnp.sum(m, dtype=jnp.int32) for m in jax.tree.leaves(state.sparse.masks)),
                start=jnp.int32(0),
            ),
        )
        return state, metrics

    def evaluate(hyper: Hyper, state: TrainState, examples: Examples) -> FinalMetrics:
        size = examples.train_labels.shape[0]
        parts = split(_keys(hyper.seed).split, size=size, validation=spec.validation)
        view = build(hyper)[0].view(state.params, state.sparse)
        train = (examples.train_images, examples.train_labels)
        test = (examples.test_images, examples.test_labels)
        every = jnp.arange(examples.test_labels.shape[0])

        def of(part: Array, images: Array, labels: Array) -> tuple[Array, Array]:
            return _mean_metrics(lambda x: logits(view, x), images, labels, part)

        return FinalMetrics(
            *of(parts.train, *train), *of(parts.validation, *train), *of(every, *test)
        )

    return Train(init, round_, evaluate)


def _mean_metrics(
    logits: Callable[[Array], Array], images: Array, labels: Array, rows: Array
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Mean loss and accuracy over rows, in batches of bounded memory."""
    total = rows.shape[0]
    batch = min(_EVALUATION_BATCH, total)
    padded = jnp.pad(rows, (0, -total % batch)).reshape(-1, batch)
    counted = (jnp.arange(padded.size) < total).reshape(padded.shape)

    def add(sums: tuple[Array, Array], part: tuple[Array, Array]) -> tuple[Any, None]:
        rows, counted = part
        loss, hits = loss_and_hits(logits(images[rows]), labels[rows])
        # `where`, not a product: a padding row's loss may be infinite.
        loss = jnp.sum(jnp.where(counted, loss, 0.0))
        hits = jnp.sum(jnp.where(counted, hits, 0.0))
        return (sums[0] + loss, sums[1] + hits), None

    zero = jnp.zeros(())
    (loss, hits), _ = jax.lax.scan(add, (zero, zero), (padded, counted))
    return loss / total, hits / total
