"""The executor of several processes on this machine, one pinned to each core.

On a CPU small networks train fastest with one single-threaded process a core. On a
machine with GPUs every process has one of them.
"""

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from concurrent.futures import Future
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

from sparse_search.config import Config
from sparse_search.search.worker import Job, Worker, WorkerDied, answer

_POLL_SECONDS = 0.2


class _Hand(NamedTuple):
    """A worker's process, and the line to it."""

    process: Any
    line: Connection


def cores() -> list[int]:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


class Processes:
    """Spawned workers; the next job of one that has died begins a new one."""

    def __init__(self, config: Config, workdir: Path, workers: int, on_cpu: bool):
        """Processes start with the first job."""
        self._config, self._workdir = config, workdir
        self.workers, self._on_cpu = workers, on_cpu
        self._context = multiprocessing.get_context("spawn")
        self._hands: dict[int, _Hand] = {}
        self._lock = threading.Lock()
        self._killed: dict[int, str] = {}

    def submit(self, worker: int, job: Job) -> Future:
        """Give a worker a job; see `executors.Executor`."""
        future: Future = Future()
        serve = threading.Thread(
            target=self._serve, args=(worker, job, future), daemon=True
        )
        serve.start()
        return future

    def _serve(self, worker: int, job: Job, future: Future) -> None:
        try:
            hand = self._hand(worker)
            try:
                hand.line.send(job)
                result, error = hand.line.recv()
            except (EOFError, OSError):
                raise self._buried(worker, hand) from None
            if error is not None:
                raise error
            future.set_result(result)
        except BaseException as error:
            future.set_exception(error)

    def _hand(self, worker: int) -> _Hand:
        with self._lock:
            # With the first job all begin, so that they are ready for the others.
            for number in (worker,) if self._hands else range(self.workers):
                if number not in self._hands:
                    self._hands[number] = self._begin(number)
            return self._hands[worker]

    def _begin(self, worker: int) -> _Hand:
        # Workers inherit from this thread that Ctrl-C is not theirs to answer.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        ours, theirs = self._context.Pipe()
        usable = cores()
        place = usable[worker % len(usable)] if self._on_cpu else worker
        process = self._context.Process(
            target=_work,
            args=(
                self._config,
                self._workdir,
                theirs,
                place,
                self._on_cpu,
                os.getpid(),
            ),
            daemon=True,
        )
        process.start()
        theirs.close()
        return _Hand(process, ours)

    def _buried(self, worker: int, hand: _Hand) -> WorkerDied:
        hand.process.join()
        hand.line.close()
        del self._hands[worker]
        code = hand.process.exitcode
        reason = f"its worker process ended with status {code}"
        if code < 0:
            reason = f"its worker process was killed by {signal.Signals(-code).name}"
            if -code == signal.SIGKILL:
                reason += ", as a system does that is out of memory"
        return WorkerDied(self._killed.pop(worker, reason))

    def kill(self, worker: int, reason: str) -> None:
        """End a worker at once; its job ends with `WorkerDied`."""
        if worker in self._hands:
            self._killed[worker] = reason
            self._hands[worker].process.kill()

    def stop(self) -> None:
        """Let all jobs end after the rounds that they are in."""
        for hand in list(self._hands.values()):
            with contextlib.suppress(OSError):  # it has died
                hand.line.send(None)

    def close(self) -> None:
        """End all workers at once."""
        hands = list(self._hands.values())
        for hand in hands:
            hand.process.kill()
        for hand in hands:
            hand.process.join()


def _work(
    config: Config,
    workdir: Path,
    line: Connection,
    place: int,
    on_cpu: bool,
    parent: int,
) -> None:
    """A worker process, from its start to its end."""
    # Signals to the terminal's processes are for the driver alone to answer.
    os.setsid()
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    if not on_cpu:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        own = visible.split(",")[place] if visible else str(place)
        os.environ["CUDA_VISIBLE_DEVICES"] = own
    elif hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {place})
    worker = Worker(config, workdir)
    # All that comes while a job is performed is that it shall stop.
    while (job := line.recv()) is not None:
        line.send(answer(worker, job, line.poll))


def _end_with(parent: int) -> None:
    """End this process when the driver has ended, however it did."""
    while os.getppid() == parent:
        time.sleep(_POLL_SECONDS)
    os._exit(1)
