"""The executor that trains in this process, one job after the other."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from sparse_search.config import Config
from sparse_search.search.worker import Job, Worker


class Local:
    """Best where one process fills the device: a GPU, or a single core."""

    workers = 1

    def __init__(self, config: Config, workdir: Path):
        """Prepares the one worker."""
        self._worker = Worker(config, workdir)

    def run(
        self,
        jobs: Sequence[Job],
        should_stop: Callable[[], bool],
        tick: Callable[[], None],
    ) -> dict[str, Any]:
        """Perform all jobs; see `executors.Executor`."""
        results = {}
        watched = _ticking(should_stop, tick)
        for job in jobs:
            results[job.name] = self._worker.perform(job, watched)
            tick()
        return results

    def close(self) -> None:
        """Nothing to end."""


def _ticking(
    should_stop: Callable[[], bool], tick: Callable[[], None]
) -> Callable[[], bool]:
    """Let the driver look at the journals whenever a round has ended."""

    def asked() -> bool:
        tick()
        return should_stop()

    return asked
