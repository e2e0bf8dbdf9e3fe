"""The search driver: ask, plan, measure, train, journal; continued from the journals.

A strategy (`strategies`) asks for trials of a space (`space`), again and again. They
fall into groups that share one compiled program (`groups`), the groups into chunks of
lanes, and an executor trains the chunks. All that is known is in the journals: killed
anywhere and started again, a search trains what is missing and nothing twice.
"""

import dataclasses
import itertools
import math
import shutil
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, NamedTuple

from sparse_search import records
from sparse_search.config import Config
from sparse_search.errors import UserError
from sparse_search.search import executors, groups, strategies
from sparse_search.search.groups import Planned, Speed
from sparse_search.search.meter import Meter, Progress, Watcher
from sparse_search.search.space import Population, population
from sparse_search.search.strategies import Ask, History, Problem, Seen, Strategy
from sparse_search.search.worker import Job
from sparse_search.train import environment, representation
from sparse_search.train import workdir as workdirs
from sparse_search.train.single import load_dataset
from sparse_search.train.trials import Trial, check


class Plan(NamedTuple):
    """What a search would do next.

    Attributes:
        population: the space: all trials, and what is skipped.
        asks: what the strategy wants trained before it asks again.
        groups: the trials of the asks by compile key.
    """

    population: Population
    asks: list[Ask]
    groups: dict[str, list[Trial]]

    @property
    def pending(self) -> list[Trial]:
        """The trials of the asks."""
        return [ask.trial for ask in self.asks]


def plan(config: Config, workdir: Path) -> Plan:
    """Enumerate what a search would train first; nothing is written.

    Raises:
        UserError: the config cannot be used.
    """
    return _prepare(config)(workdir, frozenset())


class _Questions(NamedTuple):
    """A strategy with the space that it asks about."""

    population: Population
    strategy: Strategy
    rounds: int

    def __call__(self, workdir: Path, failed: Collection[str]) -> Plan:
        """What is asked next, where some trials have failed in this search."""
        trials = self.population.trials
        history = _history(workdir, failed, self.rounds)
        asks = self.strategy.ask(Problem(trials, self.rounds), history)
        return _plan(self.population, asks)


def _prepare(config: Config) -> _Questions:
    dataset = load_dataset(config)
    check(config, dataset)
    representation.check(config)
    executors.workers(config, on_cpu=True)  # the name is checked before all else
    strategy = strategies.make(config)
    if strategy.pauses and config.lanes > 1:
        raise UserError(
            f"config.strategy.name={config.strategy.name!r} gives trials up, so each "
            f"has a lane of its own; config.lanes is {config.lanes}, leave it at 0."
        )
    rounds = config.steps // config.sparsity.rewire_every
    return _Questions(population(config, dataset), strategy, rounds)


def _plan(everything: Population, asks: list[Ask]) -> Plan:
    return Plan(everything, asks, groups.by_group(ask.trial for ask in asks))


def _history(workdir: Path, failed: Collection[str], rounds: int) -> History:
    """What the journals say; trials that failed in earlier searches are new again.

    A training that was killed between its last round and its result is not at its end.
    """
    losses: dict[str, list[float]] = {}
    for (name, number), record in sorted(records.read_rounds(workdir).items()):
        seen = losses.setdefault(name, [])
        if number == len(seen) + 1:
            value = record["valid_loss"]
            seen.append(math.inf if value is None else value)
    ended = records.read_finished(workdir)
    return {
        name: Seen(
            tuple(losses.get(name, ())[: rounds if name in ended else rounds - 1]),
            name in ended,
            name in failed,
        )
        for name in losses.keys() | ended | set(failed)
    }


def search(
    config: Config,
    workdir: Path | str,
    *,
    should_stop: Callable[[], bool] = lambda: False,
    watch: Watcher = lambda progress: None,
) -> Plan:
    """Train what a strategy asks for of a population, or what is missing of it.

    Args:
        config: the experiment.
        workdir: where all is written; the same call continues a search.
        should_stop: asked often; when true, everything is saved and the call ends.
        watch: is told of the progress.

    Returns:
        The plan that was carried out last.

    Raises:
        UserError: the config or the workdir cannot be used.
        Stopped: it was asked to stop.
    """
    workdir = Path(workdir)
    questions = _prepare(config)
    with workdirs.claim(workdir, config, "search"):
        fresh = records.Tail(workdir / "trials.jsonl")
        failed: set[str] = set()
        todo = questions(workdir, failed)
        write_skipped(workdir, todo.population)
        write_asked(workdir, todo.asks)
        if not todo.asks:
            return todo
        environment.prepare()
        import jax

        workdirs.write_environment(workdir, [str(device) for device in jax.devices()])
        on_cpu = jax.default_backend() == "cpu"
        if questions.strategy.pauses:
            config = dataclasses.replace(config, lanes=1)
        executor = executors.make(config, workdir, on_cpu)
        try:
            while todo.asks:
                last = todo
                _carry_out(executor, config, workdir, todo, should_stop, watch)
                failed |= {r["trial"] for r in fresh.new() if r["status"] == "failed"}
                todo = questions(workdir, failed)
                write_asked(workdir, todo.asks)
        finally:
            executor.close()
        if records.read_finished(workdir) >= {t.name for t in todo.population.trials}:
            # What a kill between a result and its clean-up left behind.
            for left in (workdir / "checkpoints").iterdir():
                shutil.rmtree(left, ignore_errors=True)
    return last


