"""The programs that train many trials at once: stack, vmap and jit a group.

Trials whose programs are the same form a group; a group's programs are compiled once
for a number of lanes and run on any of its trials.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from sparse_search import build, trees
from sparse_search.config import Config
from sparse_search.data.dataset import Dataset
from sparse_search.data.streamed import Streamed
from sparse_search.results import Result
from sparse_search.train import optimizer, starting
from sparse_search.train.inheritance import inherited
from sparse_search.train.methods import rewire_until
from sparse_search.train.order import make_order
from sparse_search.train.rounds import (
    Examples,
    Hyper,
    RunState,
    Spec,
    Train,
    make_train,
)
from sparse_search.train.sharding import Placement
from sparse_search.train.trials import (
    Trial,
    algorithm_of,
    maker_of,
    network,
    updates,
)
from sparse_search.types import Array, Int


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
        steps=np.int32(updates(config, trial)),
        rewire_until=np.int32(rewire_until(config)),
        counts=jax.tree.unflatten(
            treedef, [np.int32(counts[n]) if n in counts else None for n in names]
        ),
    )


class Programs(NamedTuple):
    """A group's jitted functions; all but the first three are over lanes."""

    weights: Callable[..., Any]
    init: Callable[..., RunState]
    adopt: Callable[..., RunState]
    steps: Callable[..., Any]
    round: Callable[..., Any]
    evaluate: Callable[..., Any]


def make_spec(config: Config, trial: Trial, dataset: Dataset) -> Spec:
    """The static half of a trial's compile key."""
    return Spec(
        model=build.model(config.model, trial.width, trial.depth, dataset.classes),
        algorithm=maker_of(config, trial),
        optimizer=functools.partial(optimizer.make, config.optimizer),
        round_steps=config.sparsity.rewire_every,
        scale=dataset.scale,
        mean=dataset.mean,
        interval_growth=config.sparsity.interval_growth,
        rooms=trial.rooms,
        precision=config.precision,
        augment=config.data.augment,
        is_chain=network(config, dataset, trial.width, trial.depth).is_chain,
    )


def make_programs(train: Train, placed: Placement) -> Programs:
    """Jit the functions of a run; a round donates its state.

    One lane of a device runs without a batch axis inside, where XLA is faster. The
    programs `weights`, `init` and `evaluate` are the same for several methods, so that
    a persistent compile cache holds them once.
    """

    def over_lanes(f: Callable[..., Any]) -> Callable[..., Any]:
        def mapped(*args: Any) -> Any:
            *of_lane, examples = args
            if placed.lanes_each > 1:
                axes = (*(0 for _ in of_lane), None)
                return jax.vmap(f, in_axes=axes)(*of_lane, examples)
            first = jax.tree.map(lambda x: x[0], of_lane)
            return jax.tree.map(lambda x: x[None], f(*first, examples))

        return placed.spread(mapped)

    return Programs(
        weights=jax.jit(placed.alone(train.weights)),
        init=jax.jit(placed.alone(train.init)),
        adopt=jax.jit(placed.alone(train.adopt)),
        steps=jax.jit(over_lanes(train.steps)),
        round=jax.jit(over_lanes(train.round), donate_argnums=1),
        evaluate=jax.jit(over_lanes(train.evaluate)),
    )


class Loaded:
    """A data set on the device, with the data order of its seeds."""

    def __init__(self, config: Config, dataset: Dataset):
        """Puts a data set on the default device."""
        self.dataset = dataset
        # Labels stay as small as they are: of a text, there are as many as inputs.
        self.examples = Examples(
            _both(dataset.train_inputs, dataset.test_inputs),
            _both(dataset.train_labels, dataset.test_labels),
        )
        self._on: dict[Any, Examples] = {}
        self._size = len(dataset.train_labels)
        order = make_order(
            size=self._size,
            validation=config.data.validation,
            round_steps=config.sparsity.rewire_every,
            batch_size=config.batch_size,
            official=dataset.validation,
        )
        self._parts = functools.lru_cache(jax.jit(order.parts))
        self._rows = jax.jit(lambda seed, step, train: train[order.rows(seed, step)])

    def validation(self, seeds: Sequence[int]) -> Int[Array, "lanes validation"]:
        """The examples held out, for every lane."""
        return jnp.stack([self._parts(seed).validation for seed in seeds])

    def part(self, seeds: Sequence[int]) -> Int[Array, "lanes n"]:
        """Of every example: 0 in training, 1 held out, 2 in the test set, 3 unused."""
        part = np.zeros((len(seeds), self.examples.labels.shape[0]), np.int32)
        part[:, self._size - self.dataset.validation :] = 3
        part[:, self._size :] = 2
        for lane, seed in enumerate(seeds):
            part[lane, np.asarray(self._parts(seed).validation)] = 1
        return jnp.asarray(part)

    def on(self, placed: Placement) -> Examples:
        """The examples where a chunk lies: on each of its devices."""
        if placed.mesh is None:
            return self.examples
        if placed.mesh not in self._on:
            self._on[placed.mesh] = placed.everywhere(self.examples)
        return self._on[placed.mesh]

    def rows(self, seeds: Sequence[int], step: int) -> Int[Array, "lanes steps batch"]:
        """The examples of a round that begins at `step`."""
        made = {
            seed: self._rows(seed, step, self._parts(seed).train)
            for seed in sorted(set(seeds))
        }
        rows = jnp.stack([made[seed] for seed in seeds])
        if isinstance(self.examples.inputs, Streamed):
            batches = np.asarray(rows).swapaxes(0, 1)
            self.examples.inputs.announce(batches.reshape(len(batches), -1))
        return rows

    def check_read(self) -> None:
        """Raise a `UserError` if an example could not be read while training."""
        inputs = self.examples.inputs
        if isinstance(inputs, Streamed) and inputs.problem is not None:
            raise inputs.problem


