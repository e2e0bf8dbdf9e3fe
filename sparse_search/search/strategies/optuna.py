"""Samplers of Optuna (Akiba et al. 2019, arXiv:1907.10902).

One objective, the validation loss, and every budget a study of its own:

- `tpe`: tree-structured Parzen estimators (Bergstra et al. 2011).
- `gp`: Gaussian processes and expected improvement (Jones et al. 1998).

Several objectives, and one study over all budgets:

- `nsga2`: non-dominated sorting (Deb et al. 2002).
- `nsga3`: the same with reference points (Deb and Jain 2014).

A study lives for one generation: it is told all that is known and asked for the next,
so nothing is kept but the journals. Widths, depths, learning rates and budgets are
numbered in rising order. A suggestion that cannot be trained, or was before, becomes
the free point next to it, and the sampler is told of that.

Departures: a generation is drawn before any of it is told (TPE and GP know what is
being trained); NSGA never looks at a point twice, and NSGA-III, which draws among equal
survivors, draws those of earlier generations again.
"""

import contextlib
import functools
import importlib.util
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from sparse_search.errors import UserError
from sparse_search.search.strategies.base import (
    ORDERED,
    UNORDERED,
    Choose,
    Losses,
    Pick,
    Points,
    Strategy,
    of_generations,
    places,
)
from sparse_search.search.strategies.objectives import VALID_LOSS, Objective
from sparse_search.search.strategies.random import word

SAMPLERS = ("tpe", "gp", "nsga2", "nsga3")
GENETIC = ("nsga2", "nsga3")

_Space = tuple[tuple[str, tuple], ...]  # the name and the place of every point
_Notes = tuple[tuple[str, Any], ...]


class _Drawn(NamedTuple):
    """A point, and what its sampler noted about it: of NSGA the generation."""

    name: str
    notes: _Notes


class _Told(NamedTuple):
    """What is known of a point that was drawn; values are None where it failed."""

    drawn: _Drawn
    values: tuple[float, ...] | None


def sampled(
    sampler: str,
    number: int,
    generation: int,
    seed: int,
    objectives: Sequence[Objective] = (VALID_LOSS,),
) -> Strategy:
    """Train points of the space that a sampler suggests.

    Args:
        sampler: one of `SAMPLERS`.
        number: of points; where there is a study for every budget, divided equally.
        generation: points of a study that are trained at the same time.
        seed: of what is drawn.
        objectives: of the genetic samplers; the others have the loss alone.

    Raises:
        UserError: Optuna, or what its sampler needs, is not installed.
    """
    if importlib.util.find_spec("optuna") is None:
        raise UserError(
            f"config.strategy.name={sampler!r} is a sampler of Optuna; "
            "pip install 'sparse_search[optuna]'."
        )
    if sampler == "gp" and importlib.util.find_spec("torch") is None:
        raise UserError(
            "config.strategy.name='gp' computes with PyTorch; pip install torch."
        )

    # Within a search everything is drawn once; a search that goes on draws it again.
    @functools.cache
    def draw(space: _Space, told: tuple[_Told, ...], size: int) -> tuple[_Drawn, ...]:
        budget = min(place[0] for _, place in space)
        key = int.from_bytes(word(f"{budget} {len(told)}", seed)[:4])
        with _silence():
            study = _study(sampler, len(objectives), generation, key)
            return _suggested(study, space, told, size)

    def chooser(points: Points) -> Choose:
        where = places(points)
        # Of several points that are equally near to a suggestion, any.
        order = sorted(points, key=lambda name: word(name, seed))
        space = tuple((name, where[name]) for name in order)
        examples = {name: trials[0] for name, trials in points.items()}
        for trial in {trial.method: trial for trial in examples.values()}.values():
            for objective in objectives:
                objective.check(trial)

        drawn: list[_Drawn] = []  # before, in this order

        def values(name: str, loss: float | None) -> tuple[float, ...] | None:
            if loss is None:
                return None
            return tuple(objective.of(examples[name], loss) for objective in objectives)

        def choose(losses: Losses, size: int) -> Sequence[Pick]:
            told = tuple(
                _Told(one, values(one.name, losses[one.name])) for one in drawn
            )
            drawn.extend(draw(space, told, size))
            return [Pick(one.name) for one in drawn[-size:]]

        return choose

    return of_generations(number, generation, chooser, apart=sampler not in GENETIC)


