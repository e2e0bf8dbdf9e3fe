"""The population of a search: every structure at every budget, with every seed.

The grid of widths at fixed budgets holds both protocols at once: *prune down* follows
one width over falling budgets, *widen* follows one budget over growing widths.
"""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from sparse_search import build
from sparse_search.algorithms.base import SparseAlgorithm
from sparse_search.config import Config
from sparse_search.data.dataset import Dataset
from sparse_search.errors import Impossible, UserError
from sparse_search.records import SMALL_DENSE
from sparse_search.search.caps import caps
from sparse_search.train import representation
from sparse_search.train.trials import (
    Trial,
    check_options,
    checked,
    make_trial,
)
from sparse_search.train.widths import kernel_size, width_of


class Skipped(NamedTuple):
    """A combination that is not trained, and why."""

    name: str
    reason: str


class Population(NamedTuple):
    """What a search trains, in a fixed order, and what it leaves out."""

    trials: tuple[Trial, ...]
    skipped: tuple[Skipped, ...]


Above = Callable[[Trial], str | None]
"""Tells why a trial costs too much; see `caps`."""


def population(config: Config, dataset: Dataset) -> Population:
    """Enumerate the trials of a config.

    Raises:
        UserError: a list is empty, a name is not known, or a budget fits no network.
    """
    budgets = budgets_of(config, dataset)
    above = caps(config, dataset)
    trials: dict[str, Trial] = {}
    skipped: list[Skipped] = []
    for kind in (
        _sparse(config, dataset, budgets, above),
        _small_dense(config, dataset, budgets, above),
    ):
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
    _check_budgets(config, budgets, trials.values(), skipped)
    return Population(tuple(trials.values()), tuple(dict.fromkeys(skipped)))


def budgets_of(config: Config, dataset: Dataset) -> tuple[int, ...]:
    """The exact numbers of weights that structures are compared at.

    Raises:
        UserError: they are not given, or twice.
    """
    space = config.space
    if space.budgets is not None and space.densities is not None:
        raise UserError(
            "config.space.budgets and config.space.densities are both set; a search "
            "takes one of them (--config.space.budgets=None unsets the other)."
        )
    if space.densities is not None:
        size = kernel_size(config, dataset, config.model.width, config.model.depth)
        densities = _axis(config, "densities", None)
        return tuple(dict.fromkeys(max(round(part * size), 1) for part in densities))
    if space.budgets is None:
        raise UserError(
            "config.space.budgets is not set; a search needs the numbers of non-zero "
            "weights to compare structures at, as in --config.space.budgets='(500, "
            "1000)', or config.space.densities."
        )
    return _axis(config, "budgets", None)


def _axis(config: Config, name: str, single: object) -> tuple:
    """The values of one list, or the config's single value where it is not set."""
    values = getattr(config.space, name)
    if values is None:
        return (single,)
    if not values:
        raise UserError(f"The grid is empty: config.space.{name} has no values.")
    return values


def _points(config: Config, trial: Trial, rates: Iterable[float]) -> Iterator[Trial]:
    """A trial with every learning rate and every seed: its network is the same."""
    for rate, seed in itertools.product(rates, _axis(config, "seeds", config.seed)):
        yield dataclasses.replace(trial, learning_rate=rate, seed=seed)


def _sparse(
    config: Config, dataset: Dataset, budgets: tuple[int, ...], above: Above
) -> Iterator[Trial | Skipped]:
    methods = _axis(config, "methods", config.sparsity.method)
    if "dense" in methods:
        raise UserError(
            "config.space.methods has 'dense', which has no budget; dense networks "
            "of the budgets' sizes are trained with config.space.small_dense."
        )
    for method in methods:
        build.factory("config.space.methods:", method, build.ALGORITHMS)
    patterns = _axis(config, "patterns", config.sparsity.pattern)
    for pattern in patterns:
        build.pattern(pattern)
    check_options(config, methods)
    rates = _axis(config, "learning_rates", config.optimizer.learning_rate)

    @functools.cache
    def algorithm(method: str, pattern: str, allocation: str) -> SparseAlgorithm:
        return checked(config, method, pattern, allocation)

    for method, depth, allocation, pattern, width, budget in itertools.product(
        methods,
        _axis(config, "depths", config.model.depth),
        _axis(config, "allocations", config.sparsity.allocation),
        patterns,
        _axis(config, "widths", config.model.width),
        budgets,
    ):
        parts = (method, f"w{width}", f"d{depth}", allocation)
        named = " ".join([*parts, *([] if pattern == "unstructured" else [pattern])])
        named += f" at {budget:,} weights"
        size = kernel_size(config, dataset, width, depth)
        if budget > size:
            yield Skipped(named, f"its kernels hold {size:,} weights when dense")
            continue
        try:
            trial = make_trial(
                config,
                dataset,
                algorithm(method, pattern, allocation),
                method=method,
                width=width,
                depth=depth,
                allocation=allocation,
                pattern=pattern,
                learning_rate=0.0,
                seed=0,
                budget=budget,
            )
            if config.representation == "compressed":
                layers = representation.asked_for(config, dataset, trial)
                trial = representation.with_rooms(trial, layers)
        except Impossible as error:
            yield Skipped(named, str(error))
            continue
        if reason := above(trial):
            yield Skipped(named, reason)
            continue
        yield from _points(config, trial, rates)


def _small_dense(
    config: Config, dataset: Dataset, budgets: tuple[int, ...], above: Above
) -> Iterator[Trial | Skipped]:
    family = config.space.small_dense
    algorithm = checked(config, "dense", "unstructured", "")
    budgets = tuple(sorted({*budgets, *family.extra_budgets}))
    for budget, depth in itertools.product(budgets, family.depths):
        named = f"{SMALL_DENSE} d{depth} at {budget:,} weights"
        width = width_of(config, dataset, budget, depth)
        size = kernel_size(config, dataset, width, depth)
        if abs(size - budget) > family.tolerance * budget:
            reason = (
                f"the nearest width, {width}, has {size:,} weights, which is "
                f"{abs(size / budget - 1):.1%} off (allowed: {family.tolerance:.1%})"
            )
            yield Skipped(named, reason)
            continue
        try:
            trial = make_trial(
                config,
                dataset,
                algorithm,
                method="dense",
                width=width,
                depth=depth,
                allocation="",
                pattern="dense",
                learning_rate=0.0,
                seed=0,
                budget=budget,
                structure=SMALL_DENSE,
            )
        except Impossible as error:
            yield Skipped(named, str(error))
            continue
        if reason := above(trial):
            yield Skipped(named, reason)
            continue
        yield from _points(config, trial, family.learning_rates)


def _check_budgets(
    config: Config,
    budgets: Iterable[int],
    trials: Iterable[Trial],
    skipped: Iterable[Skipped],
) -> None:
    """Raise a `UserError` for a budget that no network can have.

    One at which all networks cost too much is left out, where it is not the last.
    """
    have = {t.budget for t in trials if t.structure != SMALL_DENSE}
    name = "budgets" if config.space.densities is None else "densities"
    for budget in budgets:
        if budget in have:
            continue
        reasons = [
            f"{one.name}: {one.reason}"
            for one in skipped
            if f"at {budget:,} weights" in one.name
            and not one.name.startswith(SMALL_DENSE)
        ]
        capped = any("config.space.max_" in reason for reason in reasons)
        if not have or not capped:
            raise UserError(
                f"The budget {budget:,} in config.space.{name} fits none of the "
                f"networks (the last of {len(reasons)}: {reasons[-1]}). Lower it or "
                "widen config.space.widths."
            )
