"""The executor that trains in this process, one job after the other."""

import threading
from concurrent.futures import Future
from pathlib import Path

from sparse_search.config import Config
from sparse_search.search.worker import Job, Worker, answer


class Local:
    """Best where one process fills the device: a GPU, or a single core.

    Jobs run in a thread of their own, so that a search can be watched and stopped.
    What kills or hangs this worker does so to the search.
    """

    workers = 1

    def __init__(self, config: Config, workdir: Path):
        """Prepares the one worker."""
        self._worker = Worker(config, workdir)
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def submit(self, worker: int, job: Job) -> Future:
        """Begin a job; see `executors.Executor`."""
        future: Future = Future()

        def perform() -> None:
            result, error = answer(self._worker, job, self._stop.is_set)
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)

        self._thread = threading.Thread(target=perform, daemon=True)
        self._thread.start()
        return future

    def kill(self, worker: int, reason: str) -> None:
        """Not possible: nothing happens."""

    def stop(self) -> None:
        """Let the job end after the round that it is in."""
        self._stop.set()

    def close(self) -> None:
        """Wait for the round that it is in."""
        self.stop()
        if self._thread is not None:
            self._thread.join()
