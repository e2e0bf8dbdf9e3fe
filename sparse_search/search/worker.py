"""What an executor's worker does: measure a group's speed, train bundles of chunks.

A worker keeps the data set on its device and the compiled programs of the groups it has
met, of as many as the operating system lets it.
"""

import contextlib
import dataclasses
import errno
import fcntl
import gc
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax

from sparse_search import records
from sparse_search.config import Config
from sparse_search.errors import UserError, disk_is_full
from sparse_search.records import Record
from sparse_search.search.groups import Speed
from sparse_search.train import representation, sharding
from sparse_search.train.lanes import Group, Loaded, make_programs, make_spec
from sparse_search.train.rounds import Train, make_train
from sparse_search.train.run import Chunk, run_chunk, trial_fields
from sparse_search.train.sharding import Placement
from sparse_search.train.single import load_dataset
from sparse_search.train.stopped import Stopped
from sparse_search.train.trials import Trial

_POLL_SECONDS = 0.2
_MEASURED_STEPS = 20
_GROWTH = 4  # from one candidate for the number of lanes to the next
_WORTH_COMPILING = 2.0  # seconds of a group from which another candidate is tried


class Job(NamedTuple):
    """A piece of work for one worker.

    Attributes:
        name: for messages.
        kind: what to do: find the layers that are faster compressed, find the number of
            lanes, or train.
        trials: to measure: those of equal sizes, or the members of a group.
        chunks: to train, one after the other.
        until: the rounds that they shall have been trained for; None: to the end.
        round_seconds: that a round of them is expected to take.
    """

    name: str
    kind: Literal["represent", "measure", "train"]
    trials: tuple[Trial, ...] = ()
    chunks: tuple[Chunk, ...] = ()
    until: int | None = None
    round_seconds: float = 0.0


class JobFailed(Exception):
    """A job broke; it may be tried again."""

    def __init__(self, reason: str, trace: str = ""):
        """Takes the reason in a line, and the traceback."""
        super().__init__(reason, trace)
        self.reason, self.trace = reason, trace


class WorkerDied(JobFailed):
    """A worker ended, or was ended, in the middle of a job."""


