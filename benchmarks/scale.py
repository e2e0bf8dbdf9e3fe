"""What do very wide and very sparse layers cost: time of a step, and memory?

784 inputs, a hidden layer of N, one of N × N of which next to nothing exists, 10
outputs; SET with a rewire every 20 gradients, batch 128, SGD with momentum 0.9, all
cores. Each size runs in a process of its own. Memory is the peak of the process over
what it held before the network was made; "state" is what training carries from step to
step. Beside it, what the dense network would take.

    python benchmarks/scale.py [--sizes=65536:0.9999,262144:0.99999]
"""

import argparse
import os
import resource
import subprocess
import sys
import time

import jax
from contenders import Rounds, kernels, random_examples, random_rows

GRADIENTS, ROUNDS = 20, 4


def measure(width: int, sparsity: float) -> None:
    """One size, printed."""
    sizes = (784, width, width, 10)
    hidden = round((1 - sparsity) * width**2)
    shapes = kernels(sizes)
    counts = dict(zip(shapes, (hidden // 4, hidden, hidden // 8), strict=True))
    data = random_examples(1000, sizes[0])
    jax.block_until_ready(random_rows(data, GRADIENTS))
    before = _peak()
    run = Rounds(
        "set", sizes, counts, data, compressed=True, rate=0.01, gradients=GRADIENTS
    )
    times = []
    for _ in range(ROUNDS + 1):
        began = time.perf_counter()
        run()
        times.append((time.perf_counter() - began) / GRADIENTS * 1e3)
    nnz = sum(counts.values())
    held = sum(leaf.nbytes for leaf in jax.tree.leaves(run.state))
    dense = 12 * sum(a * b for a, b in shapes.values())
    print(
        f"{width:8,}² at {sparsity:.3%}: {nnz:9,} weights, "
        f"{min(times[1:]):6.1f} ms a step, peak {(_peak() - before) / 1e9:.2f} GB, "
        f"state {held / 1e6:.1f} MB ({held / nnz:.1f} bytes a weight, biases too); "
        f"dense {dense / 1e9:,.1f} GB",
        flush=True,
    )


def _peak() -> int:
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main() -> None:
    """Measure each size in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    sizes = "4000:0.8,4000:0.9,4000:0.99,65536:0.9999,262144:0.99999"
    parser.add_argument("--sizes", default=sizes)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        width, sparsity = args.one.split(":")
        return measure(int(width), float(sparsity))
    for one in args.sizes.split(","):
        command = [sys.executable, os.path.abspath(__file__), f"--one={one}"]
        subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
