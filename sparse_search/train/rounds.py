"""A training run as pure functions: weights, init, round and evaluate.

A round is ΔT gradients in one program. Where the algorithm rewires, the last gradient
of the round feeds the rewire and makes no weight update. The functions take what may
differ between the lanes of a group as traced values (`Hyper`), so that one compiled
program serves every seed, learning rate, budget and length of training.

Which examples a round sees is an argument; it comes from `train.order`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from sparse_search.algorithms import schedules
from sparse_search.algorithms.base import Info, SparseAlgorithm, is_last, no_rewire
from sparse_search.algorithms.compressed import Beginning, compressed
from sparse_search.data import dataset
from sparse_search.data.augment import augmented
from sparse_search.keys import subkey
from sparse_search.masks.gate import cond_over_lanes
from sparse_search.sparse import layers
from sparse_search.train import watch
from sparse_search.train.network import Statistics, make_network
from sparse_search.train.order import streams
from sparse_search.train.step import (
    TrainState,
    apply_gradients,
    begin,
    loss_and_hits,
    rewire,
    zero_info,
)
from sparse_search.types import (
    Array,
    Bool,
    Counts,
    Float,
    Int,
    Masks,
    Num,
    Params,
    Scalar,
)

_EVALUATION_BATCH = 1000
_EVALUATION_NUMBERS = 2**22
"""Inputs of a batch in evaluation, at most: bounds the memory of large images."""
_BEFORE_TRAINING = np.uint32(2**32 - 1)
"""The number of the noise of the batch that pruning at initialisation looks at."""


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
        inputs: the training examples, then the test examples.
        labels: theirs.
    """

    inputs: Num[Array, "n *example"]
    labels: Int[Array, "n *positions"]


class RunState(NamedTuple):
    """A run between two rounds.

    Attributes:
        train: what is trained.
        watch: what its topology is compared with.
    """

    train: TrainState
    watch: watch.Watch


