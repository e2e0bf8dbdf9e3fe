"""The executor of Ray's actors, on the cluster that is there or on this machine.

The workdir must be on a file system that all nodes share. `ray.init` takes
`config.executor_options`; without an address it joins the cluster that RAY_ADDRESS
names, or begins one here.
"""

import os
import socket
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError

from sparse_search.config import Config
from sparse_search.errors import UserError
from sparse_search.search.worker import Job, Worker, WorkerDied, answer

# What the driver's environment says of how programs are compiled and rounded.
_INHERITED = ("JAX_", "XLA_", "NPROC")


def _address_if_stale() -> dict[str, str]:
    """That a cluster is begun here, where the last one on this machine has died.

    Ray would try to reach it for a minute, and give up.
    """
    file = Path(os.environ.get("RAY_TMPDIR", "/tmp"), "ray", "ray_current_cluster")
    try:
        host, _, port = file.read_text().strip().rpartition(":")
        socket.create_connection((host, int(port)), timeout=5).close()
    except FileNotFoundError:
        return {}
    except (OSError, ValueError):
        return {"address": "local"}
    return {}


class _Actor:
    """A worker; Ray calls `stop` while `perform` is at work."""

    def __init__(self, config: Config, workdir: Path):
        self._worker = Worker(config, workdir)
        self._stopped = False

    def perform(self, job: Job) -> tuple[Any, Exception | None]:
        return answer(self._worker, job, lambda: self._stopped)

    def stop(self) -> None:
        self._stopped = True


class Ray:
    """One actor a CPU, or one a GPU where the cluster has some."""

    def __init__(self, config: Config, workdir: Path):
        """Joins or begins a cluster; actors begin with their first job."""
        self._ours = not ray.is_initialized()
        if self._ours:
            try:
                options = {"log_to_driver": False, **config.executor_options}
                if "address" not in options and "RAY_ADDRESS" not in os.environ:
                    options |= _address_if_stale()
                ray.init(**options)
            except (RayError, ConnectionError, TypeError, ValueError) as error:
                raise UserError(
                    f"Ray cannot be used ({str(error).splitlines()[0]}); see "
                    "config.executor_options."
                ) from None
        resources = ray.cluster_resources()
        self._kind = kind = "GPU" if resources.get("GPU") else "CPU"
        self._most = config.workers or int(resources.get(kind, 1))
        environment = {
            name: value
            for name, value in os.environ.items()
            if name.startswith(_INHERITED)
        }
        options = {
            "num_cpus": 1,
            "num_gpus": int(kind == "GPU"),
            # Ray would run a job that kills its worker again and again: the search
            # decides that.
            "max_restarts": 0,
            "max_task_retries": 0,
            "max_concurrency": 2,
            # JAX reads it when it is imported, in a cluster that has its own.
            "runtime_env": {"env_vars": environment},
        }
        actor = ray.remote(_Actor).options(**options)
        self._begin = lambda: actor.remote(config, workdir.resolve())
        self._actors: dict[int, Any] = {}
        self._killed: dict[int, str] = {}

    @property
    def workers(self) -> int:
        """How many the cluster has room for: nodes come and go."""
        room = int(ray.cluster_resources().get(self._kind, 0))
        return max(min(self._most, room), 1)

    def submit(self, worker: int, job: Job) -> Future:
        """Give a worker a job; see `executors.Executor`."""
        if worker not in self._actors:
            self._actors[worker] = self._begin()
        future: Future = Future()

        def ended(answered: Future) -> None:
            died = answered.exception()
            if died is not None:
                self._actors.pop(worker, None)
                reason = f"its worker died: {str(died).strip().splitlines()[0]}"
                future.set_exception(WorkerDied(self._killed.pop(worker, reason)))
                return
            result, error = answered.result()
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)

        asked = self._actors[worker].perform.remote(job)
        asked.future().add_done_callback(ended)
        return future

    def kill(self, worker: int, reason: str) -> None:
        """End a worker at once; its job ends with `WorkerDied`."""
        if worker in self._actors:
            self._killed[worker] = reason
            ray.kill(self._actors[worker])

    def stop(self) -> None:
        """Let all jobs end after the rounds that they are in."""
        for actor in list(self._actors.values()):
            actor.stop.remote()

    def close(self) -> None:
        """End all workers at once, and the cluster if it was begun here."""
        for actor in list(self._actors.values()):
            ray.kill(actor)
        if self._ours:
            ray.shutdown()
