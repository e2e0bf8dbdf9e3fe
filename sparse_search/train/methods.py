"""Methods: algorithms by name, with a config's pattern, schedule and options."""

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from sparse_search import algorithms, build
from sparse_search.algorithms import schedules
from sparse_search.algorithms.base import SparseAlgorithm, as_drawn, no_rewire
from sparse_search.config import Config
from sparse_search.costs import flops
from sparse_search.costs.trajectories import Schedule
from sparse_search.errors import Impossible, UserError, nearest
from sparse_search.train.rounds import rewire_is_due
from sparse_search.types import Scalar


def rewire_until(config: Config) -> int:
    """The step from which masks stay as they are."""
    return round(config.sparsity.rewire_until * config.steps)


def _method(config: Config, method: str) -> Callable[..., SparseAlgorithm]:
    return build.factory("The method", method, build.ALGORITHMS)


def _takes(make: Callable[..., Any]) -> list[str]:
    return list(inspect.signature(make).parameters)


def make_algorithm(
    config: Config, method: str, pattern: str, scope: str = "layer"
) -> Callable[..., SparseAlgorithm]:
    """The algorithm of a method, with the config's schedule and options.

    Args:
        config: the experiment.
        method: a name in `build.ALGORITHMS`, or `package.module:factory`.
        pattern: which masks are allowed, by name.
        scope: "layer", or the allocation that compares all layers.

    Returns:
        A function of the drop fraction, the step at which rewiring ends, and, by name,
        the loss and the output that some need (see `rounds.Spec`).

    Raises:
        UserError: a name is not known, the method does not take what the config asks
            for, or the factory does not make an algorithm.
    """
    make = _method(config, method)
    takes, sparsity = _takes(make), config.sparsity
    known: dict[str, Any] = {
        "every": sparsity.rewire_every,
        "pattern": build.pattern(pattern),
    }
    refused = {
        "pattern": f"takes no pattern, and is asked for {pattern!r}"
        if pattern != "unstructured" and method != "dense"
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

    def begun(*args: Scalar, **probes: Callable[..., Any] | None) -> SparseAlgorithm:
        algorithm = made(*args, **probes)
        return algorithm if sparsity.scale_init else as_drawn(algorithm)

    try:
        algorithm = made(0.0, 0, loss=None, output=None)
    except UserError as error:
        raise type(error)(f"The method {method!r}: {error}") from None
    except Exception as error:
        raise UserError(
            f"The method {method!r} cannot be made: {type(error).__name__}: {error}."
        ) from error
    if not isinstance(algorithm, SparseAlgorithm):
        raise UserError(
            f"The method {method!r} made {type(algorithm).__name__}: {algorithm!r}; it "
            "must make an algorithms.base.SparseAlgorithm."
        )
    return begun


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


def growth(algorithm: SparseAlgorithm) -> flops.Growth:
    """What a rewire of an algorithm computes, as its cost is counted."""
    if algorithm.rewire is no_rewire:
        return "none"
    kinds: dict[str, flops.Growth] = {
        "never": "random",
        "rewire": "gradient",
        "always": "momentum",
    }
    return kinds[algorithm.dense_gradient]


def schedule(config: Config, algorithm: SparseAlgorithm) -> Schedule:
    """When an algorithm rewires."""
    every, until = config.sparsity.rewire_every, rewire_until(config)
    last: Any = np.arange(every, config.steps + 1, every) - 1
    due = rewire_is_due(last, every, until, config.sparsity.interval_growth)
    if growth(algorithm) == "none":
        due = np.zeros_like(last, bool)
    return Schedule(every, until, tuple(np.asarray(due).tolist()))


def rewires(config: Config, algorithm: SparseAlgorithm) -> int:
    """How many rounds end in a rewire, which takes the place of a weight update."""
    return sum(schedule(config, algorithm).due)


def check_rewires(config: Config, method: str, made: SparseAlgorithm) -> None:
    """Refuse a time of the last rewire with which a method cannot do its work.

    Raises:
        UserError: its trainings would not be equally long, or it would not rewire
            though it comes to its number of weights that way.
    """
    equal = 1 - 1 / made.trainings
    off = abs(rewire_until(config) - equal * config.steps)
    if made.trainings > 1 and off > config.sparsity.rewire_every:
        raise UserError(
            f"The method {method!r} makes {made.trainings} trainings of the steps; for "
            f"equal lengths, config.sparsity.rewire_until is {equal:.4g}, not "
            f"{config.sparsity.rewire_until}."
        )
    if made.conserves in ("end", "total_end") and not rewires(config, made):
        raise UserError(
            f"The method {method!r} comes to its number of weights when it "
            f"rewires, but config.sparsity.rewire_until="
            f"{config.sparsity.rewire_until} of {config.steps} steps leaves no "
            "rewire."
        )
