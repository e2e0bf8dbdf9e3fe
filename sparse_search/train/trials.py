"""Trials: one configuration with one seed each, and what follows from it on paper.

Nothing is computed here but counts and shapes; `lanes` has the programs.
"""

import functools
import json
import math
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from sparse_search import build, trees
from sparse_search.algorithms.base import SparseAlgorithm
from sparse_search.config import Config, Model
from sparse_search.costs.families import FAMILIES
from sparse_search.costs.flops import work_of
from sparse_search.costs.layers import Network
from sparse_search.costs.traced import trace
from sparse_search.data import augment
from sparse_search.data.dataset import Dataset
from sparse_search.data.streamed import Streamed
from sparse_search.errors import UserError
from sparse_search.masks import allocations, patterns
from sparse_search.records import SMALL_DENSE
from sparse_search.train import optimizer, starting
from sparse_search.train.methods import (
    check_options,
    check_rewires,
    make_algorithm,
    rewires,
)
from sparse_search.train.network import make_network

Shapes = dict[str, tuple[int, ...]]


class SparseLayer(NamedTuple):
    """A sparse layer: its name, its nnz, and the number of entries of its kernel."""

    name: str
    count: int
    size: int


_OF_ANY = ("unstructured", "dense")
"""Patterns that a compile key does not name."""


@dataclass(frozen=True)
class Trial:
    """One configuration with one seed.

    Attributes:
        structure: layout × method; `small_dense` for all small dense networks.
        method: the algorithm.
        width: neurons of a hidden layer.
        depth: hidden layers.
        allocation: how the budget is divided among layers; "" for dense networks.
        pattern: which masks are allowed; "dense" for dense networks.
        learning_rate: the schedule's peak.
        seed: of everything that is random.
        budget: the nnz that was asked for.
        counts: the nnz of every sparse layer, by name; they sum to the nnz.
        sizes: the number of entries of every sparse layer's kernel.
        rooms: the layers that are compressed, and how many weights each has room for.
        parent: the point whose weights and masks it begins with, those of its own seed;
            "" for a beginning of its own.
        uses: multiply-adds of every weight for one example, of each sparse layer.
        base_flops: of the forward pass of one example, those that do not depend on the
            nnz: outputs, dense layers, products without weights.
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
    rooms: tuple[tuple[str, int], ...] = ()
    parent: str = ""
    uses: tuple[int, ...] = ()
    base_flops: int = 0

    @property
    def nnz(self) -> int:
        """The exact number of non-zero weights."""
        return sum(count for _, count in self.counts)

    @property
    def layers(self) -> tuple[SparseLayer, ...]:
        """The sparse layers."""
        return tuple(
            SparseLayer(name, count, size)
            for (name, count), size in zip(self.counts, self.sizes, strict=True)
        )

    @property
    def density(self) -> float:
        """Nnz over the size of all sparse layers."""
        return self.nnz / sum(self.sizes)

    @property
    def point(self) -> str:
        """The trial's name without its seed: unique, and fit for a file name."""
        layout = f"w{self.width}-d{self.depth}"
        pattern = "" if self.pattern == "unstructured" else self.pattern
        parts = [self.method, layout, self.allocation, pattern, f"n{self.nnz}"]
        if self.structure == SMALL_DENSE:
            parts = [SMALL_DENSE, layout, f"n{self.nnz}"]
        parts += [f"lr{self.learning_rate!r}"]
        if self.parent:
            parts += [f"of{zlib.crc32(self.parent.encode()):08x}"]
        return "-".join(filter(None, parts))

    @property
    def name(self) -> str:
        """Unique in a workdir."""
        return f"{self.point}-s{self.seed}"

    @property
    def parent_name(self) -> str:
        """The name of the trial that it inherits from, or ""."""
        return self.parent and f"{self.parent}-s{self.seed}"

    @property
    def group(self) -> str:
        """Trials of one group share their programs: the compile key."""
        scope = "" if self.scope == "layer" else f"-{self.scope}"
        pattern = "" if self.pattern in _OF_ANY else f"-{self.pattern}"
        size = f"w{self.width}-d{self.depth}"
        return f"{self.method}-{size}{scope}{pattern}{self.capacities}"

    @property
    def capacities(self) -> str:
        """The rooms of all sparse layers, 0 of masked ones; "" if all are masked."""
        rooms = dict(self.rooms)
        return "".join(f"-c{rooms.get(name, 0)}" for name, _ in self.counts if rooms)

    @property
    def scope(self) -> str:
        """Whether the method keeps every layer's number, or compares all layers."""
        return _scope(self.allocation)


