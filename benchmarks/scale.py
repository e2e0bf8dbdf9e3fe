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

BATCH, GRADIENTS, ROUNDS = 128, 20, 4


def measure(width: int, sparsity: float) -> None:
    """One size, printed."""
    import jax
    import jax.numpy as jnp
    import numpy as np
    import optax

    from sparse_search import algorithms, trees
    from sparse_search.models.mlp import MLP
    from sparse_search.sparse import formats
    from sparse_search.train import rounds

    sizes = (784, width, width, 10)
    layers = [f"params/Dense_{i}/kernel" for i in range(3)]
    shapes = dict(zip(layers, zip(sizes, sizes[1:], strict=False), strict=True))
    hidden = round((1 - sparsity) * width**2)
    counts = {layers[0]: hidden // 4, layers[1]: hidden, layers[2]: hidden // 8}
    train = rounds.make_train(
        rounds.Spec(
            model=MLP(sizes[1:-1], sizes[-1]),
            algorithm=lambda fraction, until, **_: algorithms.complete(
                algorithms.CONSTRUCTORS["set"], drop_fraction=fraction, until=until
            ),
            optimizer=lambda rate, decay, steps: optax.sgd(rate, momentum=0.9),
            round_steps=GRADIENTS,
            scale=255.0,
            rooms=tuple(
                (k, formats.room(counts[k], a * b)) for k, (a, b) in shapes.items()
            ),
        )
    )
    rng = np.random.default_rng(0)
    data = rounds.Examples(
        jnp.asarray(rng.integers(0, 256, (1000, 784), np.uint8)),
        jnp.asarray(rng.integers(0, 10, 1000)),
    )
    params = train.shapes(data)
    tree = jax.tree.unflatten(
        jax.tree.structure(params),
        [
            np.int32(counts[k]) if k in counts else None
            for k in trees.named_leaves(params)
        ],
    )
    hyper = rounds.Hyper(0, 0.01, 0.0, 0.3, 10**6, 10**6, tree)
    rows = jax.random.randint(jax.random.key(0), (GRADIENTS, BATCH), 0, 1000)
    jax.block_until_ready(rows)
    before = _peak()
    state = jax.jit(train.init)(hyper, {}, rows[0], data)
    run = jax.jit(train.round, donate_argnums=1)
    times = []
    for _ in range(ROUNDS + 1):
        began = time.perf_counter()
        state, metrics = run(hyper, state, rows, jnp.zeros(1, jnp.int32), data)
        jax.block_until_ready(metrics)
        times.append((time.perf_counter() - began) / GRADIENTS * 1e3)
    nnz = sum(counts.values())
    held = sum(leaf.nbytes for leaf in jax.tree.leaves(state))
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
