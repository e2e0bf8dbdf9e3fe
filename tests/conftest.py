"""One compile cache a session, shared by the workers of pytest-xdist."""

import os
import shutil
import tempfile

_FOLDER = "JAX_COMPILATION_CACHE_DIR"


def pytest_configure(config):
    # Before anything imports jax. Workers inherit the environment of the main process.
    if _FOLDER not in os.environ:
        config.compile_cache = tempfile.mkdtemp(prefix="sparse_search-tests-")
        os.environ[_FOLDER] = config.compile_cache
        os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
        os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"


def pytest_unconfigure(config):
    if hasattr(config, "compile_cache"):
        shutil.rmtree(config.compile_cache, ignore_errors=True)
