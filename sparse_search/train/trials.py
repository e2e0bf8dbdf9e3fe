"""Trials, and the programs that train many of them at once.

A trial is one configuration with one seed. Trials whose programs are the same form a
group; a group's programs are compiled once for a number of lanes and run on any of
its trials.
"""

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from sparse_search import build, trees
from sparse_search.config import Config
from sparse_search.data.dataset import Dataset
from sparse_search.errors import UserError
from sparse_search.masks import allocations
from sparse_search.records import SMALL_DENSE
from sparse_search.train import optimizer
from sparse_search.train.rounds import Examples, Hyper, Spec, Train, make_train
from sparse_search.train.step import TrainState

Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Trial:
    """One configuration with one seed.

    Attributes:
        structure: layout × method; `small_dense` for all small dense networks.
        method: the algorithm.
        width: neurons of a hidden layer.
        depth: hidden layers.
        allocation: how the budget is divided among layers; "" for dense networks.
        pattern: which masks are allowed.
        learning_rate: the schedule's peak.
        seed: of everything that is random.
        budget: the nnz that was asked for.
        counts: the nnz of every sparse layer, by name; they sum to the nnz.
        sizes: the number of entries of every sparse layer's kernel.
    """

    structure: str
    method: str
    width: int
    depth: int
    allocation: str
    pattern: str
    learning_rate: float
    seed: int
    budget: int
    counts: tuple[tuple[str, int], ...]
    sizes: tuple[int, ...]

    @property
    def nnz(self) -> int:
        """The exact number of non-zero weights."""
        return sum(count for _, count in self.counts)

    @property
    def density(self) -> float:
        """Nnz over the size of all sparse layers."""
        return self.nnz / sum(self.sizes)

    @property
    def point(self) -> str:
        """The trial's name without its seed: unique, and fit for a file name."""
        layout = f"w{self.width}-d{self.depth}"
        parts = [self.method, layout, self.allocation, f"n{self.nnz}"]
        if self.structure == SMALL_DENSE:
            parts = [SMALL_DENSE, layout, f"n{self.nnz}"]
        return "-".join([*filter(None, parts), f"lr{self.learning_rate:g}"])

    @property
    def name(self) -> str:
        """Unique in a workdir."""
        return f"{self.point}-s{self.seed}"

    @property
    def group(self) -> str:
        """Trials of one group share their programs: the compile key."""
        return f"{self.method}-w{self.width}-d{self.depth}"


@functools.lru_cache(maxsize=512)
def parameter_shapes(
    model: str, width: int, depth: int, classes: int, example: tuple[int, ...]
) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """Names and shapes of a network's parameters; nothing is computed.

    Args:
        model: a name in `build.MODELS`.
        width: neurons of a hidden layer.
        depth: hidden layers.
        classes: outputs.
        example: shape of one example.

    Raises:
        UserError: the model cannot be built.
    """
    factory = build.factory("config.model.name", model, build.MODELS)
    try:
        module = factory(width, depth, classes)
    except ValueError as error:
        raise UserError(f"config.model: {error}") from None
    params = jax.eval_shape(
        lambda: module.init(jax.random.key(0), jnp.zeros((1, *example)))
    )
    return tuple((k, tuple(v.shape)) for k, v in trees.named_leaves(params).items())


def sparse_shapes(shapes: Sequence[tuple[str, tuple[int, ...]]]) -> Shapes:
    """The kernels that are sparsified."""
    return {k: s for k, s in shapes if allocations.is_sparse(k, s)}


def make_trial(
    config: Config,
    dataset: Dataset,
    *,
    method: str,
    width: int,
    depth: int,
    allocation: str,
    learning_rate: float,
    seed: int,
    budget: int | None,
    structure: str | None = None,
) -> Trial:
    """Allocate a budget and name the trial.

    Args:
        config: for the model and the pattern.
        dataset: for the shapes.
        method: a name in `build.ALGORITHMS`.
        width: neurons of a hidden layer.
        depth: hidden layers.
        allocation: how the budget is divided.
        learning_rate: the schedule's peak.
        seed: of everything that is random.
        budget: the nnz; None for all weights.
        structure: where it is not layout × method.

    Raises:
        UserError: the budget does not fit the network.
    """
    all_shapes = parameter_shapes(
        config.model.name, width, depth, dataset.classes, dataset.train_images.shape[1:]
    )
    shapes = sparse_shapes(all_shapes)
    sizes = {k: math.prod(s) for k, s in shapes.items()}
    total = sum(sizes.values())
    budget = total if budget is None else budget
    dense = method == "dense"
    counts = sizes if dense else allocations.allocate(allocation, shapes, budget)
    layout = f"w{width} d{depth}" + ("" if dense else f" {allocation}")
    if config.sparsity.pattern not in build.PATTERNS:
        build.factory("config.sparsity.pattern", config.sparsity.pattern, {})
    return Trial(
        structure=structure or f"{method} {layout}",
        method=method,
        width=width,
        depth=depth,
        allocation="" if dense else allocation,
        pattern="dense" if dense else config.sparsity.pattern,
        learning_rate=learning_rate,
        seed=seed,
        budget=budget,
        counts=tuple(counts.items()),
        sizes=tuple(sizes[k] for k in counts),
    )


def single_trial(config: Config, dataset: Dataset) -> Trial:
    """The trial of a config without a search."""
    sparsity = config.sparsity
    budget = sparsity.nnz or None
    if budget is None:
        shapes = parameter_shapes(
            config.model.name,
            config.model.width,
            config.model.depth,
            dataset.classes,
            dataset.train_images.shape[1:],
        )
        total = sum(math.prod(s) for s in sparse_shapes(shapes).values())
        budget = round(sparsity.density * total)
    return make_trial(
        config,
        dataset,
        method=sparsity.method,
        width=config.model.width,
        depth=config.model.depth,
        allocation=sparsity.allocation,
        learning_rate=config.optimizer.learning_rate,
        seed=config.seed,
        budget=budget,
    )


