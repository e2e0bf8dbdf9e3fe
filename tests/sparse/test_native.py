"""Where the kernel is missing or of another version, one warning, and all works."""

import shutil
import subprocess
import sys

import pytest

from sparse_search.sparse import native

SCRIPT = """
import warnings
from pathlib import Path
import jax, jax.numpy as jnp, numpy as np
from sparse_search.sparse import formats, native, products
{change}
with warnings.catch_warnings(record=True) as seen:
    warnings.simplefilter("always")
    assert not native.usable() and not native.usable()
    assert native.instruction_set() is None
ours = [str(w.message) for w in seen if "native kernel" in str(w.message)]
assert len(ours) == 1, ours
print(ours[0])
mask = np.eye(4, 3, dtype=bool)
topology = formats.from_mask(mask)
y = products.product(topology, 2 * jnp.ones(3), jnp.ones(3), jnp.ones((4, 2)))
np.testing.assert_array_equal(y, np.full((3, 2), 3.0))
"""

CHANGES = {
    "without a C++ compiler": "native._library = lambda folder: Path('/nowhere')",
    "has 99.0": "native.interface = lambda: 99_000",
    "file too short": """
import tempfile
path = Path(tempfile.mkdtemp()) / "kernel.so"
path.write_bytes(b"not a library")
native._library = lambda folder: path
""",
}


@pytest.mark.parametrize("reason", CHANGES)
def test_without_the_kernel(reason):
    if reason == "has 99.0" and not native.usable():
        pytest.skip("the kernel was not built here")
    script = SCRIPT.format(change=CHANGES[reason])
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert reason in run.stdout


def test_the_version_is_that_of_the_headers():
    assert 0 <= native.interface() < 100_000


@pytest.mark.skipif(shutil.which("c++") is None, reason="needs a C++ compiler")
def test_with_a_compiler_there_is_a_kernel():
    # Else all tests of the kernel would be skipped, and nobody would notice.
    assert native.usable()
