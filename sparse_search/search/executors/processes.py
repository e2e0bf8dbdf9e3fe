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

from sparse_search.config import Config
from sparse_search.errors import UserError
from sparse_search.search.worker import Job, Worker, finished, record_failure
from sparse_search.train.stopped import Stopped

_ATTEMPTS = 3
_POLL_SECONDS = 0.2

_worker: Worker | None = None
_stop: Any = None


def _begin(config: Config, workdir: Path, cores: Any, stop: Any, parent: int) -> None:
    """Set up a worker process, before it imports anything that computes."""
    global _worker, _stop
    # Signals to the terminal's processes are for the driver alone to answer.
    os.setsid()
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
        self._begun: set[str] = set()

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
        while left := [job for job in jobs if job.name not in results]:
            try:
                self._perform_all(left, results, should_stop, tick)
            except BrokenProcessPool:
                self._discard()
                # One of those that were begun killed its worker: each by itself.
                left = [job for job in left if job.name not in results]
                begun = [job for job in left if job.name in self._begun]
                for job in begun or left[: self.workers]:
                    self._alone(job, results, should_stop, tick)
        return results

    def _alone(
        self,
        job: Job,
        results: dict[str, Any],
        should_stop: Callable[[], bool],
        tick: Callable[[], None],
    ) -> None:
        """Try a job a few times; a chunk that kills its worker each time is given up.

        What it had finished is not done again, so every attempt begins at the chunk
        that killed the one before.
        """
        while job.name not in results:
            for _ in range(_ATTEMPTS):
                try:
                    return self._perform_all([job], results, should_stop, tick)
                except BrokenProcessPool:
                    self._discard()
            job = self._without_culprit(job)

    def _without_culprit(self, job: Job) -> Job:
        """The job without its first chunk that has no result, recorded as failed."""
        if job.kind != "train":
            raise UserError(
                f"Measuring {job.name} killed its worker {_ATTEMPTS} times: it is out "
                "of memory (set config.lanes=1, or train smaller networks), or your "
                "script calls run_search outside of `if __name__ == '__main__':`."
            )
        left = [
            chunk
            for chunk in job.chunks
            if not finished(self._workdir, chunk, job.until)
        ]
        reason = f"its worker process died {_ATTEMPTS} times"
        record_failure(self._workdir, self._config.data.name, left[0], reason)
        return job._replace(chunks=tuple(left[1:]))

    def _perform_all(
        self,
        jobs: Sequence[Job],
        results: dict[str, Any],
        should_stop: Callable[[], bool],
        tick: Callable[[], None],
    ) -> None:
        self._begun = set()
        pool = self._open()
        # Workers are spawned here and inherit that Ctrl-C is not theirs to answer.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            futures = {pool.submit(_perform, job): job for job in jobs}
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        waiting = set(futures)
        problem: BaseException | None = None
        while waiting:
            if should_stop():
                self._stop.set()
            self._begun |= {futures[f].name for f in waiting if f.running()}
            done, waiting = concurrent.futures.wait(waiting, timeout=_POLL_SECONDS)
            tick()
            broken = None
            for future in done:
                try:
                    results[futures[future].name] = future.result()
                except BrokenProcessPool as error:
                    broken = error
                except Stopped as error:
                    problem = problem or error
                except Exception as error:
                    # The others save what they have and end too.
                    self._stop.set()
                    problem = error
            if broken:
                raise problem or broken
        if problem:
            raise problem

    def close(self) -> None:
        """End all workers after the rounds that they are in."""
        self._stop.set()
        self._discard()

    def _discard(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None
