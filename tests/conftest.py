"""How the tests compile, which is what takes most of their time.

One compile cache a session is shared by the workers of pytest-xdist and the commands.
"""

import importlib.metadata
import os
import shutil
import sys
import tempfile
from unittest import mock

import pytest
from commands import QUICK, as_for_users

_FOLDER = "JAX_COMPILATION_CACHE_DIR"


def pytest_configure(config):
    # Before anything imports jax. Workers inherit the environment of the main process.
    if _FOLDER not in os.environ:
        config.compile_cache = tempfile.mkdtemp(prefix="sparse_search-tests-")
        os.environ[_FOLDER] = config.compile_cache
        os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
        os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"
    # XLA reads its flags once, and ends a process over one that it does not know: these
    # were tried with this version.
    flags = os.environ.get("XLA_FLAGS", "")
    known = importlib.metadata.version("jaxlib").startswith("0.10.")
    if known and QUICK not in flags:
        os.environ["XLA_FLAGS"] = f"{flags} {QUICK}"


def pytest_unconfigure(config):
    if hasattr(config, "compile_cache"):
        shutil.rmtree(config.compile_cache, ignore_errors=True)


@pytest.fixture(scope="module", autouse=True)
def free_programs():
    """Let go of what a module compiled.

    Every program takes some of the memory mappings of a process, of which there are
    65,530; without this a worker of the whole suite runs out of them.
    """
    yield
    jax = sys.modules.get("jax")
    if jax is not None:
        jax.clear_caches()


@pytest.fixture(scope="module")
def compiled_as_for_users():
    """Let the commands that a module's tests start compile as they do elsewhere."""
    with mock.patch.dict(os.environ, as_for_users()):
        yield
