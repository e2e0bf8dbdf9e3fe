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
from sparse_search.algorithms.base import SparseAlgorithm, no_rewire
from sparse_search.config import Config
from sparse_search.costs import flops
from sparse_search.data.dataset import Dataset
from sparse_search.errors import UserError
from sparse_search.masks import allocations
from sparse_search.records import SMALL_DENSE
from sparse_search.train import optimizer
from sparse_search.train.rounds import (
    Examples,
    Hyper,
    Spec,
    Train,
    make_order,
    make_train,
)
from sparse_search.train.step import TrainState
from sparse_search.types import Array, Int, Scalar

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
        return "-".join([*filter(None, parts), f"lr{self.learning_rate!r}"])

    @property
    def name(self) -> str:
        """Unique in a workdir."""
        return f"{self.point}-s{self.seed}"

    @property
    def group(self) -> str:
        """Trials of one group share their programs: the compile key."""
        return f"{self.method}-w{self.width}-d{self.depth}"


def trial_from_json(fields: dict[str, Any]) -> Trial:
    """The trial that `dataclasses.asdict` and JSON were made from."""
    counts = tuple((layer, count) for layer, count in fields["counts"])
    return Trial(**{**fields, "counts": counts, "sizes": tuple(fields["sizes"])})


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
    dense = method == "dense"
    if budget is None or (dense and structure is None):
        budget = total
    counts = sizes if dense else allocations.allocate(allocation, shapes, budget)
    layout = f"w{width} d{depth}" + ("" if dense else f" {allocation}")
    make_algorithm(config, method)  # names are checked before anything is trained
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


def make_algorithm(
    config: Config, method: str
) -> Callable[[Scalar, Scalar], SparseAlgorithm]:
    """The algorithm of a method and the config's pattern.

    Returns:
        A function of the drop fraction and the step at which rewiring ends.

    Raises:
        UserError: a name is not known.
    """
    make = build.factory("The method", method, build.ALGORITHMS)
    pattern = config.sparsity.pattern
    select = build.factory("config.sparsity.pattern", pattern, build.PATTERNS)
    return lambda drop_fraction, until: make(drop_fraction, until, select)


def growth(config: Config, method: str) -> flops.Growth:
    """What a rewire of a method computes, as its cost is counted."""
    algorithm = make_algorithm(config, method)(0.0, 0)
    if algorithm.rewire is no_rewire:
        return "none"
    return "gradient" if algorithm.dense_gradient else "random"


def rewires(config: Config, method: str) -> int:
    """How many rounds end in a rewire, which takes the place of a weight update."""
    if growth(config, method) == "none":
        return 0
    every = config.sparsity.rewire_every
    ends = range(every, config.steps + 1, every)
    return sum(end - 1 < rewire_until(config) for end in ends)


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
        steps=np.int32(config.steps - rewires(config, trial.method)),
        rewire_until=np.int32(rewire_until(config)),
        counts=jax.tree.unflatten(
            treedef, [np.int32(counts[n]) if n in counts else None for n in names]
        ),
    )


class Programs(NamedTuple):
    """A group's jitted functions; all but the first two are over lanes."""

    weights: Callable[..., Any]
    init: Callable[..., TrainState]
    steps: Callable[..., Any]
    round: Callable[..., Any]
    evaluate: Callable[..., Any]


def make_spec(config: Config, trial: Trial, dataset: Dataset) -> Spec:
    """The static half of a trial's compile key."""
    model = build.factory("config.model.name", config.model.name, build.MODELS)
    return Spec(
        model=model(trial.width, trial.depth, dataset.classes),
        algorithm=make_algorithm(config, trial.method),
        optimizer=functools.partial(optimizer.make, config.optimizer),
        round_steps=config.sparsity.rewire_every,
        scale=dataset.scale,
    )


