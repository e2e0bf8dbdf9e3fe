"""How many models a second train on this machine, against a peer's sequential loop?

LeNet-300-100, batch 128, RigL with a rewire every 100 gradients, uniform density but
for the last layer, SGD with momentum 0.9. Ours are the programs of the commands in one
pinned single-threaded process a core, each training models one after the other; the
peer is jaxpruner's RigL, one model in a Python loop, with all cores to itself. They
take turns of some seconds, so that a noisy machine disturbs both alike; a ratio is
taken within a turn, and what is printed is the median over turns, with its range.

    python benchmarks/population.py --jaxpruner=PATH

PATH is a checkout of https://github.com/google-research/jaxpruner.
"""

import argparse
import multiprocessing
import os
import statistics
import time
from typing import Any

STEPS_A_SECOND = "model-steps per second"
SIZES, RATE, GRADIENTS = (784, 300, 100, 10), 0.02, 100
OURS = ("masked", "rigl"), ("compressed", "rigl"), ("compressed", "set")


def _contender(kind: str, sparsity: float, *what: Any) -> Any:
    # Here, since a process that imports JAX before it is pinned is not.
    from contenders import Plain, Rounds, random_examples, rigl_of_jaxpruner, uniform

    data = random_examples(10_000, SIZES[0], bright=0.2)
    if kind == "jaxpruner":
        (path,) = what
        updater = rigl_of_jaxpruner(path, every=GRADIENTS, sparsity=sparsity)
        return Plain(SIZES, data, rate=RATE, gradients=20, updater=updater)
    (method,) = what
    counts = uniform(SIZES, sparsity)
    return Rounds(
        method,
        SIZES,
        counts,
        data,
        compressed=kind == "compressed",
        rate=RATE,
        gradients=GRADIENTS,
    )


def _worker(what: tuple[Any, ...], core: int | None, pipe: Any) -> None:
    """Answers every number of seconds with the steps a second made in them."""
    if core is not None:
        os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"
        os.environ["NPROC"] = "1"
        os.sched_setaffinity(0, {core})
    contender = _contender(*what)
    contender()
    pipe.send("ready")
    while (seconds := pipe.recv()) is not None:
        began, steps = time.perf_counter(), 0
        while time.perf_counter() - began < seconds:
            contender()
            steps += contender.gradients
        pipe.send(steps / (time.perf_counter() - began))


class Team:
    """Processes of one contender."""

    def __init__(self, what: tuple[Any, ...], cores: list[int | None]):
        """Starts them, one a core, or one on all."""
        context = multiprocessing.get_context("spawn")
        self._pipes = []
        for core in cores:
            here, there = context.Pipe()
            context.Process(
                target=_worker, args=(what, core, there), daemon=True
            ).start()
            there.close()  # so that one that dies is not waited for
            self._pipes.append(here)
        for pipe in self._pipes:
            pipe.recv()

    def run(self, seconds: float) -> float:
        """Steps a second of all together."""
        for pipe in self._pipes:
            pipe.send(seconds)
        return sum(pipe.recv() for pipe in self._pipes)

    def end(self) -> None:
        """Ends them."""
        for pipe in self._pipes:
            pipe.send(None)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jaxpruner", metavar="PATH", required=True)
    parser.add_argument("--sparsity", default="0.9,0.95,0.99")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0)
    args = parser.parse_args()
    cores: list[int | None] = [*sorted(os.sched_getaffinity(0))]
    print(f"{STEPS_A_SECOND}, {len(cores)} cores, and the ratio to the peer")
    for sparsity in map(float, args.sparsity.split(",")):
        ours = {
            f"ours, {kind} {method}": Team((kind, sparsity, method), cores)
            for kind, method in OURS
        }
        peer = "jaxpruner", sparsity, args.jaxpruner
        teams = {"jaxpruner RigL": Team(peer, [None]), **ours}
        found: dict[str, list[float]] = {name: [] for name in teams}
        for _ in range(args.turns):
            for name, team in teams.items():
                found[name].append(team.run(args.seconds))
        for team in teams.values():
            team.end()
        print(f"\n{sparsity:.0%} sparse")
        base = found["jaxpruner RigL"]
        for name, rates in found.items():
            ratio = [a / b for a, b in zip(rates, base, strict=True)]
            print(
                f"  {name:24}{statistics.median(rates):10.0f}"
                f"{statistics.median(ratio):10.2f}  "
                f"[{min(ratio):.2f}, {max(ratio):.2f}]",
                flush=True,
            )


if __name__ == "__main__":
    main()
