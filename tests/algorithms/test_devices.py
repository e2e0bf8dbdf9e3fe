"""The same masks on one device and on eight."""

import os
import subprocess
import sys

from rewire_digest import digest

PROGRAM = "import rewire_digest; print(*rewire_digest.digest(sharded=True))"


def test_masks_are_the_same_on_eight_devices():
    here = os.path.dirname(__file__)
    environment = {**os.environ, "JAX_NUM_CPU_DEVICES": "8", "JAX_PLATFORMS": "cpu"}
    environment["PYTHONPATH"] = os.pathsep.join([here, *sys.path])
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split() == digest()