class RoundMetrics(NamedTuple):
    """Means over a round's batches, the validation split after it, and its topology."""

    train_loss: Float[Array, ""]
    train_accuracy: Float[Array, ""]
    valid_loss: Float[Array, ""]
    valid_accuracy: Float[Array, ""]
    topology: watch.TopologyMetrics


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
        model: a flax module; see `network.make_network`.
        algorithm: `(drop_fraction, rewire_until, **probes) -> SparseAlgorithm`; probes
            are, in `init` only, `loss` (of parameters, on a batch) and `output` (the
            sum of the network's outputs for an input of ones).
        optimizer: `(learning_rate, weight_decay, steps) -> transformation`.
        round_steps: ΔT, the gradients of a round.
        interval_growth: of the rounds from one rewire to the next; 1: always one.
        scale: that inputs are divided by; None for tokens.
        rooms: the layers that are compressed, and the weights that each has room for.
        precision: that layers compute with; one of `network.PRECISIONS`.
        augment: what is done to the images of a batch, from `data.augment`.
        is_chain: whether every layer sees the one before it and nothing else.
        mean: that is subtracted from inputs before they are divided.
    """

    model: Any
    algorithm: Callable[..., SparseAlgorithm]
    optimizer: Callable[[Scalar, Scalar, Scalar], optax.GradientTransformation]
    round_steps: int
    scale: float | None
    interval_growth: float = 1.0
    rooms: tuple[tuple[str, int], ...] = ()
    precision: str = "float32"
    augment: tuple[str, ...] = ()
    is_chain: bool = True
    mean: tuple[float, ...] = ()


class Train(NamedTuple):
    """A training run; all can be jitted, and vmapped over all but the examples.

    Attributes:
        shapes: `(examples) -> params`, the shapes of a dense network's.
        weights: `(seed, examples) -> (params, statistics)`, the model's dense
            initialisation; no parameters where layers are compressed, since `init`
            draws the weights that exist.
        init: `(hyper, drawn, rows, examples) -> state`, with what `weights` made; rows
            are of the one batch that pruning at initialisation looks at.
        adopt: `(hyper, state, params, masks, statistics) -> state` before the first
            step, with others.
        steps: `(hyper, state, rows, examples) -> (state, (losses, accuracies))`; a
            weight update for every row of `rows`, [steps, batch] examples.
        round: `(hyper, state, rows, validation rows, examples)
            -> (state, RoundMetrics)`; rows are [ΔT, batch] examples.
        evaluate: `(hyper, state, part, examples) -> FinalMetrics`; part says for
            every example whether it is of training (0), validation (1) or test (2).
    """

    shapes: Callable[[Examples], Params]
    weights: Callable[..., Params]
    init: Callable[..., RunState]
    adopt: Callable[..., RunState]
    steps: Callable[..., tuple[RunState, tuple[Array, Array]]]
    round: Callable[..., tuple[RunState, RoundMetrics]]
    evaluate: Callable[..., FinalMetrics]


def make_train(spec: Spec) -> Train:
    """Make the functions of a training run."""

    def build(
        hyper: Hyper, **probes: Callable[[Params], Array]
    ) -> tuple[SparseAlgorithm, optax.GradientTransformation]:
        algorithm = spec.algorithm(hyper.drop_fraction, hyper.rewire_until, **probes)
        if rooms:
            algorithm = compressed(algorithm, rooms)
        return algorithm, spec.optimizer(
            hyper.learning_rate, hyper.weight_decay, hyper.steps
        )

    rooms, network = dict(spec.rooms), make_network(spec.model, spec.precision)
    rewires = spec.algorithm(0.0, 0).rewire is not no_rewire

    def numbers(inputs: Num[Array, "batch *example"]) -> Array:
        if spec.scale is None:
            return inputs.astype(jnp.int32)
        return dataset.numbers(inputs, spec.mean, spec.scale)

    def one(examples: Examples, value: float) -> Num[Array, "1 *example"]:
        kind = jnp.int32 if spec.scale is None else jnp.float32
        return jnp.full((1, *examples.inputs.shape[1:]), value, kind)

    def drawn(seed: Scalar, examples: Examples) -> tuple[Params, Statistics]:
        return network.init(streams(seed).weights, one(examples, 0.0))

    def shapes(examples: Examples) -> Params:
        return jax.eval_shape(drawn, 0, examples)[0]

    def weights(seed: Scalar, examples: Examples) -> tuple[Params, Statistics]:
        params, statistics = drawn(seed, examples)
        return {} if rooms else params, statistics

    def existing(seed: Scalar, examples: Examples) -> Callable[[Any], Params]:
        """The initialisation of the weights that topologies have."""

        def make(topologies: Any) -> Params:
            rngs, example = {"params": streams(seed).weights}, one(examples, 0.0)
            made = spec.model.apply(topologies, example, rngs=rngs, mutable=True)[1]
            return {"params": made["params"]}

        return make

    def init(
        hyper: Hyper,
        drawn: tuple[Params, Statistics],
        rows: Int[Array, " batch"],
        examples: Examples,
    ) -> RunState:
        params, statistics = drawn
        noise = subkey(streams(hyper.seed).noise, _BEFORE_TRAINING)

        def loss(view: Params) -> Float[Array, ""]:
            inputs, labels = numbers(examples.inputs[rows]), examples.labels[rows]
            seen, _ = network.learn(noise, view, statistics, inputs)
            return jnp.mean(loss_and_hits(seen, labels)[0])

        def output(view: Params) -> Float[Array, ""]:
            return jnp.sum(network.predict(view, statistics, one(examples, 1.0)))

        algorithm, optimizer = build(hyper, loss=loss, output=output)
        key = streams(hyper.seed).masks
        if rooms:
            params = Beginning(shapes(examples), existing(hyper.seed, examples))
        params, sparse = algorithm.init(key, params, hyper.counts)
        state = begin(params, sparse, algorithm, optimizer, statistics)
        return RunState(state, watch.begin(key, sparse.masks))

    def adopt(
        hyper: Hyper,
        run: RunState,
        params: Params,
        masks: Masks,
        statistics: Statistics,
    ) -> RunState:
        sparse = run.train.sparse._replace(masks=masks)
        state = begin(params, sparse, *build(hyper), statistics)
        return RunState(state, watch.begin(streams(hyper.seed).masks, masks))

    def gradient(
        hyper: Hyper,
        state: TrainState,
        rows: Array,
        examples: Examples,
        *,
        tapped: bool = False,
    ) -> tuple[TrainState, Params, tuple[Array, Array]]:
        """The state with the statistics of a batch, and the gradient on it."""
        algorithm, _ = build(hyper)
        drop, change = jax.random.split(subkey(streams(hyper.seed).noise, state.step))
        inputs, targets = augmented(
            spec.augment, change, numbers(examples.inputs[rows]), examples.labels[rows]
        )

        def forward(view: Params) -> tuple[Array, Statistics]:
            return network.learn(drop, view, state.statistics, inputs)

        def mean_loss(view: Params) -> tuple[Array, Any]:
            logits, statistics = forward(view)
            loss, hits = targets.average(lambda of: loss_and_hits(logits, of))
            return jnp.mean(loss), (jnp.mean(hits), statistics)

        view = algorithm.view(state.params, state.sparse)
        if tapped and rooms:
            view = layers.with_taps(view, forward)
        (loss, (hits, statistics)), grads = jax.value_and_grad(
            mean_loss, has_aux=True, allow_int=bool(rooms)
        )(view)
        if rooms:
            del grads[layers.TOPOLOGY]  # whole numbers have none
        return state._replace(statistics=statistics), grads, (loss, hits)

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
        hyper: Hyper, run: RunState, rows: Array, examples: Examples
    ) -> tuple[RunState, tuple[Array, Array]]:
        state, seen = updates(hyper, run.train, rows, examples)
        return run._replace(train=state), seen

    def updates(
        hyper: Hyper, state: TrainState, rows: Array, examples: Examples
    ) -> tuple[TrainState, tuple[Array, Array]]:
        def step(state: TrainState, rows: Array) -> tuple[TrainState, Any]:
            state, grads, seen = gradient(hyper, state, rows, examples)
            return update(hyper, state, grads)[0], seen

        return jax.lax.scan(step, state, rows)

    def round_(
        hyper: Hyper, run: RunState, rows: Array, valid: Array, examples: Examples
    ) -> tuple[RunState, RoundMetrics]:
        state, seen = updates(hyper, run.train, rows[:-1], examples)
        state, grads, seen_last = gradient(
            hyper, state, rows[-1], examples, tapped=True
        )
        masks, due = state.sparse.masks, is_due(hyper, state)
        if rewires:
            state, info = cond_over_lanes(due, exchange, update, hyper, state, grads)
        else:
            state, info = update(hyper, state, grads)
        seen = jax.tree.map(jnp.append, seen, seen_last)
        held_out = jnp.zeros(valid.shape, jnp.int32)
        loss, hits = means(hyper, state, valid, held_out, examples, 1)
        watched, topology = watch.look(
            run.watch, state.sparse.masks, masks, grads, info, spec.is_chain
        )
        metrics = RoundMetrics(
            train_loss=jnp.mean(seen[0]),
            train_accuracy=jnp.mean(seen[1]),
            valid_loss=loss[0],
            valid_accuracy=hits[0],
            topology=topology,
        )
        return RunState(state, watched), metrics

    def is_due(hyper: Hyper, state: TrainState) -> Bool[Array, ""]:
        return rewire_is_due(
            state.step, spec.round_steps, hyper.rewire_until, spec.interval_growth
        )

    def evaluate(
        hyper: Hyper, run: RunState, part: Array, examples: Examples
    ) -> FinalMetrics:
        rows = jnp.arange(examples.labels.shape[0])
        loss, hits = means(hyper, run.train, rows, part, examples, 3)
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
        example = math.prod(examples.inputs.shape[1:])
        most = max(_EVALUATION_NUMBERS // example, 1)
        batch = min(_EVALUATION_BATCH, most, rows.shape[0])
        fill = -rows.shape[0] % batch
        rows = jnp.pad(rows, (0, fill)).reshape(-1, batch)
        # Examples that only fill the last batch are of no part.
        part = jnp.pad(part, (0, fill), constant_values=parts).reshape(-1, batch)

        def add(sums: Array, block: tuple[Array, Array]) -> tuple[Array, None]:
            rows, part = block
            inputs, labels = examples.inputs[rows], examples.labels[rows]
            logits = network.predict(view, state.statistics, numbers(inputs))
            loss, hits = loss_and_hits(logits, labels)
            of_part = part == jnp.arange(parts)[:, None]
            # `where`, not a product: a loss that is not counted may be infinite.
            new = [jnp.sum(jnp.where(of_part, x, 0.0), axis=1) for x in (loss, hits)]
            count = jnp.sum(of_part, axis=1, dtype=jnp.float32)
            return sums + jnp.stack([*new, count]), None

        sums, _ = jax.lax.scan(add, jnp.zeros((3, parts)), (rows, part))
        return sums[0] / sums[2], sums[1] / sums[2]

    return Train(shapes, weights, init, adopt, steps, round_, evaluate)


def rewire_is_due(
    step: Int[Array, ""], every: int, until: Scalar, interval_growth: float
) -> Bool[Array, ""]:
    """Whether the last gradient of a round feeds a rewire.

    Args:
        step: gradients before that one.
        every: ΔT, the gradients of a round.
        until: the step from which masks stay.
        interval_growth: of the rounds from one rewire to the next. The last round
            before `until` rewires in any case: some algorithms end with it.
    """
    before = step < until
    if interval_growth == 1.0:
        return before
    number = (step + 1) // every
    grown = schedules.growing(number, interval_growth)
    return before & (grown | is_last(step, every, until))
