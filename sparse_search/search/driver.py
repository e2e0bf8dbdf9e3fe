"""The search driver: plan, measure, train, journal; continued from the journals.

A search trains a population (`space`). Its trials fall into groups that share one
compiled program (`groups`), the groups into chunks of lanes, and an executor trains
the chunks. All that is known is in the journals: killed anywhere and started again, a
search trains what is missing and nothing twice.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, Protocol

from sparse_search import records
from sparse_search.config import Config
from sparse_search.search import executors, groups
from sparse_search.search.groups import Planned, Speed
from sparse_search.search.space import Population, population
from sparse_search.search.worker import Job
from sparse_search.train import workdir as workdirs
from sparse_search.train.single import load_dataset
from sparse_search.train.trials import Trial, check


class Progress(NamedTuple):
    """Where a search stands.

    Attributes:
        phase: measuring or training.
        done: trials that are finished.
        total: all trials.
        part: of the expected training time that is done, from 0 to 1.
        seconds_left: an estimate; None before there is one.
    """

    phase: str
    done: int
    total: int
    part: float
    seconds_left: float | None


class Watcher(Protocol):
    """Is told where a search stands."""

    def __call__(self, progress: Progress) -> None:
        """Shows it."""
        ...


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
    everything = population(config, dataset)
    done = records.read_trials(workdir)
    pending = [trial for trial in everything.trials if trial.name not in done]
    return Plan(everything, pending, groups.by_group(pending))


def search(
    config: Config,
    workdir: Path,
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
    todo = plan(config, workdir)
    with workdirs.claim(workdir, config, "search"):
        if not todo.pending:
            return todo
        import jax

        workdirs.write_environment(workdir, [str(device) for device in jax.devices()])
        on_cpu = jax.default_backend() == "cpu"
        executor = executors.make(config, workdir, on_cpu)
        try:
            speeds = _measure(executor, config, workdir, todo, should_stop, watch)
            chunks = groups.extend_plan(
                workdir, config, todo.population.trials, speeds
            )
            _train(executor, workdir, chunks, todo, should_stop, watch)
        finally:
            executor.close()
    return todo


def _measure(
    executor: executors.Executor,
    config: Config,
    workdir: Path,
    todo: Plan,
    should_stop: Callable[[], bool],
    watch: Watcher,
) -> dict[str, Speed]:
    """Measure the speed of every shape that has trials in no chunk yet."""
    planned = {
        trial.name
        for chunk in groups.read_plan(workdir).values()
        for trial in chunk.chunk.trials
    }
    # Of the groups of one shape the largest says how many lanes there can be.
    largest: dict[str, list[Trial]] = {}
    for members in groups.by_group(
        trial for trial in todo.pending if trial.name not in planned
    ).values():
        shape = groups.shape_of(members[0])
        largest[shape] = max(largest.get(shape, []), members, key=len)
    jobs = [Job(shape, "measure", tuple(trials)) for shape, trials in largest.items()]
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
    meter = _Meter(workdir, pending, todo, executor.workers, watch)
    executor.run(jobs, should_stop, meter.look)


class _Meter:
    """Watches the journals of a search, and estimates when it ends."""

    def __init__(
        self,
        workdir: Path,
        pending: list[Planned],
        todo: Plan,
        workers: int,
        watch: Watcher,
    ):
        self._rounds = records.Tail(workdir / "rounds.jsonl")
        self._trials = records.Tail(workdir / "trials.jsonl")
        self._total = len(todo.population.trials)
        self._finished = {t.name for t in todo.population.trials} - {
            t.name for t in todo.pending
        }
        self._workers, self._watch = workers, watch
        # What a trial's round adds to the expected seconds that are done.
        done = {key for key in records.read_rounds(workdir)}
        per_trial: dict[str, float] = {}
        for planned in pending:
            for trial in planned.chunk.trials:
                per_trial[trial.name] = planned.seconds / len(planned.chunk.trials)
        rounds = max((r["rounds"] for r in records.read_plan(workdir).values()))
        self._share = {name: s / rounds for name, s in per_trial.items()}
        self._seconds_total = sum(per_trial.values())
        self._seconds_done = sum(self._share.get(name, 0.0) for name, _ in done)
        self._seconds_before = self._seconds_done
        self._began = time.monotonic()

    def look(self) -> None:
        """Read what is new, and tell."""
        for record in self._rounds.new():
            self._seconds_done += self._share.get(record["trial"], 0.0)
        for record in self._trials.new():
            self._finished.add(record["trial"])
        elapsed = time.monotonic() - self._began
        now = self._seconds_done - self._seconds_before
        left = max(self._seconds_total - self._seconds_done, 0.0)
        seconds_left = None
        if now > 0.02 * self._seconds_total:  # what was seen beats what was measured
            seconds_left = left * elapsed / now
        elif self._seconds_total:
            seconds_left = left / self._workers
        part = min(self._seconds_done / max(self._seconds_total, 1e-9), 1.0)
        self._watch(
            Progress("training", len(self._finished), self._total, part, seconds_left)
        )


def estimate(config: Config, todo: Plan, workers: int) -> float:
    """Seconds that a search would take, from its arithmetic and this machine's.

    A masked network computes as much as a dense one, 6 operations a weight, example
    and step; the rate is measured with one matrix product. Compilation is counted
    with 3 seconds a group. Expect it to be right within a factor of two or three.
    """
    import jax
    import jax.numpy as jnp

    side = 512
    matrix = jnp.ones((side, side))
    multiply = jax.jit(lambda x: x @ x)
    multiply(matrix).block_until_ready()
    began = time.perf_counter()
    for _ in range(20):
        multiply(matrix).block_until_ready()
    rate = 20 * 2 * side**3 / (time.perf_counter() - began)
    flops = sum(6 * sum(trial.sizes) for trial in todo.pending)
    flops *= config.steps * config.batch_size
    overhead = 5e-5 * config.steps * len(todo.pending) / workers
    # The product above used all cores, and small layers reach about half of its rate.
    return flops / (0.5 * rate) + overhead + 3.0 * len(todo.groups) / workers