def _carry_out(
    executor: executors.Executor,
    config: Config,
    workdir: Path,
    todo: Plan,
    should_stop: Callable[[], bool],
    watch: Watcher,
) -> None:
    """Train what is asked for."""
    if config.representation == "auto":
        todo = _represent(executor, config, workdir, todo, should_stop, watch)
    speeds = _measure(executor, config, workdir, todo, should_stop, watch)
    chunks = groups.extend_plan(workdir, config, todo.pending, speeds, executor.workers)
    _train(executor, workdir, chunks, todo, should_stop, watch)


def _planned(workdir: Path) -> set[str]:
    """The trials that are in some chunk."""
    return {
        trial.name
        for chunk in groups.read_plan(workdir).values()
        for trial in chunk.chunk.trials
    }


def _represent(
    executor: executors.Executor,
    config: Config,
    workdir: Path,
    todo: Plan,
    should_stop: Callable[[], bool],
    watch: Watcher,
) -> Plan:
    """Compress the layers that are faster so, of trials in no chunk yet."""
    planned = _planned(workdir)
    new = [t for t in todo.pending if t.name not in planned and t.method != "dense"]
    examples = {groups.sizes_of(trial): trial for trial in new}
    jobs = [Job(sizes, "represent", (trial,)) for sizes, trial in examples.items()]
    layers = _before_training(executor, jobs, todo, should_stop, watch)
    found = {
        trial.name: representation.with_rooms(trial, layers[groups.sizes_of(trial)])
        for trial in new
    }
    asks = [Ask(found.get(a.trial.name, a.trial), a.rounds) for a in todo.asks]
    return _plan(todo.population, asks)


def _measure(
    executor: executors.Executor,
    config: Config,
    workdir: Path,
    todo: Plan,
    should_stop: Callable[[], bool],
    watch: Watcher,
) -> dict[str, Speed]:
    """Measure the speed of every shape that has trials in no chunk yet."""
    planned = _planned(workdir)
    # Of the groups of one shape the largest says how many lanes there can be.
    largest: dict[str, list[Trial]] = {}
    for members in groups.by_group(
        trial for trial in todo.pending if trial.name not in planned
    ).values():
        shape = groups.shape_of(members[0])
        largest[shape] = max(largest.get(shape, []), members, key=len)
    jobs = [Job(shape, "measure", tuple(trials)) for shape, trials in largest.items()]
    return _before_training(executor, jobs, todo, should_stop, watch)


def _before_training(
    executor: executors.Executor,
    jobs: list[Job],
    todo: Plan,
    should_stop: Callable[[], bool],
    watch: Watcher,
) -> dict[str, Any]:
    """What jobs find by measuring, by their names."""
    total = len(todo.population.trials)
    done = total - len(todo.asks)
    progress = Progress("measuring", done, total, done / total, None)
    watch(progress)
    return executor.run(jobs, should_stop, lambda: watch(progress))


def _train(
    executor: executors.Executor,
    workdir: Path,
    chunks: dict[str, Planned],
    todo: Plan,
    should_stop: Callable[[], bool],
    watch: Watcher,
) -> None:
    rounds = {ask.trial.name: ask.rounds for ask in todo.asks}

    def wanted(planned: Planned) -> int:
        """The rounds that a chunk is wanted for; 0 where it is not."""
        return max(rounds.get(trial.name, 0) for trial in planned.chunk.trials)

    pending = sorted(filter(wanted, chunks.values()), key=wanted)
    jobs = [
        Job(
            f"{bundle[0].chunk.name}…",
            "train",
            chunks=tuple(planned.chunk for planned in bundle),
            until=until,
        )
        for until, some in itertools.groupby(pending, wanted)
        for bundle in groups.bundles(list(some), executor.workers)
    ]
    targets = [(planned, wanted(planned)) for planned in pending]
    everything = {trial.name for trial in todo.population.trials}
    meter = Meter(workdir, targets, everything, executor.workers, watch)
    executor.run(jobs, should_stop, meter.look)


def write_skipped(workdir: Path, found: Population) -> None:
    """Keep what the space leaves out, and why, for `status --skipped`."""
    skipped = [one._asdict() for one in found.skipped]
    workdirs.write_json(workdir / "skipped.json", skipped)


def write_asked(workdir: Path, asks: list[Ask]) -> None:
    """Keep what is being trained, for whoever watches: budget and rounds by trial."""
    asked = {ask.trial.name: (ask.trial.budget, ask.rounds) for ask in asks}
    workdirs.write_json(workdir / "asked.json", asked)
