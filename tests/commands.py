"""Running the real commands, and small data sets in the official format."""

import gzip
import json
import os
import struct
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parent.parent
CONFIGS = ROOT / "configs"
MOST_SECONDS = 600  # that a command may take

# The older of XLA's two code generators, with little done about the code: the many
# small programs here run for moments, and compile in less than half of the time.
QUICK = "--xla_cpu_use_fusion_emitters=false --xla_backend_optimization_level=0"


def as_for_users():
    """An environment in which commands compile as they do outside of the tests."""
    return {"XLA_FLAGS": os.environ.get("XLA_FLAGS", "").replace(QUICK, "")}


def command(*arguments):
    return [sys.executable, "-m", "sparse_search", *map(str, arguments)]


def run(*arguments, **environment):
    """Run a command to its end; returns status, standard output, standard error."""
    done = subprocess.run(
        command(*arguments),
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, **environment},
        timeout=MOST_SECONDS,
    )
    return done.returncode, done.stdout, done.stderr


def ok(*arguments, **environment):
    status, out, err = run(*arguments, **environment)
    assert status == 0, f"{arguments}: {status}\n{out}\n{err}"
    return out


def killed_in_round(workdir, at_least, number, arguments, **environment):
    """Start a run and send it a signal once it has journaled some rounds."""
    process = subprocess.Popen(
        command("train", *arguments),
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for_rounds(process, workdir, at_least)
    process.send_signal(number)
    _, err = process.communicate()
    return process.returncode, err


def wait_for_rounds(process, workdir, at_least):
    """Wait until a run has journaled some rounds, or has ended."""
    journal = workdir / "rounds.jsonl"
    while process.poll() is None:
        if journal.exists() and len(journal.read_bytes().splitlines()) >= at_least:
            break
        time.sleep(0.002)


def lines(path):
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def without_times(records):
    """Records by trial and round, without what may differ between two runs."""
    found = {}
    for record in records:
        kept = {k: v for k, v in record.items() if k != "wall_seconds"}
        found[record["trial"], record.get("round")] = kept
    return found


def small_images(folder, count=200, test=60):
    """The four files of an MNIST-like data set whose classes can be told apart."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    prototypes = random.integers(0, 200, (10, 28, 28))
    for part, number in (("train", count), ("t10k", test)):
        labels = np.arange(number) % 10
        images = prototypes[labels] + random.integers(0, 56, (number, 28, 28))
        for kind, array in (("images-idx3", images), ("labels-idx1", labels)):
            header = struct.pack(
                f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape
            )
            with gzip.open(folder / f"{part}-{kind}-ubyte.gz", "wb") as file:
                file.write(header + array.astype(np.uint8).tobytes())
    return folder
