"""Trials: one configuration with one seed each, and what follows from it on paper.

Nothing is computed here but counts and shapes; `lanes` has the programs.
"""

import functools
import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from sparse_search import algorithms, build, trees
from sparse_search.algorithms import schedules
from sparse_search.algorithms.base import SparseAlgorithm, no_rewire
from sparse_search.config import Config
from sparse_search.costs import flops
from sparse_search.data.dataset import Dataset
from sparse_search.errors import Impossible, UserError, nearest
from sparse_search.masks import allocations, patterns
from sparse_search.records import SMALL_DENSE
from sparse_search.train import optimizer
from sparse_search.train.rounds import rewire_is_due
from sparse_search.types import Scalar

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
        rooms: the layers that are compressed, and how many weights each has room for.
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
        pattern = "" if self.pattern == "unstructured" else self.pattern
        parts = [self.method, layout, self.allocation, pattern, f"n{self.nnz}"]
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
        scope = "" if self.scope == "layer" else f"-{self.scope}"
        rooms = "".join(f"-c{capacity}" for _, capacity in self.rooms)
        return f"{self.method}-w{self.width}-d{self.depth}{scope}{rooms}"

    @property
    def scope(self) -> str:
        """Whether the method keeps every layer's number, or compares all layers."""
        return self.allocation if self.allocation in allocations.ACROSS else "layer"


def trial_from_json(fields: dict[str, Any]) -> Trial:
    """The trial that `dataclasses.asdict` and JSON were made from."""
    counts = tuple((layer, count) for layer, count in fields["counts"])
    rooms = tuple((layer, room) for layer, room in fields.get("rooms", ()))
    sizes = tuple(fields["sizes"])
    return Trial(**{**fields, "counts": counts, "sizes": sizes, "rooms": rooms})


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
    scope = allocation if allocation in allocations.ACROSS else "layer"
    make = make_algorithm(config, method, scope)  # before anything is trained
    if budget is None or (dense and structure is None):
        budget = total
    counts = sizes
    if not dense:
        made = make(0.0, 0)
        given = config.sparsity.layer_nnz
        counts = allocations.allocate(allocation, shapes, budget, given)
        counts = patterns.reach(made.pattern, shapes, counts)
        _check_trainings(config, method, made)
        if made.conserves in ("end", "total_end") and not rewires(config, method):
            raise UserError(
                f"The method {method!r} comes to its number of weights when it "
                f"rewires, but config.sparsity.rewire_until="
                f"{config.sparsity.rewire_until} of {config.steps} steps leaves no "
                "rewire."
            )
    named = config.sparsity.pattern
    pattern = "" if named == "unstructured" else named
    parts = [f"w{width} d{depth}", *([] if dense else [allocation, pattern])]
    layout = " ".join(filter(None, parts))
    return Trial(
        structure=structure or f"{method} {layout}",
        method=method,
        width=width,
        depth=depth,
        allocation="" if dense else allocation,
        pattern="dense" if dense else config.sparsity.pattern,
        learning_rate=learning_rate,
        seed=seed,
        budget=sum(counts.values()) if budget is None else budget,
        counts=tuple(counts.items()),
        sizes=tuple(sizes[k] for k in counts),
    )


def _check_trainings(config: Config, method: str, made: SparseAlgorithm) -> None:
    """Refuse trainings that follow each other and are not equally long."""
    equal = 1 - 1 / made.trainings
    off = abs(rewire_until(config) - equal * config.steps)
    if made.trainings > 1 and off > config.sparsity.rewire_every:
        raise UserError(
            f"The method {method!r} makes {made.trainings} trainings of the steps; for "
            f"equal lengths, config.sparsity.rewire_until is {equal:.4g}, not "
            f"{config.sparsity.rewire_until}."
        )


def single_trial(config: Config, dataset: Dataset) -> Trial:
    """The trial of a config without a search."""
    sparsity = config.sparsity
    check_options(config, [sparsity.method])
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


def _method(config: Config, method: str) -> Callable[..., SparseAlgorithm]:
    return build.factory("The method", method, build.ALGORITHMS)


def _takes(make: Callable[..., Any]) -> list[str]:
    return list(inspect.signature(make).parameters)


