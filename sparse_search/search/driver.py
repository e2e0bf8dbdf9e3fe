"""The search driver: plan, measure, train, journal; continued from the journals.

A search trains a population (`space`). Its trials fall into groups that share one
compiled program (`groups`), the groups into chunks of lanes, and an executor trains
the chunks. All that is known is in the journals: killed anywhere and started again, a
search trains what is missing and nothing twice.
"""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from sparse_search import records
from sparse_search.config import Config
from sparse_search.search import executors, groups
from sparse_search.search.groups import Planned, Speed
from sparse_search.search.meter import Meter, Progress, Watcher
from sparse_search.search.space import Population, population
from sparse_search.search.worker import Job
from sparse_search.train import environment, representation
from sparse_search.train import workdir as workdirs
from sparse_search.train.single import load_dataset
from sparse_search.train.trials import Trial, check


class Plan(NamedTuple):
    """What a search would do.

    Attributes:
        population: all trials, and what is skipped.
        pending: those that are not finished yet.
        groups: the pending trials by compile key.
    """

    population: Population
    pending: list[Trial]
    groups: dict[str, list[Trial]]


def plan(config: Config, workdir: Path) -> Plan:
    """Enumerate what a search would train; nothing is written.

    Raises:
        UserError: the config cannot be used.
    """
    dataset = load_dataset(config)
    check(config, dataset)
    representation.check(config)
    executors.workers(config, on_cpu=True)  # the name is checked before all else
    everything = population(config, dataset)
    return _plan(everything, workdir)


def _plan(everything: Population, workdir: Path) -> Plan:
    done = records.read_finished(workdir)
    pending = [trial for trial in everything.trials if trial.name not in done]
    return Plan(everything, pending, groups.by_group(pending))


def search(
    config: Config,
    workdir: Path | str,
    *,
    should_stop: Callable[[], bool] = lambda: False,
    watch: Watcher = lambda progress: None,
) -> Plan:
    """Train a population, or what is missing of it.

    Args:
        config: the experiment.
        workdir: where all is written; the same call continues a search.
        should_stop: asked often; when true, everything is saved and the call ends.
        watch: is told of the progress.

    Returns:
        The plan that was carried out.

    Raises:
        UserError: the config or the workdir cannot be used.
        Stopped: it was asked to stop.
    """
    workdir = Path(workdir)
    todo = plan(config, workdir)
    with workdirs.claim(workdir, config, "search"):
        # Again, since another process may have owned the workdir until now.
        todo = _plan(todo.population, workdir)
        if not todo.pending:
            return todo
        environment.prepare()
        import jax

        workdirs.write_environment(workdir, [str(device) for device in jax.devices()])
        on_cpu = jax.default_backend() == "cpu"
        executor = executors.make(config, workdir, on_cpu)
        try:
            if config.representation == "auto":
                todo = _represent(executor, config, workdir, todo, should_stop, watch)
            speeds = _measure(executor, config, workdir, todo, should_stop, watch)
            chunks = groups.extend_plan(
                workdir, config, todo.pending, speeds, executor.workers
            )
            _train(executor, workdir, chunks, todo, should_stop, watch)
        finally:
            executor.close()
        if records.read_finished(workdir) >= {t.name for t in todo.population.trials}:
            # What a kill between a result and its clean-up left behind.
            for left in (workdir / "checkpoints").iterdir():
                shutil.rmtree(left, ignore_errors=True)
    return todo


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
    pending = [found.get(trial.name, trial) for trial in todo.pending]
    return Plan(todo.population, pending, groups.by_group(pending))


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
    done = total - len(todo.pending)
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
    wanted = {trial.name for trial in todo.pending}
    pending = [
        planned
        for planned in chunks.values()
        if any(trial.name in wanted for trial in planned.chunk.trials)
    ]
    jobs = [
        Job(
            f"{bundle[0].chunk.name}…",
            "train",
            chunks=tuple(planned.chunk for planned in bundle),
        )
        for bundle in groups.bundles(pending, executor.workers)
    ]
    everything = {trial.name for trial in todo.population.trials}
    meter = Meter(workdir, pending, everything, executor.workers, watch)
    executor.run(jobs, should_stop, meter.look)
