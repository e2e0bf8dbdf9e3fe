"""Settings of JAX that must be made before it first computes, inherited by workers."""

import os
from pathlib import Path


def prepare() -> None:
    """Set what is not set yet, in the environment of this process and its workers.

    One thread a process: the fastest for small networks with one process a core, and
    the same rounding whatever the number of processes. And a compile cache that lasts.
    JAX reads the first when it first computes, and the others when it is imported.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    if "xla_cpu_multi_thread_eigen" not in flags:
        os.environ["XLA_FLAGS"] = f"{flags} --xla_cpu_multi_thread_eigen=false".strip()
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    defaults = {
        # XLA divides work by the cores it may use, and rounds accordingly: a worker
        # that is pinned to one core and a single run would end with other bits.
        "NPROC": "1",
        "JAX_COMPILATION_CACHE_DIR": str(Path(cache) / "sparse_search" / "jax"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "0",
    }
    for name, value in defaults.items():
        os.environ.setdefault(name, value)