def trial_from_json(fields: dict[str, Any]) -> Trial:
    """The trial that `dataclasses.asdict` and JSON were made from."""
    counts = tuple((layer, count) for layer, count in fields["counts"])
    rooms = tuple((layer, room) for layer, room in fields.get("rooms", ()))
    sizes = tuple(fields["sizes"])
    # Plans of before convolutions know no uses.
    uses = tuple(fields.get("uses") or (1 for _ in sizes))
    of_lists = {"counts": counts, "sizes": sizes, "rooms": rooms, "uses": uses}
    return Trial(**{**fields, **of_lists})


def parameter_shapes(
    config: Config, dataset: Dataset, width: int, depth: int
) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """Names and shapes of a network's parameters; nothing is computed.

    Raises:
        UserError: the model cannot be built, or does not take the data set's examples.
    """
    return model_shapes(config.model, width, depth, dataset.classes, dataset.example)


def model_shapes(
    spec: Model, width: int, depth: int, classes: int, example: jax.ShapeDtypeStruct
) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """`parameter_shapes` of a model on examples of a shape and type."""
    options = json.dumps(spec.options, sort_keys=True)
    return _parameter_shapes(spec.name, options, width, depth, classes, example)


@functools.lru_cache(maxsize=512)
def _parameter_shapes(
    model: str,
    options: str,
    width: int,
    depth: int,
    classes: int,
    example: jax.ShapeDtypeStruct,
) -> tuple[tuple[str, tuple[int, ...]], ...]:
    spec = Model(model, options=json.loads(options))
    module = build.model(spec, width, depth, classes)
    batch = jnp.zeros((1, *example.shape), example.dtype)
    try:
        made = jax.eval_shape(lambda: module.init(jax.random.key(0), batch))
    except ValueError as error:
        raise UserError(f"config.model.name={model!r}: {error}") from None
    params = trees.named_leaves({"params": made["params"]})
    return tuple((name, tuple(leaf.shape)) for name, leaf in params.items())


def network(config: Config, dataset: Dataset, width: int, depth: int) -> Network:
    """The layers of a network, as costs see them; nothing is computed.

    Raises:
        UserError: as `parameter_shapes`.
    """
    shapes = parameter_shapes(config, dataset, width, depth)
    options = json.dumps(config.model.options, sort_keys=True)
    return _network(
        config.model.name,
        options,
        width,
        depth,
        dataset.classes,
        dataset.example,
        shapes,
    )


@functools.lru_cache(maxsize=512)
def _network(
    model: str,
    options: str,
    width: int,
    depth: int,
    classes: int,
    example: jax.ShapeDtypeStruct,
    shapes: tuple[tuple[str, tuple[int, ...]], ...],
) -> Network:
    given = json.loads(options)
    if model in FAMILIES:
        known = {k: v for k, v in given.items() if k == "patch"}
        made = FAMILIES[model](width, depth, classes, tuple(example.shape), **known)
        # A model that has changed since is traced as any other.
        sparse = {layer.name: layer.shape for layer in made.layers if layer.sparse}
        every = sum(math.prod(shape) for _, shape in shapes)
        if (
            sparse == sparse_shapes(shapes)
            and sum(layer.size for layer in made.layers) + made.others == every
        ):
            return made
    module = build.model(Model(model, options=given), width, depth, classes)
    functions = make_network(module)
    batch = jax.ShapeDtypeStruct((1, *example.shape), example.dtype)
    params, statistics = jax.eval_shape(functions.init, jax.random.key(0), batch)
    return trace(functions.predict, params, statistics, batch)


def sparse_shapes(shapes: Sequence[tuple[str, tuple[int, ...]]]) -> Shapes:
    """The kernels that are sparsified."""
    return {k: s for k, s in shapes if allocations.is_sparse(k, s)}


@functools.lru_cache(maxsize=2**16)
def _allocate(
    rule: str,
    shapes: tuple[tuple[str, tuple[int, ...]], ...],
    budget: int,
    given: str,
) -> dict[str, int]:
    """The same for all methods and patterns of a space."""
    return allocations.allocate(rule, sparse_shapes(shapes), budget, json.loads(given))