def make_algorithm(
    config: Config, method: str, scope: str = "layer"
) -> Callable[..., SparseAlgorithm]:
    """The algorithm of a method, with the config's pattern, schedule and options.

    Returns:
        A function of the drop fraction, the step at which rewiring ends, and, by name,
        the loss and the output that some need (see `rounds.Spec`).

    Raises:
        UserError: a name is not known, the method does not take what the config asks
            for, or the factory does not make an algorithm.
    """
    make = _method(config, method)
    takes, sparsity = _takes(make), config.sparsity
    pattern = build.pattern(sparsity.pattern)
    known: dict[str, Any] = {"every": sparsity.rewire_every, "pattern": pattern}
    refused = {
        "pattern": f"takes no pattern, and config.sparsity.pattern is "
        f"{sparsity.pattern!r}"
        if sparsity.pattern != "unstructured" and method != "dense"
        else "",
        "scope": f"keeps the number of every layer; the allocation {scope!r} is for "
        f"{', '.join(m for m, f in build.ALGORITHMS.items() if 'scope' in _takes(f))}"
        if scope != "layer"
        else "",
        "schedule": "takes no schedule, and config.sparsity.drop_schedule is "
        f"{sparsity.drop_schedule!r}"
        if sparsity.drop_schedule and method in build.ALGORITHMS
        else "",
    }
    if sparsity.drop_schedule:
        known["schedule"] = schedules.shape(sparsity.drop_schedule)
    if "scope" in takes:
        known["scope"] = scope
    for name, what in refused.items():
        needs_none = name == "schedule" and "drop_fraction" not in takes
        if what and name not in takes and not needs_none:
            raise Impossible(f"The method {method!r} {what}.")
    known |= {k: v for k, v in sparsity.options.items() if k in takes}

    def made(
        drop_fraction: Scalar, until: Scalar, **probes: Callable[..., Any] | None
    ) -> SparseAlgorithm:
        return algorithms.complete(
            make, drop_fraction=drop_fraction, until=until, **known, **probes
        )

    try:
        algorithm = made(0.0, 0, loss=None, output=None)
    except UserError as error:
        raise UserError(f"The method {method!r}: {error}") from None
    except Exception as error:
        raise UserError(
            f"The method {method!r} cannot be made: {type(error).__name__}: {error}."
        ) from error
    if not isinstance(algorithm, SparseAlgorithm):
        raise UserError(
            f"The method {method!r} made {type(algorithm).__name__}: {algorithm!r}; it "
            "must make an algorithms.base.SparseAlgorithm."
        )
    return made


def check_options(config: Config, methods: Sequence[str]) -> None:
    """Raise a `UserError` for an option that none of the methods takes."""
    given = {"drop_fraction", "until", "every", "pattern", "scope", "loss", "output"}
    free = {
        name: parameter.default
        for method in methods
        for name, parameter in inspect.signature(
            _method(config, method)
        ).parameters.items()
        if name not in given
    }
    for name, value in config.sparsity.options.items():
        if name not in free:
            raise UserError(
                f"config.sparsity.options.{name} is not an argument of "
                f"{', '.join(methods)}; there are {', '.join(sorted(free)) or 'none'}."
                f"{nearest(name, free)}"
            )
        default = free[name]
        whole = isinstance(default, int)
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if isinstance(default, str):
            right, kind = isinstance(value, str), "text"
        elif whole:
            right, kind = number and float(value).is_integer(), "a whole number"
        else:
            right, kind = number or value is default, "a number"
        if not right:
            raise UserError(
                f"config.sparsity.options.{name} is {kind}"
                f"{'' if default is None else f', as in {default!r}'}, not {value!r}."
            )


def algorithm_of(config: Config, trial: Trial) -> SparseAlgorithm:
    """A trial's algorithm, to look at what it declares."""
    return make_algorithm(config, trial.method, trial.scope)(0.0, 0)


def growth(config: Config, method: str) -> flops.Growth:
    """What a rewire of a method computes, as its cost is counted."""
    algorithm = make_algorithm(config, method)(0.0, 0)
    if algorithm.rewire is no_rewire:
        return "none"
    kinds: dict[str, flops.Growth] = {
        "never": "random",
        "rewire": "gradient",
        "always": "momentum",
    }
    return kinds[algorithm.dense_gradient]


def rewires(config: Config, method: str) -> int:
    """How many rounds end in a rewire, which takes the place of a weight update."""
    if growth(config, method) == "none":
        return 0
    every, until = config.sparsity.rewire_every, rewire_until(config)
    last = jnp.arange(every, config.steps + 1, every) - 1
    due = rewire_is_due(last, every, until, config.sparsity.interval_growth)
    return int(jnp.sum(due))


def updates(config: Config, trial: Trial) -> int:
    """The weight updates of a trial, of each training where several follow."""
    made = config.steps - rewires(config, trial.method)
    return made // algorithm_of(config, trial).trainings
