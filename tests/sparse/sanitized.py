"""The kernel's tests under the address and undefined-behaviour sanitizers.

    python tests/sparse/sanitized.py

Builds the kernel with them in a temporary folder and runs the tests of this folder with
it, in the best instruction set that this machine has. Needs CMake and g++.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
CPP = HERE.parents[1] / "sparse_search" / "sparse" / "cpp"
FLAGS = "-fsanitize=address,undefined -fno-sanitize-recover=undefined -g -O1"


def pytest_configure(config):
    """As a plugin: load the kernel that was built here."""
    from sparse_search.sparse import native

    native._library = lambda folder: Path(os.environ["SANITIZED_KERNEL"])


def library(name):
    found = subprocess.run(
        ["g++", f"-print-file-name={name}"], capture_output=True, text=True, check=True
    )
    return found.stdout.strip()


def main():
    with tempfile.TemporaryDirectory() as build:
        configure = ["cmake", "-S", CPP, "-B", build, f"-DCMAKE_CXX_FLAGS={FLAGS}"]
        configure.append(f"-DPython3_EXECUTABLE={sys.executable}")
        subprocess.run(configure, check=True)
        subprocess.run(["cmake", "--build", build, "-j2"], check=True)
        environment = {
            **os.environ,
            "SANITIZED_KERNEL": f"{build}/kernel.so",
            "LD_PRELOAD": f"{library('libasan.so')} {library('libubsan.so')}",
            # Python and XLA leak at their end, which is not ours to find.
            "ASAN_OPTIONS": "detect_leaks=0:malloc_context_size=1",
            "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
            "PYTHONPATH": str(HERE),
        }
        tests = [str(path) for path in sorted(HERE.glob("test_*.py"))]
        command = [sys.executable, "-m", "pytest", "-p", "sanitized", "-n0", *tests]
        command += ["--deselect", str(HERE / "test_native.py")]
        return subprocess.run(command, env=environment).returncode


if __name__ == "__main__":
    sys.exit(main())
