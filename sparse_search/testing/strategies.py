"""The contract of a strategy, checked on trainings that are only imagined.

from sparse_search.testing import strategies

def test_mine():
strategies.check(my_strategy())
"""

import dataclasses
import itertools
import math
from collections.abc import Callable, Mapping

from sparse_search.records import SMALL_DENSE
from sparse_search.search.strategies.base import (
    Problem,
    Seen,
    Strategy,
    reached,
)
from sparse_search.train.trials import Trial

Loss = Callable[[Trial, int], float]
"""The validation loss of a trial after a number of rounds."""

_MOST_QUESTIONS = 1000


def problem(
    *,
    budgets: tuple[int, ...] = (100, 200, 400),
    widths: tuple[int, ...] = (16, 32, 64),
    methods: tuple[str, ...] = ("static", "set"),
    rates: tuple[float, ...] = (0.1,),
    seeds: int = 2,
    rounds: int = 9,
) -> Problem:
    """A space with a small dense network at every budget; nothing can be computed."""

    def trial(
        structure: str, method: str, budget: int, width: int, rate: float
    ) -> list:
        layout = f"{method} w{width} d2 er"
        return [
            Trial(
                structure=structure or layout,
                method=method,
                width=width,
                depth=2,
                allocation="er",
                pattern="unstructured",
                learning_rate=rate,
                seed=seed,
                budget=budget,
                counts=(("Dense_0/kernel", budget),),
                sizes=(max(budget, width**2),),
            )
            for seed in range(seeds)
        ]

    axes = itertools.product(methods, budgets, widths, rates)
    sparse = [trial("", method, b, w, rate) for method, b, w, rate in axes]
    dense = [trial(SMALL_DENSE, "dense", b, b // 20, 0.1) for b in budgets]
    return Problem(tuple(itertools.chain(*sparse, *dense)), rounds)


def falling(trial: Trial, rounds: int) -> float:
    """A loss that falls with rounds, width and weights."""
    return 1 / rounds + 1 / trial.width + 10 / trial.nnz + 0.01 * trial.seed


def simulate(
    strategy: Strategy,
    of: Problem,
    loss: Loss = falling,
    *,
    history: Mapping[str, Seen] | None = None,
    accuracy: Callable[[Trial], float] | None = None,
    breaks: Callable[[Trial], bool] = lambda trial: False,
    questions: int = _MOST_QUESTIONS,
) -> dict[str, Seen]:
    """Answer a strategy's questions until there are none, or no more may be asked.

    Args:
        strategy: what asks.
        of: what it asks about.
        loss: what it is told.
        accuracy: what it is told at the end of a training; by default it falls as
            the loss rises.
        history: to begin with.
        breaks: which trials fail.
        questions: how often it may ask.
    """
    seen = dict(history or {})
    for _ in range(questions):
        asks = strategy.ask(of, seen)
        if not asks:
            return seen
        for ask in asks:
            if breaks(ask.trial):
                seen[ask.trial.name] = Seen(failed=True)
                continue
            losses = tuple(loss(ask.trial, n) for n in range(1, ask.rounds + 1))
            ended = ask.rounds == of.rounds
            right = accuracy(ask.trial) if accuracy else math.exp(-losses[-1])
            seen[ask.trial.name] = Seen(losses, right if ended else None, ended)
    return seen


def check(strategy: Strategy, of: Problem | None = None) -> None:
    """Raise an `AssertionError` for the first thing that breaks the contract."""
    of = of or problem()
    _asks_for_what_there_is(strategy, of)
    _is_a_function_of_the_history(strategy, of)
    _lives_with_failures(strategy, of)
    _takes_infinite_losses(strategy, of)


def _asks_for_what_there_is(strategy: Strategy, of: Problem) -> None:
    seen: dict[str, Seen] = {}
    for _ in range(_MOST_QUESTIONS):
        asks = strategy.ask(of, seen)
        if not asks:
            break
        names = [ask.trial.name for ask in asks]
        assert len(names) == len(set(names)), "a trial is asked for twice at once"
        for ask in asks:
            alone = dataclasses.replace(ask.trial, parent="")
            assert alone in of.trials, f"{ask.trial.name} is not of the problem"
            parent = ask.trial.parent_name
            assert not parent or seen.get(parent, Seen()).ended, (
                f"{ask.trial.name} inherits from {parent}, which has no result"
            )
            assert 1 <= ask.rounds <= of.rounds, f"{ask.rounds} rounds of {of.rounds}"
            assert not reached(ask, seen), f"{ask.trial.name} has been trained so far"
            assert strategy.pauses or ask.rounds == of.rounds, (
                "a strategy that asks for parts of trainings says so: pauses=True"
            )
        seen = simulate(strategy, of, history=seen, questions=1)
    else:
        raise AssertionError(f"it still asks after {_MOST_QUESTIONS} answers")
    assert any(one.ended for one in seen.values()), "it trains nothing to the end"
    assert strategy.ask(of, seen) == [], "it asks again when it was done"


def _is_a_function_of_the_history(strategy: Strategy, of: Problem) -> None:
    whole = simulate(strategy, of)
    assert simulate(strategy, of) == whole, "it does not do the same twice"
    for questions in (1, 2, 3):
        part = simulate(strategy, of, questions=questions)
        turned = dict(reversed(part.items()))
        assert simulate(strategy, of, history=turned) == whole, (
            f"a search that is interrupted after question {questions} goes on otherwise"
        )


def _lives_with_failures(strategy: Strategy, of: Problem) -> None:
    for breaks in (
        lambda trial: trial.seed == 1,
        lambda trial: trial.method == "static",
        lambda trial: True,
    ):
        seen = simulate(strategy, of, breaks=breaks)
        assert not strategy.ask(of, seen), "it asks again for what has failed"


def _takes_infinite_losses(strategy: Strategy, of: Problem) -> None:
    seen = simulate(strategy, of, lambda trial, rounds: math.inf)
    assert not strategy.ask(of, seen), "it does not end where all losses are infinite"