class Worker:
    """Performs jobs of one search in one process."""

    def __init__(self, config: Config, workdir: Path):
        """Prepares a worker; data are loaded at the first job."""
        self._config, self._workdir = config, workdir
        self._loaded: Loaded | None = None
        self._groups: dict[str, Group] = {}

    def perform(self, job: Job, should_stop: Callable[[], bool]) -> Any:
        """Do a job.

        Returns:
            The layers or the `Speed` that were measured, or None.

        Raises:
            Stopped: it was asked to stop; all is saved.
            UserError: it can only go on when the user has done something.
            Exception: whatever breaks a training.
        """
        if should_stop():
            raise Stopped
        if job.kind == "represent":
            dataset = self._data().dataset
            number = len(job.trials)
            return representation.faster_layers(
                self._config, dataset, job.trials[0], number
            )
        if job.kind == "measure":
            return self.measure(job.trials)
        for chunk in job.chunks:
            lock = self._workdir / "checkpoints" / f"{chunk.name}.lock"
            with _alone(lock, should_stop):
                group = self._group(chunk.trials[0])
                run_chunk(group, chunk, self._workdir, should_stop, until=job.until)
        return None

    def _data(self) -> Loaded:
        if self._loaded is None:
            self._loaded = Loaded(self._config, load_dataset(self._config))
        return self._loaded

    def _group(self, trial: Trial) -> Group:
        group = self._groups.pop(trial.group, None)
        if group is None:
            # XLA maps the code of a program piece by piece, of deep networks thousands.
            while self._groups and mapped() > 0.5:
                self._groups.pop(next(iter(self._groups)))  # met the longest ago
                gc.collect()
            group = Group(self._config, trial, self._data())
        self._groups[trial.group] = group
        return group

    def measure(self, trials: Sequence[Trial]) -> Speed:
        """Find how many lanes train a group soonest.

        Times the gradient steps alone (rewires are the same whatever the lanes) with
        1, 4, 16, … lanes a device, as long as more lanes are faster and the group is
        long enough for the next program to be worth its compilation. A number that
        the config pins is the only candidate.
        """
        # A static mask: its steps are those of every sparse method and pattern.
        static = {"method": "static", "allocation": "er", "pattern": "unstructured"}
        if trials[0].method != "dense":
            trials = [dataclasses.replace(trial, **static) for trial in trials]
        group = Group(self._config, trials[0], self._data())
        train = make_train(make_spec(self._config, trials[0], self._data().dataset))
        best = Speed(1, float("inf"))
        devices = self._config.devices
        lanes = self._config.lanes or devices
        while True:
            members = [trials[i % len(trials)] for i in range(lanes)]
            try:
                placed = sharding.placement(lanes, devices)
                speed = Speed(lanes, _step_seconds(group, train, members, placed))
            except jax.errors.JaxRuntimeError:
                if lanes == devices or self._config.lanes:
                    raise
                return best  # more lanes do not fit the device's memory
            if self._seconds(speed, trials) >= 0.9 * self._seconds(best, trials):
                return best
            best = speed
            lanes *= _GROWTH
            worth_it = self._seconds(best, trials) > _WORTH_COMPILING
            if self._config.lanes or lanes > len(trials) or not worth_it:
                return best

    def _seconds(self, speed: Speed, trials: Sequence[Trial]) -> float:
        """How long the whole group takes, lanes that stay empty counted."""
        chunks = -(-len(trials) // speed.lanes)
        return chunks * speed.seconds * self._config.steps


def mapped() -> float:
    """The part of its memory mappings that this process has used; 0 if it is not known.

    Linux allows a process a number of them, 65,530 by default.
    """
    try:
        most = int(Path("/proc/sys/vm/max_map_count").read_text())
        return Path("/proc/self/maps").read_bytes().count(b"\n") / most
    except OSError:
        return 0.0


def _step_seconds(
    group: Group, train: Train, members: list[Trial], placed: Placement
) -> float:
    """The time of a gradient step of these lanes: the fastest of three runs."""
    steps = make_programs(train, placed).steps
    hyper, state = group.hyper(members), group.init(members, placed)
    seeds = [trial.seed for trial in members]
    rows = group.loaded.rows(seeds, 0)[:, :_MEASURED_STEPS]
    args = (hyper, state, placed.put(rows), group.loaded.on(placed))
    jax.block_until_ready(steps(*args))  # compiles
    times = []
    for _ in range(3):
        began = time.perf_counter()
        jax.block_until_ready(steps(*args))
        times.append(time.perf_counter() - began)
    return min(times) / rows.shape[1]


def answer(
    worker: Worker, job: Job, should_stop: Callable[[], bool]
) -> tuple[Any, Exception | None]:
    """Perform a job; returns its result, and what it raised in a form that travels.

    Raises nothing but what ends processes.
    """
    try:
        return worker.perform(job, should_stop), None
    except (Stopped, UserError, JobFailed) as error:
        return None, error
    except Exception as error:
        if disk_is_full(error):
            return None, OSError(errno.ENOSPC, "No space left on device")
        if isinstance(error, OSError):
            return None, error
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        return None, JobFailed(reason, "".join(traceback.format_exception(error)))


@contextlib.contextmanager
def _alone(file: Path, should_stop: Callable[[], bool]) -> Iterator[None]:
    """Wait for the worker of a driver that was killed, which may not know of it yet."""
    with open(file, "w") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if should_stop():
                    raise Stopped from None
                time.sleep(_POLL_SECONDS)
        yield
        file.unlink(missing_ok=True)


def record_failure(
    workdir: Path, task: str, chunk: Chunk, reason: str, trace: str = ""
) -> None:
    """Record the trials of a chunk that have no result as failed."""
    done = records.read_finished(workdir)
    with records.open_journal(workdir / "trials.jsonl") as journal:
        for trial in chunk.trials:
            if trial.name not in done:
                record: Record = dict.fromkeys(records.COLUMNS)
                record.update(trial_fields(trial, task), chunk=chunk.name)
                record.update(status="failed", reason=reason, traceback=trace)
                journal.append(record)