def make_programs(train: Train, lanes: int) -> Programs:
    """Jit the functions of a run; a round donates its state.

    One lane runs without a batch axis inside, where XLA is faster. The programs
    `weights`, `init` and `evaluate` are the same for several methods, so that a
    persistent compile cache holds them once.
    """

    def over_lanes(f: Callable[..., Any]) -> Callable[..., Any]:
        def mapped(*args: Any) -> Any:
            *of_lane, examples = args
            if lanes > 1:
                axes = (*(0 for _ in of_lane), None)
                return jax.vmap(f, in_axes=axes)(*of_lane, examples)
            first = jax.tree.map(lambda x: x[0], of_lane)
            return jax.tree.map(lambda x: x[None], f(*first, examples))

        return mapped

    return Programs(
        weights=jax.jit(train.weights),
        init=jax.jit(train.init),
        steps=jax.jit(over_lanes(train.steps)),
        round=jax.jit(over_lanes(train.round), donate_argnums=1),
        evaluate=jax.jit(over_lanes(train.evaluate)),
    )


class Loaded:
    """A data set on the device, with the data order of its seeds."""

    def __init__(self, config: Config, dataset: Dataset):
        """Puts a data set on the default device."""
        self.dataset = dataset
        self.examples = Examples(
            jnp.asarray(np.concatenate([dataset.train_images, dataset.test_images])),
            jnp.asarray(
                np.concatenate([dataset.train_labels, dataset.test_labels]), jnp.int32
            ),
        )
        self._size = len(dataset.train_labels)
        order = make_order(
            size=self._size,
            validation=config.data.validation,
            round_steps=config.sparsity.rewire_every,
            batch_size=config.batch_size,
        )
        self._parts = functools.lru_cache(jax.jit(order.parts))
        self._rows = jax.jit(lambda seed, step, train: train[order.rows(seed, step)])

    def validation(self, seeds: Sequence[int]) -> Int[Array, "lanes validation"]:
        """The examples held out, for every lane."""
        return jnp.stack([self._parts(seed).validation for seed in seeds])

    def part(self, seeds: Sequence[int]) -> Int[Array, "lanes n"]:
        """Of every example: 0 in training, 1 held out, 2 in the test set."""
        part = np.zeros((len(seeds), self.examples.labels.shape[0]), np.int32)
        part[:, self._size :] = 2
        for lane, seed in enumerate(seeds):
            part[lane, np.asarray(self._parts(seed).validation)] = 1
        return jnp.asarray(part)

    def rows(self, seeds: Sequence[int], step: int) -> Int[Array, "lanes steps batch"]:
        """The examples of a round that begins at `step`."""
        made = {
            seed: self._rows(seed, step, self._parts(seed).train)
            for seed in sorted(set(seeds))
        }
        return jnp.stack([made[seed] for seed in seeds])


class Group:
    """What the trials of one compile key share in a process: programs and data."""

    def __init__(self, config: Config, trial: Trial, loaded: Loaded):
        """Prepares a group; its programs compile when they first run.

        Args:
            config: the experiment.
            trial: any trial of the group.
            loaded: the data set.
        """
        self.config = config
        self.loaded = loaded
        self._train = make_train(make_spec(config, trial, loaded.dataset))
        self._params = jax.eval_shape(self._train.weights, 0, loaded.examples)
        self._programs: dict[int, Programs] = {}

    def programs(self, lanes: int) -> Programs:
        """The group's programs for a number of lanes."""
        if lanes not in self._programs:
            self._programs[lanes] = make_programs(self._train, lanes)
        return self._programs[lanes]

    def hyper(self, trials: Sequence[Trial]) -> Hyper:
        """The traced values of trials, stacked."""
        each = [hyper(self.config, trial, self._params) for trial in trials]
        return jax.tree.map(lambda *xs: np.stack(xs), *each)

    def shapes(self, trials: Sequence[Trial]) -> TrainState:
        """Shapes and types of the state of lanes."""
        one = jax.eval_shape(
            self._train.init, hyper(self.config, trials[0], self._params), self._params
        )
        return jax.tree.map(
            lambda x: jax.ShapeDtypeStruct((len(trials), *x.shape), x.dtype), one
        )

    def init(self, trials: Sequence[Trial]) -> TrainState:
        """The state of lanes before the first step.

        Each is made by itself and stacked on the host: `init` runs once a trial, and
        a program without lanes is the same whatever their number.
        """
        programs = self.programs(len(trials))
        states = []
        for trial in trials:
            params = programs.weights(trial.seed, self.loaded.examples)
            one = hyper(self.config, trial, self._params)
            states.append(jax.device_get(programs.init(one, params)))
        return jax.tree.map(lambda *xs: jnp.asarray(np.stack(xs)), *states)