def _both(train: Any, test: Any) -> Any:
    """The examples of training, then those of the test, on the default device."""
    if isinstance(train, Streamed):
        return train.and_then(test)
    return jnp.asarray(np.concatenate([train, test]))


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
        self._params = self._train.shapes(loaded.examples)
        self._programs: dict[Placement, Programs] = {}

    def programs(self, placed: Placement) -> Programs:
        """The group's programs for a number of lanes on some devices."""
        if placed not in self._programs:
            self._programs[placed] = make_programs(self._train, placed)
        return self._programs[placed]

    def hyper(self, trials: Sequence[Trial]) -> Hyper:
        """The traced values of trials, stacked."""
        each = [hyper(self.config, trial, self._params) for trial in trials]
        return jax.tree.map(lambda *xs: np.stack(xs), *each)

    def shapes(self, trials: Sequence[Trial], placed: Placement) -> RunState:
        """Shapes and types of the state of lanes, and where it lies."""
        one = jax.eval_shape(
            self._train.init,
            hyper(self.config, trials[0], self._params),
            jax.eval_shape(self._train.weights, 0, self.loaded.examples),
            jax.ShapeDtypeStruct((self.config.batch_size,), jnp.int32),
            self.loaded.examples,
        )

        def stacked(x: Any) -> jax.ShapeDtypeStruct:
            shape = (len(trials), *x.shape)
            return jax.ShapeDtypeStruct(shape, x.dtype, sharding=placed.sharding(shape))

        return jax.tree.map(stacked, one)

    def init(
        self,
        trials: Sequence[Trial],
        placed: Placement,
        parents: Mapping[str, Result] = MappingProxyType({}),
        start: Result | None = None,
    ) -> RunState:
        """The state of lanes before the first step.

        Each is made by itself and stacked on the host: `init` runs once a trial, and
        a program without lanes is the same whatever their number.

        Args:
            trials: a trial for every lane.
            placed: where they lie.
            parents: what is inherited, by the names of the trials that inherit.
            start: the checkpoint that all begin with; see `starting`.
        """
        programs, loaded = self.programs(placed), self.loaded
        examples = loaded.on(placed) if placed.divided else loaded.examples
        states = []
        for trial in trials:
            drawn = programs.weights(trial.seed, examples)
            algorithm = algorithm_of(self.config, trial)
            if start is not None:
                named = Result(
                    trees.named_leaves(drawn[0]), {}, trees.named_leaves(drawn[1])
                )
                given = starting.weights(named, start)
                drawn = _put(drawn[0], given.params), _put(drawn[1], given.statistics)
            one = hyper(self.config, trial, self._params)
            batch = loaded.rows([trial.seed], 0)[0, 0]
            batch = placed.everywhere(batch) if placed.divided else batch
            made = programs.init(one, drawn, batch, examples)
            if start is not None and algorithm.begins == "any":
                found = starting.largest(_result(made), start, algorithm, trial.seed)
                made = _adopt(programs, one, made, found)
            if trial.name in parents:
                found = inherited(_result(made), parents[trial.name], trial.seed)
                made = _adopt(programs, one, made, found)
            if placed.divided:
                return jax.tree.map(lambda x: x[None], made)
            states.append(jax.device_get(made))
        return placed.put(jax.tree.map(lambda *xs: np.stack(xs), *states))


def _adopt(programs: Programs, one: Hyper, made: RunState, other: Result) -> RunState:
    """A state before the first step, with another network instead."""
    train = made.train
    begun = train.params, train.sparse.masks, train.statistics
    own = (_put(tree, named) for tree, named in zip(begun, other, strict=True))
    return programs.adopt(one, made, *own)


def _result(made: RunState) -> Result:
    """The network of a state, as arrays of the host."""
    train = made.train
    params, masks, statistics = (
        trees.named_leaves(jax.device_get(tree))
        for tree in (train.params, train.sparse.masks, train.statistics)
    )
    masks = {name: mask for name, mask in masks.items() if mask is not None}
    return Result(params, masks, statistics)


def _put(tree: Any, named: Mapping[str, Any]) -> Any:
    """Arrays by name, where those of a tree lie."""
    return trees.map_named(lambda x, new: jax.device_put(new, x.sharding), tree, named)
