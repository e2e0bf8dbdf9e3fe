"""The executor of Slurm's jobs, through submitit; where there is no Slurm, processes.

Every worker is a job of the cluster that stays for the whole search. Jobs and answers
travel as files in the workdir, which all nodes share. `config.executor_options` go to
submitit's `update_parameters`: timeout_min, slurm_partition, mem_gb and so on. A
worker that comes to its time limit is replaced, and its trial goes on.
"""

import os
import pickle
import shutil
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, NamedTuple

import submitit

from sparse_search.config import Config
from sparse_search.errors import UserError
from sparse_search.search.worker import Job, Worker, WorkerDied, answer

_POLL_SECONDS = 0.5
_BEAT_SECONDS = 5.0
_SILENCE_SECONDS = 120.0  # after which a worker takes the driver for dead
_STOP = "stop"
_DEFAULTS = {"name": "sparse_search", "timeout_min": 24 * 60, "cpus_per_task": 1}


class _Hand(NamedTuple):
    """A worker's job of the cluster, and the folder that it shares with it."""

    job: Any
    folder: Path


class Slurm:
    """`config.workers` jobs, each on a core or a GPU of its own."""

    def __init__(self, config: Config, workdir: Path):
        """Jobs are submitted when they are first needed."""
        self._config, self._workdir = config, workdir.resolve()
        self.workers = config.workers
        self._folder = self._workdir / "slurm" / uuid.uuid4().hex
        self._executor = submitit.AutoExecutor(self._folder.parent / "logs")
        try:
            self._executor.update_parameters(**{**_DEFAULTS, **config.executor_options})
        except (NameError, TypeError, ValueError) as error:
            raise UserError(f"config.executor_options: {error}") from None
        self._folder.mkdir(parents=True)
        self._hands: dict[int, _Hand] = {}
        self._killed: dict[int, str] = {}
        self._closed, self._stopped = threading.Event(), False
        threading.Thread(target=self._beat, daemon=True).start()

    def _beat(self) -> None:
        """Tell all workers again and again that the search is on."""
        number = 0
        while True:
            number += 1
            _write(self._folder / "beat", _STOP if self._stopped else str(number))
            if self._closed.wait(_POLL_SECONDS if self._stopped else _BEAT_SECONDS):
                return

    def submit(self, worker: int, job: Job) -> Future:
        """Give a worker a job; see `executors.Executor`."""
        future: Future = Future()
        args = (worker, job, future)
        threading.Thread(target=self._serve, args=args, daemon=True).start()
        return future

    def _serve(self, worker: int, job: Job, future: Future) -> None:
        try:
            hand = self._hands.get(worker) or self._begin(worker)
            _write(hand.folder / "job", job)
            answered = hand.folder / "answer"
            while not answered.exists():
                if hand.job.done() and not answered.exists():
                    del self._hands[worker]
                    reason = f"its job {hand.job.job_id} ended ({hand.job.state})"
                    raise WorkerDied(self._killed.pop(worker, reason))
                time.sleep(_POLL_SECONDS)
            result, error = _take(answered)
            if error is not None:
                raise error
            future.set_result(result)
        except BaseException as error:
            future.set_exception(error)

    def _begin(self, worker: int) -> _Hand:
        folder = self._folder / f"{worker}-{uuid.uuid4().hex}"
        folder.mkdir()
        job = self._executor.submit(_work, self._config, self._workdir, folder)
        self._hands[worker] = _Hand(job, folder)
        return self._hands[worker]

    def kill(self, worker: int, reason: str) -> None:
        """End a worker at once; its job ends with `WorkerDied`."""
        if worker in self._hands:
            self._killed[worker] = reason
            self._hands[worker].job.cancel()

    def stop(self) -> None:
        """Let all jobs end after the rounds that they are in."""
        self._stopped = True
        _write(self._folder / "beat", _STOP)

    def close(self) -> None:
        """End all workers at once."""
        self._closed.set()
        for hand in list(self._hands.values()):
            hand.job.cancel()
        shutil.rmtree(self._folder, ignore_errors=True)


def _write(file: Path, value: Any) -> None:
    """Write a file whole or not at all."""
    partial = file.with_name(f"{file.name}.{threading.get_ident()}")
    partial.write_bytes(pickle.dumps(value))
    os.replace(partial, file)


def _take(file: Path) -> Any:
    value = pickle.loads(file.read_bytes())
    file.unlink()
    return value


def _work(config: Config, workdir: Path, folder: Path) -> None:
    """A worker, until its job is ended or the search is."""
    stopped = threading.Event()
    beat = folder.parent / "beat"
    threading.Thread(target=_listen, args=(beat, stopped.set), daemon=True).start()
    worker = Worker(config, workdir)
    while True:
        while not (folder / "job").exists():
            time.sleep(_POLL_SECONDS)
        job = _take(folder / "job")
        _write(folder / "answer", answer(worker, job, stopped.is_set))


def _listen(beat: Path, stop: Callable[[], None]) -> None:
    """Hear when the search is to stop, and end this process when it is over."""
    last, heard = "", time.monotonic()
    while time.monotonic() - heard < _SILENCE_SECONDS:
        try:
            new = pickle.loads(beat.read_bytes())
        except OSError:  # the folder is gone with the search
            new = last
        if new == _STOP:
            stop()
        if new != last:
            last, heard = new, time.monotonic()
        time.sleep(_POLL_SECONDS)
    os._exit(1)
