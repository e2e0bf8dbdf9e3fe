"""How a search chooses what to train; one strategy, one file."""

from collections.abc import Callable

from sparse_search import build
from sparse_search.config import Config
from sparse_search.errors import UserError, one_of
from sparse_search.search.strategies.base import (
    Ask,
    History,
    Problem,
    Seen,
    Strategy,
    reached,
)
from sparse_search.search.strategies.boundary import boundary
from sparse_search.search.strategies.evolution import evolution
from sparse_search.search.strategies.grid import grid
from sparse_search.search.strategies.halving import halving
from sparse_search.search.strategies.hyperband import hyperband
from sparse_search.search.strategies.objectives import VALID_LOSS, objectives
from sparse_search.search.strategies.optuna import GENETIC, SAMPLERS, sampled
from sparse_search.search.strategies.quasi_random import quasi_random
from sparse_search.search.strategies.random import random
from sparse_search.train.inheritance import can_inherit
from sparse_search.train.trials import Trial, algorithm_of

__all__ = ["Ask", "History", "Problem", "Seen", "Strategy", "make", "reached"]

NAMES = (
    "grid",
    "random",
    "quasi_random",
    "boundary",
    "halving",
    "hyperband",
    "evolution",
    *SAMPLERS,
)


def make(config: Config) -> Strategy:
    """The strategy that a config names.

    A user's own is `package.module:factory`, a function of the config.

    Raises:
        UserError: there is no such strategy, or it lacks a number.
    """
    wanted = config.strategy
    if ":" in wanted.name:
        made = build.factory("config.strategy.name", wanted.name, {})(config)
        if not isinstance(made, Strategy):
            raise UserError(
                f"config.strategy.name {wanted.name!r} made {type(made).__name__}: "
                f"{made!r}; it must make a search.strategies.Strategy."
            )
        return made
    if wanted.name not in NAMES:
        raise one_of("config.strategy.name", wanted.name, NAMES)
    if wanted.name == "grid":
        return grid()
    if wanted.name == "boundary":
        return boundary(wanted.trials)
    if wanted.name == "halving":
        return halving(wanted.first_rounds, wanted.reduction)
    if wanted.name == "hyperband":
        return hyperband(wanted.first_rounds, wanted.reduction, config.seed)
    if not wanted.points:
        raise UserError(
            f"config.strategy.name={wanted.name!r} trains config.strategy.points "
            "points of the space; set how many."
        )
    if wanted.name == "evolution":
        heirs = (_inherits(config),) if wanted.inherit else ()
        return evolution(wanted.points, wanted.generation, config.seed, *heirs)
    if wanted.name in SAMPLERS:
        goals = objectives(config) if wanted.name in GENETIC else (VALID_LOSS,)
        return sampled(
            wanted.name, wanted.points, wanted.generation, config.seed, goals
        )
    choose = random if wanted.name == "random" else quasi_random
    return choose(wanted.points, config.seed)


def _inherits(config: Config) -> Callable[[Trial], bool]:
    """Which trials can begin with another's weights and masks.

    Raises:
        UserError: nothing can be inherited.
    """
    if not config.save_results:
        raise UserError(
            "config.strategy.inherit=True takes weights from the results of parents; "
            "set config.save_results=True."
        )
    if config.representation == "compressed":
        raise UserError(
            "config.strategy.inherit=True begins with masked layers; "
            'config.representation="masked" and "auto" take it.'
        )
    return lambda trial: can_inherit(algorithm_of(config, trial))
