"""What an executor's worker does: measure a group's speed, train bundles of chunks.

A worker keeps the data set on its device and the compiled programs of every group it
has met.
"""

import dataclasses
import errno
import time
import traceback
from collections.abc import Callable, Sequence
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

_MEASURED_STEPS = 20
_GROWTH = 4  # from one candidate for the number of lanes to the next
_WORTH_COMPILING = 2.0  # seconds of a group from which another candidate is tried


class Job(NamedTuple):
    """A piece of work for one worker.

    Attributes:
        name: for messages.
        kind: what to do: find the layers that are faster compressed, find the number of
            lanes, or train.
        trials: to measure: the members of a group.
        chunks: to train, one after the other.
        until: the rounds that they shall have been trained for; None: to the end.
    """

    name: str
    kind: Literal["represent", "measure", "train"]
    trials: tuple[Trial, ...] = ()
    chunks: tuple[Chunk, ...] = ()
    until: int | None = None


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
        """
        if should_stop():
            raise Stopped
        if job.kind == "represent":
            dataset = self._data().dataset
            return representation.faster_layers(self._config, dataset, job.trials[0])
        if job.kind == "measure":
            return self.measure(job.trials)
        for chunk in job.chunks:
            # After a crash, a job is begun again: what it had finished stays.
            if not finished(self._workdir, chunk, job.until):
                self.train(chunk, should_stop, job.until)
        return None

    def _data(self) -> Loaded:
        if self._loaded is None:
            self._loaded = Loaded(self._config, load_dataset(self._config))
        return self._loaded

    def _group(self, trial: Trial) -> Group:
        if trial.group not in self._groups:
            self._groups[trial.group] = Group(self._config, trial, self._data())
        return self._groups[trial.group]

    def train(
        self, chunk: Chunk, should_stop: Callable[[], bool], until: int | None = None
    ) -> None:
        """Train a chunk; what breaks it is recorded as its trials' failure."""
        try:
            group = self._group(chunk.trials[0])
            run_chunk(group, chunk, self._workdir, should_stop, until=until)
        except (Stopped, UserError, OSError):
            raise
        except Exception as error:
            if disk_is_full(error):
                raise OSError(errno.ENOSPC, "No space left on device") from error
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            record_failure(
                self._workdir,
                self._config.data.name,
                chunk,
                reason,
                "".join(traceback.format_exception(error)),
            )

    def measure(self, trials: Sequence[Trial]) -> Speed:
        """Find how many lanes train a group soonest.

        Times the gradient steps alone (rewires are the same whatever the lanes) with
        1, 4, 16, … lanes a device, as long as more lanes are faster and the group is
        long enough for the next program to be worth its compilation. A number that
        the config pins is the only candidate.
        """
        # A static mask: its steps are those of every sparse method.
        kind = "dense" if trials[0].method == "dense" else "static"
        trials = [dataclasses.replace(trial, method=kind) for trial in trials]
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


def finished(workdir: Path, chunk: Chunk, until: int | None = None) -> bool:
    """Whether all trials of a chunk have a result, or have come to a pause.

    Args:
        workdir: of the search.
        chunk: which is in its plan.
        until: the rounds that it shall have been trained for; None: to the end.
    """
    done = records.read_finished(workdir)
    if until is not None and until < records.read_plan(workdir)[chunk.name]["rounds"]:
        rounds = records.read_rounds(workdir)
        done |= {name for name, number in rounds if number == until}
    return all(trial.name in done for trial in chunk.trials)


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