def _study(sampler: str, objectives: int, generation: int, seed: int) -> Any:
    import optuna

    # The first generation is random, as it is in evolution.
    make: dict[str, Callable[[], Any]] = {
        "tpe": lambda: samplers.TPESampler(n_startup_trials=generation, seed=seed),
        "gp": lambda: samplers.GPSampler(n_startup_trials=generation, seed=seed),
        "nsga2": lambda: samplers.NSGAIISampler(population_size=people, seed=seed),
        "nsga3": lambda: samplers.NSGAIIISampler(population_size=people, seed=seed),
    }
    samplers, people = optuna.samplers, max(generation, 2)
    directions = [optuna.study.StudyDirection.MINIMIZE] * objectives
    return optuna.create_study(directions=directions, sampler=make[sampler]())


def _suggested(
    study: Any, space: _Space, told: tuple[_Told, ...], size: int
) -> tuple[_Drawn, ...]:
    """So many points that are not told of.

    Args:
        study: a new one.
        space: all points.
        told: those that were trained.
        size: how many.
    """
    import optuna

    grid = _Grid(space)
    free = np.ones(len(space), bool)
    index = {name: at for at, (name, _) in enumerate(space)}

    def add(at: int, state: str, **known: Any) -> None:
        free[at] = False
        study.add_trial(
            optuna.create_trial(
                state=optuna.trial.TrialState[state],
                params=grid.params(at),
                distributions=grid.distributions,
                **known,
            )
        )

    for one, values in zip(told, _finite([one.values for one in told]), strict=True):
        known: dict[str, Any] = {"system_attrs": dict(one.drawn.notes)}
        if values is None:
            add(index[one.drawn.name], "FAIL", **known)
        else:
            add(index[one.drawn.name], "COMPLETE", values=values, **known)
    found = []
    for _ in range(size):
        asked = study.ask(grid.distributions)
        notes = study.get_trials(deepcopy=False)[asked.number].system_attrs
        study.tell(asked, state=optuna.trial.TrialState.FAIL)
        at = grid.nearest(asked.params, free)
        found.append(_Drawn(space[at][0], tuple(notes.items())))
        add(at, "RUNNING")  # samplers may take it into account
    return tuple(found)


def _finite(
    told: list[tuple[float, ...] | None],
) -> list[tuple[float, ...] | None]:
    """Values with the worst of each objective in place of infinite ones.

    Not all samplers take infinities.
    """
    columns = zip(*filter(None, told), strict=True)
    worst = [max(filter(math.isfinite, column), default=0.0) for column in columns]
    return [
        None
        if values is None
        else tuple(
            value if math.isfinite(value) else bad
            for value, bad in zip(values, worst, strict=True)
        )
        for values in told
    ]


class _Grid:
    """A space as Optuna has it: of every dimension the number of a value.

    Attributes:
        distributions: of every dimension that has several values.
    """

    def __init__(self, space: _Space):
        from optuna import distributions

        self.distributions: dict[str, Any] = {}
        columns, spans = [], []
        places = zip(*(place for _, place in space), strict=True)
        for axis, column in zip((*ORDERED, *UNORDERED), places, strict=True):
            values = {value: number for number, value in enumerate(sorted({*column}))}
            if len(values) == 1:
                continue
            if axis in ORDERED:
                one = distributions.IntDistribution(0, len(values) - 1)
            else:
                one = distributions.CategoricalDistribution(range(len(values)))
            self.distributions[axis] = one
            columns.append([values[value] for value in column])
            spans.append(len(values) - 1 if axis in ORDERED else 0)
        self._numbers = np.array(columns, int).reshape(-1, len(space)).T
        self._spans = np.array(spans, int)

    def params(self, at: int) -> dict[str, int]:
        """Of a point, by its position in the space."""
        return dict(zip(self.distributions, self._numbers[at].tolist(), strict=True))

    def nearest(self, params: dict[str, int], free: np.ndarray) -> int:
        """The position of the free point next to some params, the first of several."""
        wanted = np.array([params[axis] for axis in self.distributions], int)
        steps = np.abs(self._numbers - wanted)
        parts = np.where(self._spans, steps / np.maximum(self._spans, 1), steps > 0)
        return int(np.argmin(np.where(free, parts.sum(1), np.inf)))


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Keep Optuna's own log lines and warnings out of ours."""
    import optuna

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        optuna.logging.set_verbosity(before)
