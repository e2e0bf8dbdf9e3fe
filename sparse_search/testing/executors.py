"""The contract of an executor, checked with real trainings of a few seconds.

from sparse_search.testing import executors

def test_mine(tmp_path):
executors.check("my_module:my_executor", tmp_path)
"""

import dataclasses
import shutil
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from sparse_search import records
from sparse_search.config import Config, freeze
from sparse_search.data import digits
from sparse_search.errors import UserError
from sparse_search.search import executors
from sparse_search.search.executors import Executor
from sparse_search.search.worker import Job, JobFailed, WorkerDied
from sparse_search.train import environment
from sparse_search.train import workdir as workdirs
from sparse_search.train.run import Chunk, plan_record
from sparse_search.train.stopped import Stopped
from sparse_search.train.trials import single_trial

_ROUNDS = 12
_LONG = 4000  # rounds, of which no one sees the end
_SECONDS = 120.0


def check(name: str, folder: Path, *, kills: bool = True, **more: Any) -> None:
    """Raise an `AssertionError` for the first thing that breaks the contract.

    Args:
        name: of the executor, as in `config.executor`.
        folder: an empty one, for the workdirs.
        kills: whether it can end a worker.
        more: further fields of the config.
    """
    environment.prepare()
    config = freeze(
        {
            "steps": 10 * _ROUNDS,
            "batch_size": 16,
            "model": {"width": 16},
            "sparsity": {"rewire_every": 10, "method": "set"},
            "representation": "masked",
            "checkpoint_every": 1,
            "executor": name,
            "workers": 2,
            **more,
        }
    )
    whole = _trained("local", config, folder / "whole")
    _performs_and_goes_on_after_failures(config, folder / "performs", whole)
    if kills:
        _replaces_a_worker_that_it_ended(config, folder / "kills", whole)
    _stops(config, folder / "stops")


def _performs_and_goes_on_after_failures(
    config: Config, workdir: Path, whole: dict
) -> None:
    executor = _open(config, workdir)
    try:
        assert executor.workers >= 1, "it has no workers"
        last = executor.workers - 1
        broken = _job(config, workdir, "broken")
        broken = broken._replace(trials=(), kind="represent")  # it lacks its trial
        error = _outcome(executor.submit(last, broken))
        assert isinstance(error, JobFailed), f"what a job raised came as {error!r}"
        assert "IndexError" in error.reason, error.reason
        wanted = UserError
        error = _outcome(executor.submit(last, _impossible(config, workdir)))
        assert isinstance(error, wanted), f"a UserError came as {error!r}"
        assert _outcome(executor.submit(last, _job(config, workdir))) is None
    finally:
        executor.close()
    assert _results(workdir) == whole, "trained elsewhere, a trial has other results"


def _replaces_a_worker_that_it_ended(
    config: Config, workdir: Path, whole: dict
) -> None:
    executor = _open(config, workdir)
    try:
        future = executor.submit(0, _job(config, workdir))
        _wait(workdir)
        executor.kill(0, "it was ended")
        error = _outcome(future)
        if error is not None:  # it was not done already
            assert isinstance(error, WorkerDied), f"a killed worker came as {error!r}"
            assert error.reason == "it was ended", error.reason
            assert _outcome(executor.submit(0, _job(config, workdir))) is None
    finally:
        executor.close()
    assert _results(workdir) == whole, "a trial that went on has other results"


def _stops(config: Config, workdir: Path) -> None:
    config = dataclasses.replace(config, steps=10 * _LONG)
    executor = _open(config, workdir)
    try:
        future = executor.submit(0, _job(config, workdir))
        _wait(workdir)
        executor.stop()
        error = _outcome(future)
        assert isinstance(error, Stopped), f"a job that was to stop came as {error!r}"
        saved = [p for p in (workdir / "checkpoints").rglob("*") if p.is_file()]
        assert len(saved) > 1, "it stopped and saved nothing"
    finally:
        executor.close()
    # A worker that goes on would write more.
    before = (workdir / "rounds.jsonl").read_bytes()
    time.sleep(1)
    assert (workdir / "rounds.jsonl").read_bytes() == before, "it goes on when closed"


def _job(config: Config, workdir: Path, name: str = "train") -> Job:
    trial = single_trial(config, digits.load())
    return Job(name, "train", (trial,), (Chunk("chunk", (trial,), 1),))


def _impossible(config: Config, workdir: Path) -> Job:
    """To go on from a checkpoint that cannot be read."""
    job = _job(config, workdir)
    chunk = job.chunks[0]._replace(name="unreadable")
    (workdir / "checkpoints" / "unreadable" / "3" / "state").mkdir(parents=True)
    return job._replace(chunks=(chunk,))


def _open(config: Config, workdir: Path) -> Executor:
    shutil.rmtree(workdir, ignore_errors=True)
    with workdirs.claim(workdir, config, "search"):
        job = _job(config, workdir)
        with records.open_journal(workdir / "plan.jsonl") as plan:
            plan.append(plan_record(config, job.chunks[0]))
    return executors.make(config, workdir)


def _trained(name: str, config: Config, workdir: Path) -> dict:
    config = dataclasses.replace(config, executor=name, workers=0)
    executor = _open(config, workdir)
    try:
        assert _outcome(executor.submit(0, _job(config, workdir))) is None
    finally:
        executor.close()
    return _results(workdir)


def _outcome(future: Future) -> BaseException | None:
    error = future.exception(_SECONDS)
    return error if error is not None else future.result()


def _until(holds: Callable[[], bool], what: str) -> None:
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < _SECONDS, f"{what} within {_SECONDS:.0f} s"
        time.sleep(0.02)


def _wait(workdir: Path) -> None:
    """Until the first rounds are in the journal."""
    file = workdir / "rounds.jsonl"
    _until(lambda: file.exists() and file.stat().st_size > 0, "no round was trained")


def _results(workdir: Path) -> dict:
    """What the journals say, but for the times."""
    rounds = records.read_rounds(workdir)
    trials = records.read_trials(workdir)
    return {
        key: {name: value for name, value in record.items() if name != "wall_seconds"}
        for key, record in {**rounds, **trials}.items()
    }
