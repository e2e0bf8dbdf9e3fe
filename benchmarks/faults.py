"""A campaign of random kills: is a search that is killed all the time the same search?

Small searches on digits run again and again while their driver and their workers are
killed (SIGKILL), stopped (SIGINT, SIGTERM: the driver alone) or frozen (SIGSTOP: a
worker that hangs) at random moments; where the driver ends, the same command goes on.
At the end of each, every trial must be in the table exactly once and all records, of
every round and trial, must equal those of a search that nothing disturbed.

    python benchmarks/faults.py --kills=200 --executors=processes,ray

Exit status 1 if any search differs. Linux only; `ray` and `slurm` need their extras.
"""

import argparse
import csv
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from sparse_search import records

ROOT = Path(__file__).parent.parent
SEARCH = (
    f"--config={ROOT / 'configs' / 'digits_map.py'}:smoke",
    "--config.steps=3000",
    "--config.sparsity.rewire_every=100",
    "--config.checkpoint_every=2",
    "--config.workers=2",
    "--config.lanes=2",  # bits depend on it; else it is measured
    "--config.representation=masked",
    "--config.patience=60",
    "--config.retries=1000",
    "--quiet",
)
OF_WORKERS = ("spawn_main", "ray::_Actor", "submitit.core._submit")
KINDS = {
    "driver killed": signal.SIGKILL,
    "driver interrupted": signal.SIGINT,
    "driver terminated": signal.SIGTERM,
    "worker killed": signal.SIGKILL,
    "worker frozen": signal.SIGSTOP,
}
WEIGHTS = (3, 1, 1, 6, 1)


def begin(workdir: Path, executor: str) -> subprocess.Popen:
    """Start the search, or let it go on."""
    return subprocess.Popen(
        [sys.executable, "-m", "sparse_search", "search", *SEARCH]
        + [f"--config.executor={executor}", f"--workdir={workdir}"],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def table(workdir: Path) -> tuple[list[dict], dict]:
    """What a search has in its report and its journals, but for the times."""
    with open(workdir / "report" / "curves.csv") as file:
        rows = list(csv.DictReader(file))
    found = {**records.read_rounds(workdir), **records.read_trials(workdir)}
    for row in [*rows, *found.values()]:
        row.pop("wall_seconds", None)
    return rows, found


def workers(driver: int) -> list[int]:
    """The processes that train for a driver: its descendants, or Ray's."""
    parents, names = {}, {}
    for number in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{number}/stat") as file:
                fields = file.read().rpartition(")")[2].split()
            with open(f"/proc/{number}/cmdline") as file:
                names[int(number)] = file.read().replace("\0", " ")
        except OSError:
            continue
        parents[int(number)] = int(fields[1])

    def descends(one: int) -> bool:
        while one in parents:
            one = parents[one]
            if one == driver:
                return True
        return False

    return [
        number
        for number, name in names.items()
        if any(word in name for word in OF_WORKERS) and descends(number)
    ]


def rounds(workdir: Path) -> int:
    """How many lines the journal of rounds has."""
    journal = workdir / "rounds.jsonl"
    return journal.read_bytes().count(b"\n") if journal.exists() else 0


def campaign(workdir: Path, executor: str, dice: random.Random, most: int) -> Counter:
    """Run one search to its end, killing as it goes; returns what was done to it."""
    done: Counter = Counter()
    process = begin(workdir, executor)
    while True:
        before, wait = rounds(workdir), dice.randrange(1, 60)
        while process.poll() is None and (
            rounds(workdir) < before + wait or done.total() >= most
        ):
            time.sleep(0.01)
        if process.poll() == 0:
            return done
        if process.poll() == 2:
            sys.exit(f"the search in {workdir} cannot be run")
        if process.poll() is None:
            (kind,) = dice.choices(list(KINDS), WEIGHTS)
            target = process.pid
            if kind.startswith("worker"):
                target = dice.choice(workers(process.pid) or [0])
            if target:
                try:
                    os.kill(target, KINDS[kind])
                    done[kind] += 1
                except ProcessLookupError:
                    continue
            if kind.startswith("driver"):
                process.wait()
        if process.poll() not in (None, 0):
            process = begin(workdir, executor)


def main() -> None:
    """Print a line a search, and the sums."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--executors", default="processes")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    dice, total, wrong = random.Random(options.seed), Counter(), 0
    names = options.executors.split(",")
    with tempfile.TemporaryDirectory(prefix="faults-") as name:
        folder = Path(name)
        assert begin(folder / "whole", "processes").wait() == 0
        whole = table(folder / "whole")
        print(f"undisturbed: {len(whole[0])} trials, {len(whole[1])} records")
        number = 0
        while total.total() < options.kills:
            executor = names[number % len(names)]
            workdir = folder / f"search-{number}"
            most = min(20, options.kills - total.total())
            done = campaign(workdir, executor, dice, most)
            same = table(workdir) == whole
            failed = sum(r["status"] == "failed" for r in whole[0])
            assert not failed
            wrong += not same
            total += done
            number += 1
            what = ", ".join(f"{kind} {times}" for kind, times in sorted(done.items()))
            print(f"{executor}: {what}: {'equal' if same else 'DIFFERENT'}", flush=True)
    print(f"{total.total()} kills in {number} searches: {dict(total)}")
    print(f"{wrong} searches differ from the undisturbed one")
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