def check(config: Config, dataset: Dataset) -> None:
    """Raise a `UserError` for what only the data or the libraries can tell."""
    optimizer.check(config.optimizer)
    size = len(dataset.train_labels)
    if config.data.validation >= size:
        raise UserError(
            f"config.data.validation={config.data.validation} leaves nothing to train "
            f"on: {dataset.name} has {size} training examples."
        )
    if config.batch_size > size - config.data.validation:
        raise UserError(
            f"config.batch_size={config.batch_size} is more than the "
            f"{size - config.data.validation} examples left for training."
        )


def rewire_until(config: Config) -> int:
    """The step from which masks stay as they are."""
    return round(config.sparsity.rewire_until * config.steps)


def rewires(config: Config, method: str) -> int:
    """How many rewires a trial makes: the rounds that end before `rewire_until`."""
    if method in ("dense", "static"):
        return 0
    every = config.sparsity.rewire_every
    return sum(
        end - 1 < rewire_until(config) for end in range(every, config.steps + 1, every)
    )


def hyper(config: Config, trial: Trial, params: Any) -> Hyper:
    """The traced values of a trial.

    Args:
        config: the experiment.
        trial: one of its trials.
        params: the network's parameters, or their shapes.
    """
    counts = dict(trial.counts)
    leaves, treedef = jax.tree.flatten(params)
    names = list(trees.named_leaves(params))
    assert len(names) == len(leaves)
    return Hyper(
        seed=np.int32(trial.seed),
        learning_rate=np.float32(trial.learning_rate),
        weight_decay=np.float32(config.optimizer.weight_decay),
        drop_fraction=np.float32(config.sparsity.drop_fraction),
        steps=np.int32(config.steps),
        rewire_until=np.int32(rewire_until(config)),
        counts=jax.tree.unflatten(
            treedef, [np.int32(counts[n]) if n in counts else None for n in names]
        ),
    )


class Programs(NamedTuple):
    """A group's compiled functions over lanes, as in `rounds.Train`."""

    init: Callable[[Hyper, Examples], TrainState]
    round: Callable[[Hyper, TrainState, Examples], Any]
    evaluate: Callable[[Hyper, TrainState, Examples], Any]


def make_spec(config: Config, trial: Trial, dataset: Dataset) -> Spec:
    """The static half of a trial's compile key."""
    model = build.factory("config.model.name", config.model.name, build.MODELS)
    return Spec(
        model=model(trial.width, trial.depth, dataset.classes),
        algorithm=build.factory("method", trial.method, build.ALGORITHMS),
        optimizer=functools.partial(optimizer.make, config.optimizer),
        round_steps=config.sparsity.rewire_every,
        batch_size=config.batch_size,
        validation=config.data.validation,
        mean=dataset.mean,
        scale=dataset.scale,
    )


def programs(train: Train, lanes: int) -> Programs:
    """Jit the functions of a run over lanes; a round donates its state.

    One lane runs without a batch axis inside, where XLA is faster.
    """

    def over_lanes(f: Callable[..., Any]) -> Callable[..., Any]:
        def mapped(hyper: Hyper, *args: Any) -> Any:
            axes = (0,) * len(args[:-1])  # the last argument, the examples, is shared
            if lanes > 1:
                return jax.vmap(f, in_axes=(0, *axes, None))(hyper, *args)
            first = jax.tree.map(lambda x: x[0], (hyper, *args[:-1]))
            return jax.tree.map(lambda x: x[None], f(*first, args[-1]))

        return mapped

    return Programs(
        init=jax.jit(over_lanes(train.init)),
        round=jax.jit(over_lanes(train.round), donate_argnums=1),
        evaluate=jax.jit(over_lanes(train.evaluate)),
    )


class Group:
    """What the trials of one compile key share in a process: programs and data."""

    def __init__(
        self, config: Config, trial: Trial, dataset: Dataset, examples: Examples
    ):
        """Prepares a group; its programs compile when they first run.

        Args:
            config: the experiment.
            trial: any trial of the group.
            dataset: for shapes and normalisation.
            examples: the same data set on the device.
        """
        self.config = config
        self.examples = examples
        spec = make_spec(config, trial, dataset)
        self._train = make_train(spec)
        shape = (1, *dataset.train_images.shape[1:])
        self._params = jax.eval_shape(
            lambda: spec.model.init(jax.random.key(0), jnp.zeros(shape))
        )
        self._programs: dict[int, Programs] = {}

    def programs(self, lanes: int) -> Programs:
        """The group's programs for a number of lanes."""
        if lanes not in self._programs:
            self._programs[lanes] = programs(self._train, lanes)
        return self._programs[lanes]

    def stack(self, trials: Sequence[Trial], lanes: int) -> Hyper:
        """The traced values of trials, the last one repeated to fill the lanes."""
        filled = [*trials, *[trials[-1]] * (lanes - len(trials))]
        each = [hyper(self.config, trial, self._params) for trial in filled]
        return jax.tree.map(lambda *xs: jnp.asarray(np.stack(xs)), *each)


def on_device(dataset: Dataset) -> Examples:
    """Put a data set on the default device."""
    return Examples(
        jnp.asarray(dataset.train_images),
        jnp.asarray(dataset.train_labels, jnp.int32),
        jnp.asarray(dataset.test_images),
        jnp.asarray(dataset.test_labels, jnp.int32),
    )
