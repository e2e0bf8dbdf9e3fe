"""The executor of several processes on this machine, one pinned to each core.

On a CPU small networks train fastest with one single-threaded process a core.
"""

import concurrent.futures
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

from sparse_search import records
from sparse_search.config import Config
from sparse_search.errors import UserError
from sparse_search.search.worker import Job, Worker, record_failure
from sparse_search.train.stopped import Stopped

_ATTEMPTS = 3
_POLL_SECONDS = 0.2

_worker: Worker | None = None
_stop: Any = None


def _begin(config: Config, workdir: Path, cores: Any, stop: Any, parent: int) -> None:
    """Set up a worker process, before it imports anything that computes."""
    global _worker, _stop
    # Ctrl-C reaches all processes of a terminal; only the driver answers it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    core = cores.get()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {core})
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    _worker, _stop = Worker(config, workdir), stop


def _end_with(parent: int) -> None:
    """End this process when the driver has ended, however it did."""
    while os.getppid() == parent:
        time.sleep(_POLL_SECONDS)
    os._exit(1)


def _perform(job: Job) -> Any:
    assert _worker is not None
    return _worker.perform(job, _stop.is_set)


def cores() -> list[int]:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


class Processes:
    """Spawned workers; a job whose worker dies is tried again in a new one."""

    def __init__(self, config: Config, workdir: Path, workers: int):
        """Prepares the pool; processes start with the first job."""
        self._config, self._workdir, self.workers = config, workdir, workers
        self._context = multiprocessing.get_context("spawn")
        self._stop = self._context.Event()
        self._pool: concurrent.futures.ProcessPoolExecutor | None = None

    def _open(self) -> concurrent.futures.ProcessPoolExecutor:
        if self._pool is None:
            usable = cores()
            queue = self._context.SimpleQueue()
            for number in range(self.workers):
                queue.put(usable[number % len(usable)])
            self._pool = concurrent.futures.ProcessPoolExecutor(
                self.workers,
                mp_context=self._context,
                initializer=_begin,
                initargs=(
                    self._config,
                    self._workdir,
                    queue,
                    self._stop,
                    os.getpid(),
                ),
            )
        return self._pool

    def run(
        self,
        jobs: Sequence[Job],
        should_stop: Callable[[], bool],
        tick: Callable[[], None],
    ) -> dict[str, Any]:
        """Perform all jobs; see `executors.Executor`."""
        results: dict[str, Any] = {}
        attempts = dict.fromkeys((job.name for job in jobs), 0)
        left = list(jobs)
        while left:
            try:
                self._round(left, results, should_stop, tick)
            except BrokenProcessPool:
                self.close()
                left = [job for job in left if job.name not in results]
                for job in left[: self.workers]:  # those that were being performed
                    attempts[job.name] += 1
                    if attempts[job.name] == _ATTEMPTS:
                        self._give_up(job)
                        results[job.name] = None
            left = [job for job in left if job.name not in results]
        return results

    def _round(
        self,
        jobs: Sequence[Job],
        results: dict[str, Any],
        should_stop: Callable[[], bool],
        tick: Callable[[], None],
    ) -> None:
        pool = self._open()
        futures = {pool.submit(_perform, job): job for job in jobs}
        waiting = set(futures)
        stopped = None
        while waiting:
            if should_stop() and not self._stop.is_set():
                self._stop.set()
                for future in waiting:
                    future.cancel()
            done, waiting = concurrent.futures.wait(waiting, timeout=_POLL_SECONDS)
            tick()
            for future in done:
                try:
                    results[futures[future].name] = future.result()
                except (Stopped, concurrent.futures.CancelledError):
                    stopped = stopped or Stopped()
                except (UserError, OSError) as error:
                    # The others save what they have and end too.
                    stopped = error
                    self._stop.set()
                    for other in waiting:
                        other.cancel()
        if stopped:
            raise stopped

    def _give_up(self, job: Job) -> None:
        if job.kind == "measure":
            raise UserError(
                f"Measuring {job.name} killed its worker {_ATTEMPTS} times (out of "
                "memory?); set config.lanes=1, or train smaller networks."
            )
        done = records.read_trials(self._workdir)
        task = self._config.data.name
        for chunk in job.chunks:
            if any(trial.name not in done for trial in chunk.trials):
                reason = f"its worker process died {_ATTEMPTS} times"
                record_failure(self._workdir, task, chunk, reason)

    def close(self) -> None:
        """End all workers."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None
