"""Where the jobs of a search are performed: in this process, or in several."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from sparse_search.config import Config
from sparse_search.errors import UserError, one_of
from sparse_search.search.executors.local import Local
from sparse_search.search.executors.processes import Processes, cores
from sparse_search.search.worker import Job


class Executor(Protocol):
    """Performs jobs; a user's own has these three."""

    workers: int

    def run(
        self,
        jobs: Sequence[Job],
        should_stop: Callable[[], bool],
        tick: Callable[[], None],
    ) -> dict[str, Any]:
        """Perform all jobs, in order where there is one worker.

        Args:
            jobs: what to do.
            should_stop: asked often; when true, jobs save and end.
            tick: called often, for progress.

        Returns:
            The results by job name.

        Raises:
            Stopped: it was asked to stop.
            UserError: a job can go on only when the user has done something.
        """
        ...

    def close(self) -> None:
        """End all workers."""
        ...


def workers(config: Config, on_cpu: bool) -> int:
    """How many workers a config's executor has.

    Args:
        config: of the search.
        on_cpu: whether the default device is a CPU; `auto` then takes a process a
            core, and one process on a GPU, or for several devices.

    Raises:
        UserError: the executor is not known, or does not take several devices.
    """
    names = ("auto", "local", "processes")
    if config.executor not in names:
        raise one_of("config.executor", config.executor, names)
    several = config.devices > 1
    if several and config.executor == "processes":
        raise UserError(
            f"config.devices={config.devices} are for one process that trains on all "
            'of them: leave config.executor at "auto".'
        )
    alone = several or not on_cpu
    if config.executor == "local" or (config.executor == "auto" and alone):
        return 1
    return config.workers or len(cores())


def make(config: Config, workdir: Path, on_cpu: bool) -> Executor:
    """The executor that a config names; the arguments as in `workers`."""
    number = workers(config, on_cpu)
    if config.executor == "local" or (config.executor == "auto" and number == 1):
        return Local(config, workdir)
    return Processes(config, workdir, number)
