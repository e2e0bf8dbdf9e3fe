"""The population of a search: every structure at every budget, with every seed.

The grid of widths at fixed budgets holds both protocols at once: *prune down* follows
one width over falling budgets, *widen* follows one budget over growing widths.
"""

import itertools
import math
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from sparse_search import build
from sparse_search.config import Config
from sparse_search.data.dataset import Dataset
from sparse_search.errors import Impossible, UserError
from sparse_search.records import SMALL_DENSE
from sparse_search.train import representation
from sparse_search.train.trials import (
    Trial,
    check_options,
    make_trial,
    parameter_shapes,
    sparse_shapes,
)


class Skipped(NamedTuple):
    """A combination that cannot be trained, and why."""

    name: str
    reason: str


class Population(NamedTuple):
    """What a search trains, in a fixed order, and what it leaves out."""

    trials: tuple[Trial, ...]
    skipped: tuple[Skipped, ...]


def population(config: Config, dataset: Dataset) -> Population:
    """Enumerate the trials of a config.

    Raises:
        UserError: a list is empty, a name is not known, or a budget fits no network.
    """
    space = config.space
    if space.budgets is None:
        raise UserError(
            "config.space.budgets is not set; a search needs the numbers of non-zero "
            "weights to compare structures at, as in --config.space.budgets='(500, "
            "1000)'."
        )
    trials: dict[str, Trial] = {}
    skipped: list[Skipped] = []
    for kind in (_sparse(config, dataset), _small_dense(config, dataset)):
        for one in kind:
            if isinstance(one, Skipped):
                skipped.append(one)
                continue
            # Budgets may share a network: a dense one, or what a pattern allows.
            same = trials.setdefault(one.name, one)
            if same.budget != one.budget and one.structure != SMALL_DENSE:
                name = f"{one.structure} at {one.budget:,} weights"
                reason = f"it is the one at {same.budget:,}: {one.nnz:,} weights"
                skipped.append(Skipped(name, reason))
    _check_budgets(config, trials.values(), skipped)
    return Population(tuple(trials.values()), tuple(skipped))


def _axis(config: Config, name: str, single: object) -> tuple:
    """The values of one list, or the config's single value where it is not set."""
    values = getattr(config.space, name)
    if values is None:
        return (single,)
    if not values:
        raise UserError(f"The grid is empty: config.space.{name} has no values.")
    return values


def _sparse(config: Config, dataset: Dataset) -> Iterator[Trial | Skipped]:
    methods = _axis(config, "methods", config.sparsity.method)
    if "dense" in methods:
        raise UserError(
            "config.space.methods has 'dense', which has no budget; dense networks "
            "of the budgets' sizes are trained with config.space.small_dense."
        )
    for method in methods:
        build.factory("config.space.methods:", method, build.ALGORITHMS)
    check_options(config, methods)
    axes = itertools.product(
        methods,
        _axis(config, "depths", config.model.depth),
        _axis(config, "allocations", config.sparsity.allocation),
        _axis(config, "widths", config.model.width),
        _axis(config, "budgets", None),
        _axis(config, "learning_rates", config.optimizer.learning_rate),
    )
    seeds = _axis(config, "seeds", config.seed)
    for method, depth, allocation, width, budget, rate in axes:
        size = kernel_size(config, dataset, width, depth)
        if budget > size:
            yield Skipped(
                f"{method} w{width} d{depth} {allocation} at {budget:,} weights",
                f"its kernels hold {size:,} weights when dense",
            )
            continue
        try:
            trials = [
                make_trial(
                    config,
                    dataset,
                    method=method,
                    width=width,
                    depth=depth,
                    allocation=allocation,
                    learning_rate=rate,
                    seed=seed,
                    budget=budget,
                )
                for seed in seeds
            ]
            if config.representation == "compressed" and method != "dense":
                layers = representation.asked_for(config, dataset, trials[0])
                trials = [representation.with_rooms(trial, layers) for trial in trials]
        except Impossible as error:
            name = f"{method} w{width} d{depth} {allocation} at {budget:,} weights"
            yield Skipped(name, str(error))
            continue
        yield from trials


def _small_dense(config: Config, dataset: Dataset) -> Iterator[Trial | Skipped]:
    family = config.space.small_dense
    budgets = sorted({*(config.space.budgets or ()), *family.extra_budgets})
    seeds = _axis(config, "seeds", config.seed)
    for budget, depth in itertools.product(budgets, family.depths):
        width = width_for(config, dataset, budget, depth)
        size = kernel_size(config, dataset, width, depth)
        if abs(size - budget) > family.tolerance * budget:
            yield Skipped(
                f"{SMALL_DENSE} d{depth} at {budget:,} weights",
                f"the nearest width, {width}, has {size:,} weights, which is "
                f"{abs(size / budget - 1):.1%} off (allowed: {family.tolerance:.1%})",
            )
            continue
        for rate, seed in itertools.product(family.learning_rates, seeds):
            yield make_trial(
                config,
                dataset,
                method="dense",
                width=width,
                depth=depth,
                allocation="",
                learning_rate=rate,
                seed=seed,
                budget=budget,
                structure=SMALL_DENSE,
            )


def kernel_size(config: Config, dataset: Dataset, width: int, depth: int) -> int:
    """The number of entries of all kernels that are sparsified."""
    shapes = parameter_shapes(
        config.model.name, width, depth, dataset.classes, dataset.train_images.shape[1:]
    )
    return sum(math.prod(shape) for shape in sparse_shapes(shapes).values())


def width_for(config: Config, dataset: Dataset, budget: int, depth: int) -> int:
    """The dense width whose kernels come nearest to a budget (the smaller of two)."""

    def size(width: int) -> int:
        return kernel_size(config, dataset, width, depth)

    high = 1
    while size(high) < budget:
        if size(2 * high) == size(high):
            raise UserError(
                f"config.model.name={config.model.name!r} does not grow with its "
                "width, so it has no small dense family; leave "
                "config.space.small_dense out."
            )
        high *= 2
    low = max(high // 2, 1)
    while low < high:  # the smallest width that reaches the budget
        middle = (low + high) // 2
        if size(middle) < budget:
            low = middle + 1
        else:
            high = middle
    below = max(low - 1, 1)
    return min((below, low), key=lambda width: abs(size(width) - budget))


def _check_budgets(
    config: Config, trials: Iterable[Trial], skipped: Iterable[Skipped]
) -> None:
    have = {t.budget for t in trials if t.structure != SMALL_DENSE}
    for budget in config.space.budgets or ():
        if budget not in have:
            reasons = [
                f"{s.name}: {s.reason}"
                for s in skipped
                if f"at {budget:,} weights" in s.name
                and not s.name.startswith(SMALL_DENSE)
            ]
            raise UserError(
                f"The budget {budget:,} in config.space.budgets fits none of the "
                f"networks (the last of {len(reasons)}: {reasons[-1]}). Lower it or "
                "widen config.space.widths."
            )
