"""How the tests compile, which is what takes most of their time.

One compile cache a session is shared by the workers of pytest-xdist and the commands.
"""

import importlib.metadata
import os
import shutil
import sys
import tempfile

import pytest

_FOLDER = "JAX_COMPILATION_CACHE_DIR"


def pytest_configure(config):
    # Before anything imports jax. Workers inherit the environment of the main process.
    if _FOLDER not in os.environ:
        config.compile_cache = tempfile.mkdtemp(prefix="sparse_search-tests-")
        os.environ[_FOLDER] = config.compile_cache
        os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
        os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"
    if hasattr(config, "workerinput") or not config.getoption("numprocesses", None):
        _compile_faster()


def _compile_faster():
    """Let XLA use the older of its two code generators, in this process only.

    It takes half of the time for the many small programs here. Commands that tests
    start are compiled as users' are. XLA reads the flags once, and ends the process
    over one that it does not know: the version is the one that was tried.
    """
    if not importlib.metadata.version("jaxlib").startswith("0.10."):
        return
    before = os.environ.get("XLA_FLAGS")
    os.environ["XLA_FLAGS"] = f"{before or ''} --xla_cpu_use_fusion_emitters=false"
    import jax

    jax.devices()
    del os.environ["XLA_FLAGS"]
    if before is not None:
        os.environ["XLA_FLAGS"] = before


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
def quick_compilation():
    """Compile for tests whose programs are many and run for moments."""
    import jax

    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)