def make_trial(
    config: Config,
    dataset: Dataset,
    algorithm: SparseAlgorithm,
    *,
    method: str,
    width: int,
    depth: int,
    allocation: str,
    pattern: str,
    learning_rate: float,
    seed: int,
    budget: int | None,
    structure: str | None = None,
) -> Trial:
    """Allocate a budget and name the trial.

    Args:
        config: for the model, and the numbers of single layers.
        dataset: for the shapes.
        algorithm: what `checked` made of method, pattern and allocation.
        method: a name in `build.ALGORITHMS`.
        width: neurons of a hidden layer.
        depth: hidden layers.
        allocation: how the budget is divided.
        pattern: which masks are allowed.
        learning_rate: the schedule's peak.
        seed: of everything that is random.
        budget: the nnz; None for all weights.
        structure: where it is not layout × method.

    Raises:
        UserError: the budget does not fit the network.
    """
    all_shapes = parameter_shapes(config, dataset, width, depth)
    shapes = sparse_shapes(all_shapes)
    sizes = {k: math.prod(s) for k, s in shapes.items()}
    total = sum(sizes.values())
    dense = method == "dense"
    if budget is None or (dense and structure is None):
        budget = total
    counts = sizes
    if not dense:
        given = json.dumps(config.sparsity.layer_nnz)
        counts = _allocate(allocation, all_shapes, budget, given)
        counts = patterns.reach(algorithm.pattern, shapes, counts)
    if config.init_from:
        starting.check(
            config.init_from, all_shapes, tuple(counts.items()), method, algorithm
        )
    layers = network(config, dataset, width, depth)
    uses = {layer.name: layer.uses for layer in layers.layers}
    parts = [f"w{width} d{depth}"]
    parts += [] if dense else [allocation, "" if pattern in _OF_ANY else pattern]
    layout = " ".join(filter(None, parts))
    return Trial(
        structure=structure or f"{method} {layout}",
        method=method,
        width=width,
        depth=depth,
        allocation="" if dense else allocation,
        pattern="dense" if dense else pattern,
        learning_rate=learning_rate,
        seed=seed,
        budget=sum(counts.values()) if budget is None else budget,
        counts=tuple(counts.items()),
        sizes=tuple(sizes[k] for k in counts),
        uses=tuple(uses[k] for k in counts),
        base_flops=work_of(layers).base,
    )


def checked(
    config: Config, method: str, pattern: str, allocation: str
) -> SparseAlgorithm:
    """The algorithm of some trials, before any of them is made.

    Raises:
        UserError: a name is not known, or the method cannot do its work so.
    """
    made = make_algorithm(config, method, pattern, _scope(allocation))(0.0, 0)
    if method != "dense":
        check_rewires(config, method, made)
    return made


def _scope(allocation: str) -> str:
    return allocation if allocation in allocations.ACROSS else "layer"


def single_trial(config: Config, dataset: Dataset) -> Trial:
    """The trial of a config without a search."""
    sparsity = config.sparsity
    check_options(config, [sparsity.method])
    budget = sparsity.nnz or None
    if budget is None:
        shapes = parameter_shapes(
            config, dataset, config.model.width, config.model.depth
        )
        total = sum(math.prod(s) for s in sparse_shapes(shapes).values())
        budget = round(sparsity.density * total)
    return make_trial(
        config,
        dataset,
        checked(config, sparsity.method, sparsity.pattern, sparsity.allocation),
        method=sparsity.method,
        width=config.model.width,
        depth=config.model.depth,
        allocation=sparsity.allocation,
        pattern=sparsity.pattern,
        learning_rate=config.optimizer.learning_rate,
        seed=config.seed,
        budget=budget,
    )


def check(config: Config, dataset: Dataset) -> None:
    """Raise a `UserError` for what only the data or the libraries can tell."""
    optimizer.check(config.optimizer)
    augment.check(config.data.augment)
    if config.data.augment and (dataset.scale is None or dataset.train_inputs.ndim < 3):
        raise UserError(
            f"config.data.augment={config.data.augment} is for images, and "
            f"{dataset.name} has none."
        )
    if isinstance(dataset.train_inputs, Streamed) and config.devices != 1:
        raise UserError(
            f"{dataset.name} is read while training, which is for one device: set "
            f"config.devices=1, not {config.devices}."
        )
    size, held_out = len(dataset.train_labels), config.data.validation
    if dataset.validation and held_out > dataset.validation:
        raise UserError(
            f"config.data.validation={held_out} is more than the official validation "
            f"part of {dataset.name}, which has {dataset.validation} examples."
        )
    if held_out >= size:
        raise UserError(
            f"config.data.validation={held_out} leaves nothing to train on: "
            f"{dataset.name} has {size} training examples."
        )
    left = size - (dataset.validation or held_out)
    if config.batch_size > left:
        raise UserError(
            f"config.batch_size={config.batch_size} is more than the {left} examples "
            "left for training."
        )


def maker_of(config: Config, trial: Trial) -> Callable[..., SparseAlgorithm]:
    """What makes a trial's algorithm; see `make_algorithm`."""
    pattern = "unstructured" if trial.method == "dense" else trial.pattern
    return make_algorithm(config, trial.method, pattern, trial.scope)


def algorithm_of(config: Config, trial: Trial) -> SparseAlgorithm:
    """A trial's algorithm, to look at what it declares."""
    return maker_of(config, trial)(0.0, 0)


def updates(config: Config, trial: Trial) -> int:
    """The weight updates of a trial, of each training where several follow."""
    algorithm = algorithm_of(config, trial)
    return (config.steps - rewires(config, algorithm)) // algorithm.trainings
