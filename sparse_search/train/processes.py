"""Several processes that train one model together, on one machine or on many.

All run the same program on the same arguments (`jax.distributed`). The first owns the
workdir and writes the journals; checkpoints are written by all. The workdir must be
where all of them see it.
"""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from sparse_search.errors import UserError


def join(where: str) -> None:
    """Become one of several processes, before JAX first computes.

    Args:
        where: "" where the launcher tells (Slurm, Open MPI, Kubernetes, TPU pods), or
            "HOST:PORT,NUMBER,INDEX": where the first process listens, how many there
            are, and which this is, counted from 0.

    Raises:
        UserError: it is neither.
    """
    given = where.split(",") if where else []
    numbers = [part for part in given[1:] if part.isdecimal()]
    if given and (len(given) != 3 or len(numbers) != 2 or ":" not in given[0]):
        raise UserError(
            f"--distributed={where} is not HOST:PORT,NUMBER,INDEX, as in "
            "--distributed=node0:1234,2,0 for the first of two processes."
        )
    # It would take SIGTERM away from us; all processes stop when one is asked to.
    jax.config.update("jax_enable_preemption_service", False)
    try:
        if given:
            number, index = map(int, numbers)
            jax.distributed.initialize(given[0], number, index)
        else:
            jax.distributed.initialize()
    except ValueError as error:
        raise UserError(
            f"The processes were not found ({str(error).splitlines()[0]}): start them "
            "with srun or mpirun, or give --distributed=HOST:PORT,NUMBER,INDEX."
        ) from None


def is_first() -> bool:
    """Whether this is the process that owns the workdir; true if there is no other."""
    return jax.process_index() == 0


def any_of(flag: bool) -> bool:
    """Whether a flag is set in any process; all must ask at the same point."""
    if jax.process_count() == 1:
        return flag
    return bool(np.any(multihost_utils.process_allgather(np.array(flag))))


def first(work: Callable[[], None]) -> None:
    """Let the first process do something while the others wait for its end.

    Raises:
        UserError: in the others, where it fails.
    """
    problem: BaseException | None = None
    if is_first():
        try:
            work()
        except BaseException as error:
            problem = error
    failed = any_of(problem is not None)
    if problem:
        raise problem
    if failed:
        raise UserError("the first process could not go on; it says why.")


def fetch(tree: Any) -> Any:
    """Arrays on the host, those too that lie with other processes in parts."""

    def one(x: Any) -> Any:
        if isinstance(x, jax.Array) and not x.is_fully_addressable:
            if not x.is_fully_replicated:
                return multihost_utils.process_allgather(x, tiled=True)
        return x

    return jax.device_get(jax.tree.map(one, tree))
