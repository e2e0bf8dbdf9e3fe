"""What does the driver of a search cost, and what do two workers gain?

Three figures, each from one run on digits:

- resume: a finished search whose journals hold many records is called again: seconds
  until it knows that nothing is left to do.
- overhead: a search of trials of a second or more, in this process, against a plain
  loop over the same trials with no driver at all. They take turns; compilation is
  cached by a run before. What is printed is the median over turns, with its range.
- workers: the same search with one worker process and with two, in turns.

    python benchmarks/driver.py
"""

import argparse
import contextlib
import dataclasses
import statistics
import tempfile
import time
from pathlib import Path

from sparse_search.train import environment

environment.prepare()

from sparse_search import records  # noqa: E402
from sparse_search.config import Config, freeze  # noqa: E402
from sparse_search.search import driver, groups  # noqa: E402
from sparse_search.search.meter import Progress  # noqa: E402
from sparse_search.search.worker import Job, Worker  # noqa: E402


def config(**more: object) -> Config:
    """Sixty trials of a second each, of one group."""
    return freeze(
        {
            "steps": 6000,
            "batch_size": 64,
            "model": {"width": 128},
            "sparsity": {"rewire_every": 100, "method": "set"},
            "representation": "masked",
            "lanes": 1,
            "space": {"budgets": (1000, 2000, 4000), "seeds": tuple(range(20))},
            **more,
        }
    )


def searched(of: Config, folder: Path) -> float:
    """Seconds of a whole search from its plan on: measuring does not grow with it."""
    planned: list[float] = []

    def watch(progress: Progress) -> None:
        if progress.phase == "training" and not planned:
            planned.append(time.perf_counter())

    driver.search(of, folder, watch=watch)
    return time.perf_counter() - planned[0]


def looped(of: Config, plan: Path, folder: Path) -> float:
    """Seconds to train the chunks of a plan one after the other."""
    folder.mkdir()
    (folder / "checkpoints").mkdir()
    worker = Worker(of, folder)
    chunks = [planned.chunk for planned in groups.read_plan(plan).values()]
    began = time.perf_counter()
    for chunk in chunks:
        worker.perform(Job(chunk.name, "train", chunks=(chunk,)), lambda: False)
    return time.perf_counter() - began


def resume(entries: int) -> float:
    """Seconds to find that a search with so many records is done."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "map"
        seeds = tuple(range(entries // 2 // 3))
        of = config(steps=100, executor="local")
        of = dataclasses.replace(of, space=dataclasses.replace(of.space, seeds=seeds))
        one = dataclasses.replace(of, space=dataclasses.replace(of.space, seeds=(0,)))
        driver.search(one, folder)
        # The records of one seed, as those of all the others.
        with contextlib.ExitStack() as stack:
            for journal in ("rounds", "trials"):
                file = folder / f"{journal}.jsonl"
                found = list(records.read(file))
                copies = [
                    {**r, "trial": r["trial"].replace("-s0", f"-s{seed}")}
                    for seed in seeds[1:]
                    for r in found
                ]
                stack.enter_context(records.open_journal(file)).append(*copies)
        number = sum(
            (folder / f"{journal}.jsonl").read_bytes().count(b"\n")
            for journal in ("rounds", "trials")
        )
        began = time.perf_counter()
        todo = driver.search(of, folder)
        seconds = time.perf_counter() - began
        assert not todo.asks
        print(f"resume: {number:,} records in {seconds:.2f} s")
    return seconds


def ratios(what: str, pairs: list[tuple[float, float]]) -> None:
    """Print the median and range of first / second."""
    found = sorted(one / other for one, other in pairs)
    print(
        f"{what}: {statistics.median(found):.3f} ({found[0]:.3f} to {found[-1]:.3f}); "
        f"median seconds {statistics.median(p[0] for p in pairs):.1f} and "
        f"{statistics.median(p[1] for p in pairs):.1f}"
    )


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--entries", type=int, default=10_000)
    parser.add_argument("--turns", type=int, default=3)
    options = parser.parse_args()
    resume(options.entries)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        here = config(executor="local")
        searched(here, folder / "first")
        pairs = []
        for turn in range(options.turns):
            ours = searched(here, folder / f"search-{turn}")
            pairs.append(
                (ours, looped(here, folder / "first", folder / f"loop-{turn}"))
            )
        ratios("search / plain loop", pairs)
        pairs = []
        for turn in range(options.turns):
            seconds = [
                searched(
                    config(executor="processes", workers=workers),
                    folder / f"{workers}-{turn}",
                )
                for workers in (1, 2)
            ]
            pairs.append((seconds[0], seconds[1]))
        ratios("one worker / two workers", pairs)


if __name__ == "__main__":
    main()
