"""Where the jobs of a search are performed; one executor, one file."""

import importlib.util
from concurrent.futures import Future
from pathlib import Path
from typing import Protocol, cast

from sparse_search import build
from sparse_search.config import Config
from sparse_search.errors import UserError, one_of
from sparse_search.search.executors.local import Local
from sparse_search.search.executors.processes import Processes, cores
from sparse_search.search.worker import Job

NAMES = ("auto", "local", "processes", "ray", "slurm")


class Executor(Protocol):
    """Workers that perform jobs; a user's own has these five.

    A worker performs one job at a time and keeps what it has compiled for the next.
    `worker.answer` performs a job wherever that is.
    """

    @property
    def workers(self) -> int:
        """How many there are now, at least 1; never more than at the beginning."""
        ...

    def submit(self, worker: int, job: Job) -> Future:
        """Give a job to an idle worker; one that has died is replaced.

        Args:
            worker: which, from 0.
            job: what to do.

        Returns:
            The job's result, or what it raised; `WorkerDied` where its worker ended.
        """
        ...

    def kill(self, worker: int, reason: str) -> None:
        """End a worker at once; its job ends with `WorkerDied(reason)`."""
        ...

    def stop(self) -> None:
        """Let all jobs save and end, with `Stopped`, after their round."""
        ...

    def close(self) -> None:
        """End all workers at once, whatever they do."""
        ...


def workers(config: Config, devices: int, on_cpu: bool) -> int:
    """How many workers train at the same time on this machine.

    Args:
        config: of the search.
        devices: that JAX sees.
        on_cpu: whether they are CPUs.
    """
    alone = config.devices > 1 or not on_cpu
    if config.executor == "local" or (config.executor == "auto" and alone):
        return 1
    return config.workers or (len(cores()) if on_cpu else devices)


def check(config: Config) -> None:
    """Raise a `UserError` for an executor that cannot be used."""
    if ":" in config.executor:
        build.factory("config.executor", config.executor, {})
    elif config.executor not in NAMES:
        raise one_of("config.executor", config.executor, NAMES)
    if config.devices != 1 and config.executor not in ("auto", "local"):
        raise UserError(
            f"config.devices={config.devices} are for one process that trains on all "
            'of them: leave config.executor at "auto".'
        )
    if config.executor == "slurm" and not config.workers:
        raise UserError(
            "config.executor='slurm' submits config.workers jobs; set how many."
        )
    package = {"ray": "ray", "slurm": "submitit"}.get(config.executor)
    if package and importlib.util.find_spec(package) is None:
        raise UserError(
            f"config.executor={config.executor!r} needs {package}: pip install "
            f"'sparse_search[{config.executor}]'."
        )


def make(config: Config, workdir: Path) -> Executor:
    """The executor that a config names.

    A user's own is `package.module:factory`, a function of the config and the workdir.
    """
    import jax

    if ":" in config.executor:
        made = build.factory("config.executor", config.executor, {})(config, workdir)
        return cast(Executor, made)
    if config.executor == "ray":
        from sparse_search.search.executors.ray_ import Ray

        return Ray(config, workdir)
    if config.executor == "slurm":
        from sparse_search.search.executors.slurm import Slurm

        return Slurm(config, workdir)
    on_cpu = jax.default_backend() == "cpu"
    number = workers(config, jax.local_device_count(), on_cpu)
    if config.executor == "local" or (config.executor == "auto" and number == 1):
        return Local(config, workdir)
    return Processes(config, workdir, number, on_cpu)
