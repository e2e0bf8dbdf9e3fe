"""Trainings that are only imagined, whose regions are known."""

from typing import NamedTuple

import numpy as np

from sparse_search.analysis import classes
from sparse_search.analysis.effects import neighbours
from sparse_search.search.strategies.base import Problem, Seen, is_reference


class World(NamedTuple):
    """What accuracies are made of; single numbers hold for all budgets.

    Attributes:
        slope: gained from one budget to the next.
        spread: standard deviation between structures at a budget.
        noise: of a single training.
        block: what a seed adds to all trainings.
        shift: what a seed adds to all trainings of one budget.
        heavy: whether the noise has the tails of a t with 3 degrees of freedom.
    """

    slope: float | tuple[float, ...]
    spread: float | tuple[float, ...]
    noise: float = 0.01
    block: float = 0.01
    shift: float = 0.0
    heavy: bool = False


class Truth(NamedTuple):
    """What is true of one budget, per doubling where budgets double.

    Attributes:
        weight: the weight effect.
        structure: the structure effect.
        seed_sd: the standard deviation between seeds of one structure.
    """

    weight: float
    structure: float
    seed_sd: float


def truths(world: World, budgets: int) -> list[Truth]:
    """What is true of each of some budgets, of which each has twice the one before."""
    rise, spread = _rise(world, budgets), np.broadcast_to(world.spread, budgets)
    seed_sd = (world.noise**2 + world.block**2 + world.shift**2) ** 0.5
    found = []
    for b in range(budgets):
        left, right = neighbours(b, budgets)
        slope = (rise[right] - rise[left]) / (right - left)
        found.append(Truth(round(slope, 12), float(spread[b]), seed_sd))
    return found


def contradicts(name: str, truth: Truth) -> bool:
    """Whether a class is wrong: what it says is not so. On the border it is."""
    weight, structure, seed_sd = truth
    if name == classes.WEIGHT:
        return not weight > structure
    if name == classes.STRUCTURE:
        return not structure > weight
    if name == classes.BALANCED:
        return not (weight > 0 and 0.5 <= weight / max(structure, 1e-12) <= 2)
    return name == classes.SATURATED and max(weight, structure) > seed_sd


def draw(
    world: World, problem: Problem, rng: np.random.Generator
) -> tuple[dict[str, Seen], dict[str, float]]:
    """One outcome of all trainings of a space: the history, and test accuracies.

    Validation and test are of the same networks, so most of their noise is common.
    """
    sparse = [trial for trial in problem.trials if not is_reference(trial)]
    names = list(dict.fromkeys(trial.structure for trial in sparse))
    budgets = sorted({trial.budget for trial in sparse})
    seeds = list(dict.fromkeys(trial.seed for trial in sparse))
    apart = rng.normal(size=(len(names), len(budgets)))
    apart -= apart.mean(axis=0)
    apart *= world.spread / apart.std(axis=0, ddof=1)
    size = len(names), len(budgets), len(seeds)
    noise = rng.standard_t(3, size) / 3**0.5 if world.heavy else rng.normal(size=size)
    together = rng.normal(size=size[1:]) * world.shift
    each = rng.normal(size=len(seeds)) * world.block
    values = 0.5 + _rise(world, len(budgets))[:, None] + apart[:, :, None]
    values = values + each + together + world.noise * noise
    valid = values + 0.3 * world.noise * rng.normal(size=size)
    history, test = {}, {}
    for trial in problem.trials:
        place = ()
        if not is_reference(trial):
            place = (
                names.index(trial.structure),
                budgets.index(trial.budget),
                seeds.index(trial.seed),
            )
        history[trial.name] = Seen((), float(valid[place]) if place else 0.5, True)
        test[trial.name] = float(values[place]) if place else 0.5
    return history, test


def _rise(world: World, budgets: int) -> np.ndarray:
    slope = np.broadcast_to(world.slope, budgets)
    return np.concatenate([[0.0], np.cumsum(slope[:-1])])
