"""How long does one RigL update of one layer take, against jaxpruner's?

A float32 layer of 10⁵ to 10⁸ weights at 10 % density, drop fraction 0.3, one CPU
thread unless --threads=all. Ours is `algorithms.rigl`'s rewire; jaxpruner's is the
update of its RigL, both jitted. Each is run in turn in one process; printed is the
median. Beside them, what reading weights and gradients once takes (the sum of their
magnitudes), which no update can be faster than.

    python benchmarks/rewire.py --jaxpruner=PATH

Expected, on a noisy CPU:

         weights    ours, ms   ns/weight  reading, ms  jaxpruner, ms   ratio
         100,000        1.92       19.23         0.28           34.0    17.7
       1,000,000        8.83        8.83         0.81          415.9    47.1
      12,288,000      119.89        9.76         7.87         7164.7    59.8
     100,000,000     1474.77       14.75        46.09

PATH is a checkout of https://github.com/google-research/jaxpruner (measured:
f133ee5); without it the peer is left out. It is measured up to --peer-largest weights,
since it sorts and takes minutes for 10⁸.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from contenders import rigl_of_jaxpruner
from step import like_gradients

from sparse_search import algorithms

SHAPES = [(400, 250), (1000, 1000), (3072, 4000), (10_000, 10_000)]
DENSITY = 0.1


def ours(params: Any, grads: Any) -> Callable[[], Any]:
    """One update of ours."""
    algorithm = algorithms.rigl(drop_fraction=0.3)(until=1_000_000)
    counts = {"kernel": round(DENSITY * params["kernel"].size)}
    params, state = jax.jit(algorithm.init)(jax.random.key(0), params, counts)
    update = jax.jit(algorithm.rewire)
    return lambda: update(jax.random.key(1), params, grads, state)


def jaxpruners(params: Any, grads: Any, path: str) -> Callable[[], Any]:
    """One update of jaxpruner's."""
    updater = rigl_of_jaxpruner(
        path, every=1, sparsity=1 - DENSITY, allocation="erk", until=750_000
    )
    state = updater.wrap_optax(optax.sgd(0.1)).init(params)
    params = updater.post_gradient_update(params, state)
    update = jax.jit(updater.update_state)
    return lambda: update(state, params, grads)


def reading(params: Any, grads: Any) -> Callable[[], Any]:
    """Weights and gradients read once."""
    read = jax.jit(lambda p, g: jnp.sum(jnp.abs(p)) + jnp.sum(jnp.abs(g)))
    return lambda: read(params["kernel"], grads["kernel"])


def measure(contenders: dict[str, Callable[[], Any]], repeats: int) -> dict[str, float]:
    """Median milliseconds of every contender, after one run that does not count."""
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for repeat in range(repeats + 1):
        for name, run in contenders.items():
            start = time.perf_counter()
            jax.block_until_ready(run())
            if repeat:
                times[name].append(1e3 * (time.perf_counter() - start))
    return {name: statistics.median(of_name) for name, of_name in times.items()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jaxpruner", metavar="PATH", help="a checkout of the peer")
    parser.add_argument("--peer-largest", type=int, default=20_000_000)
    parser.add_argument("--largest", type=int, default=100_000_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", choices=["1", "all"], default="1")
    args = parser.parse_args()
    print(
        f"{'weights':>12}{'ours, ms':>12}{'ns/weight':>12}{'reading, ms':>13}", end=""
    )
    print(f"{'jaxpruner, ms':>15}{'ratio':>8}")
    for shape in SHAPES:
        size = shape[0] * shape[1]
        if size > args.largest:
            continue
        params = {"kernel": jax.random.normal(jax.random.key(0), shape)}
        grads = like_gradients(params)
        runs = {"ours": ours(params, grads), "reading": reading(params, grads)}
        if args.jaxpruner and size <= args.peer_largest:
            runs["jaxpruner"] = jaxpruners(params, grads, args.jaxpruner)
        found = measure(runs, args.repeats)
        print(
            f"{size:12,}{found['ours']:12.2f}{1e6 * found['ours'] / size:12.2f}", end=""
        )
        print(f"{found['reading']:13.2f}", end="")
        if "jaxpruner" in found:
            ratio = found["jaxpruner"] / found["ours"]
            print(f"{found['jaxpruner']:15.1f}{ratio:8.1f}", end="")
        print()


if __name__ == "__main__":
    main()
