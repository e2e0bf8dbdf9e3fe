"""The search driver: ask, plan, measure, train, journal; continued from the journals.

A strategy (`strategies`) asks for trials of a space (`space`), again and again. They
fall into groups that share one compiled program (`groups`), the groups into chunks of
lanes, and an executor trains the chunks. All that is known is in the journals: killed
anywhere and started again, a search trains what is missing and nothing twice.
"""

import dataclasses
import itertools
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from sparse_search.config import Config
from sparse_search.errors import UserError
from sparse_search.search import executors, groups, strategies
from sparse_search.search.groups import Planned, Speed
from sparse_search.search.journals import Journals
from sparse_search.search.measured import Measured
from sparse_search.search.meter import Countdown, Meter, Watcher
from sparse_search.search.space import Population, population
from sparse_search.search.strategies import Ask, History, Problem, Strategy
from sparse_search.search.supervisor import Search, perform
from sparse_search.search.worker import Job
from sparse_search.train import environment, representation, sharding, starting_file
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

    @property
    def names(self) -> set[str]:
        """Of all trials there are: children that inherit are in no space."""
        return {trial.name for trial in (*self.population.trials, *self.pending)}


def plan(config: Config, workdir: Path) -> Plan:
    """Enumerate what a search would train first; nothing is written.

    Raises:
        UserError: the config cannot be used.
    """
    questions = _prepare(config)
    return questions.next(Journals(workdir, questions.rounds).history())


class _Questions(NamedTuple):
    """A strategy with the space that it asks about."""

    population: Population
    strategy: Strategy
    rounds: int

    def next(self, history: History) -> Plan:
        """What is asked next."""
        problem = Problem(self.population.trials, self.rounds)
        return _plan(self.population, self.strategy.ask(problem, history))


def _prepare(config: Config) -> _Questions:
    dataset = load_dataset(config)
    check(config, dataset)
    representation.check(config)
    executors.check(config)  # the name is checked before all else
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
    start = starting_file.locate(config.init_from) if config.init_from else None
    with workdirs.claim(workdir, config, "search", start):
        journals = Journals(workdir, questions.rounds)
        todo = questions.next(journals.history())
        write_skipped(workdir, todo.population)
        write_asked(workdir, todo.asks)
        if not todo.asks:
            return todo
        environment.prepare()
        import jax

        workdirs.write_environment(workdir, [str(device) for device in jax.devices()])
        if jax.process_count() > 1:
            raise UserError(
                "A search runs in one process, which has its own executor; several by "
                "jax.distributed train one network together."
            )
        lanes = 1 if questions.strategy.pauses else config.lanes
        number = sharding.devices(config, lanes)
        config = dataclasses.replace(config, lanes=lanes, devices=number)
        executor = executors.make(config, workdir)
        this = Search(config, workdir, executor, journals, should_stop)
        try:
            while todo.asks:
                last = todo
                _carry_out(this, todo, watch)
                todo = questions.next(journals.history())
                write_asked(workdir, todo.asks)
        finally:
            executor.close()
        if journals.ended >= {trial.name for trial in todo.population.trials}:
            # What a kill between a result and its clean-up left behind.
            shutil.rmtree(workdir / "checkpoints", ignore_errors=True)
            (workdir / "checkpoints").mkdir(exist_ok=True)
    return last


def _carry_out(this: Search, todo: Plan, watch: Watcher) -> None:
    """Train what is asked for."""
    plan = groups.read_plan(this.workdir)
    planned = {trial.name for one in plan.values() for trial in one.chunk.trials}
    new = [trial for trial in todo.pending if trial.name not in planned]
    measured = Measured(this)
    if this.config.representation == "auto" and this.config.devices == 1:
        rooms = _represent(this, measured, new, watch)
        new = [rooms.get(trial.name, trial) for trial in new]
    speeds = _measure(this, measured, new, watch)
    workers = this.executor.workers
    plan |= groups.extend_plan(this.workdir, this.config, plan, new, speeds, workers)
    _train(this, plan, todo, watch)


def _represent(
    this: Search, measured: Measured, new: list[Trial], watch: Watcher
) -> dict[str, Trial]:
    """Compress the layers that are faster so, of trials in no chunk yet."""
    sparse = [t for t in new if t.method != "dense" and not t.parent]
    alike: dict[str, list[Trial]] = {}
    for trial in sparse:
        alike.setdefault(representation.sizes_of(trial), []).append(trial)
    jobs = [Job(sizes, "represent", tuple(some)) for sizes, some in alike.items()]
    layers = _find(this, measured, "measuring layers", jobs, watch)
    return {
        trial.name: representation.with_rooms(
            trial, layers[representation.sizes_of(trial)]
        )
        for trial in sparse
    }


def _measure(
    this: Search, measured: Measured, new: list[Trial], watch: Watcher
) -> dict[str, Speed]:
    """Measure the speed of every shape that has trials in no chunk yet."""
    # Of the groups of one shape the largest says how many lanes there can be.
    largest: dict[str, list[Trial]] = {}
    for members in groups.by_group(new).values():
        shape = groups.shape_of(members[0])
        largest[shape] = max(largest.get(shape, []), members, key=len)
    jobs = [Job(shape, "measure", tuple(trials)) for shape, trials in largest.items()]
    return _find(this, measured, "measuring programs", jobs, watch)


def _find(
    this: Search, measured: Measured, phase: str, jobs: list[Job], watch: Watcher
) -> dict[str, Any]:
    """What jobs find by measuring, by their names; kept as it is found."""
    known = {job.name: measured.of(job) for job in jobs}
    left = [job for job in jobs if known[job.name] is None]
    countdown = Countdown(phase, len(left), watch)

    def keep(job: Job, found: Any) -> None:
        measured.keep(job, found)
        countdown.one_less()

    return known | perform(this, left, countdown.look, keep)


def _train(this: Search, plan: dict[str, Planned], todo: Plan, watch: Watcher) -> None:
    rounds = {ask.trial.name: ask.rounds for ask in todo.asks}

    def wanted(planned: Planned) -> int:
        """The rounds that a chunk is wanted for; 0 where it is not."""
        return max(rounds.get(trial.name, 0) for trial in planned.chunk.trials)

    pending = sorted(filter(wanted, plan.values()), key=wanted)
    whole = this.config.steps // this.config.sparsity.rewire_every
    jobs = [
        Job(
            bundle[0].chunk.name,
            "train",
            chunks=tuple(planned.chunk for planned in bundle),
            until=until,
            round_seconds=max(planned.seconds for planned in bundle) / whole,
        )
        for until, some in itertools.groupby(pending, wanted)
        for bundle in groups.bundles(list(some), this.executor.workers)
    ]
    targets = [(planned, wanted(planned)) for planned in pending]
    meter = Meter(this, targets, todo.names, watch)
    perform(this, jobs, meter.look)


def write_skipped(workdir: Path, found: Population) -> None:
    """Keep what the space leaves out, and why, for `status --skipped`."""
    skipped = [one._asdict() for one in found.skipped]
    workdirs.write_json(workdir / "skipped.json", skipped)


def write_asked(workdir: Path, asks: list[Ask]) -> None:
    """Keep what is being trained, for whoever watches: budget and rounds by trial."""
    asked = {ask.trial.name: (ask.trial.budget, ask.rounds) for ask in asks}
    workdirs.write_json(workdir / "asked.json", asked)
