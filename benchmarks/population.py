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
import sys
import time
from typing import Any

STEPS_A_SECOND = "model-steps per second"
GRADIENTS, BATCH = 100, 128
SIZES = (784, 300, 100, 10)


def _examples() -> Any:
    import jax.numpy as jnp
    import numpy as np

    from sparse_search.train import rounds

    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (10_000, SIZES[0]), np.uint8)
    images *= rng.random(images.shape, np.float32) < 0.2
    labels = rng.integers(0, 10, len(images))
    return rounds.Examples(jnp.asarray(images), jnp.asarray(labels))


def _ours(sparsity: float, method: str, compressed: bool) -> Any:
    """A call is a round of 100 gradients."""
    import jax
    import jax.numpy as jnp
    import numpy as np
    import optax

    from sparse_search import algorithms, trees
    from sparse_search.models.mlp import MLP
    from sparse_search.sparse import formats
    from sparse_search.train import rounds

    layers = [f"params/Dense_{i}/kernel" for i in range(len(SIZES) - 1)]
    shapes = dict(zip(layers, zip(SIZES, SIZES[1:], strict=False), strict=True))
    counts = {k: round((1 - sparsity) * a * b) for k, (a, b) in shapes.items()}
    counts[layers[-1]] = SIZES[-2] * SIZES[-1]
    rooms = tuple((k, formats.room(counts[k], a * b)) for k, (a, b) in shapes.items())
    train = rounds.make_train(
        rounds.Spec(
            model=MLP(SIZES[1:-1], SIZES[-1]),
            algorithm=lambda fraction, until, **_: algorithms.complete(
                algorithms.CONSTRUCTORS[method], drop_fraction=fraction, until=until
            ),
            optimizer=lambda rate, decay, steps: optax.sgd(rate, momentum=0.9),
            round_steps=GRADIENTS,
            scale=255.0,
            rooms=rooms if compressed else (),
        )
    )
    data = _examples()
    params = train.shapes(data)
    tree = jax.tree.unflatten(
        jax.tree.structure(params),
        [
            np.int32(counts[k]) if k in counts else None
            for k in trees.named_leaves(params)
        ],
    )
    hyper = rounds.Hyper(0, 0.02, 0.0, 0.3, 10**6, 10**6, tree)
    rows = jax.random.randint(jax.random.key(0), (GRADIENTS, BATCH), 0, 10_000)
    begin = jax.jit(train.init)(hyper, train.weights(0, data), rows[0], data)
    run = jax.jit(train.round, donate_argnums=1)
    state = [begin]

    def call() -> int:
        state[0], metrics = run(hyper, state[0], rows, jnp.zeros(1, jnp.int32), data)
        jax.block_until_ready(metrics)
        return GRADIENTS

    return call


def _peer(path: str, sparsity: float) -> Any:
    """A call is 20 gradients of jaxpruner's RigL."""
    import importlib

    import jax
    import jax.numpy as jnp
    import optax
    from ml_collections import ConfigDict

    sys.path.insert(0, path)
    jax.tree_map = lambda f, tree, *rest, **_: jax.tree_util.tree_map(  # type: ignore
        lambda x, *xs: None if x is None else f(x, *xs),
        tree,
        *rest,
        is_leaf=lambda x: x is None,
    )
    from sparse_search.models.mlp import MLP

    options = {
        "algorithm": "rigl",
        "update_freq": GRADIENTS,
        "update_start_step": 1,
        "update_end_step": 10**6,
        "sparsity": sparsity,
        "dist_type": "uniform",
        "drop_fraction": 0.3,
    }
    jaxpruner = importlib.import_module("jaxpruner")
    updater = jaxpruner.create_updater_from_config(ConfigDict(options))
    transform = updater.wrap_optax(optax.sgd(0.02, momentum=0.9))
    model, data = MLP(SIZES[1:-1], SIZES[-1]), _examples()
    params = model.init(jax.random.key(0), jnp.zeros((1, SIZES[0])))

    def one(carry: Any, rows: Any, data: Any) -> Any:
        params, state = carry
        pixels = data.images[rows].astype(jnp.float32) * (1 / 255)

        def loss(params: Any) -> Any:
            logits, labels = model.apply(params, pixels), data.labels[rows]
            each = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
            return each.mean()

        updates, state = transform.update(jax.grad(loss)(params), state, params)
        params = optax.apply_updates(params, updates)
        return updater.post_gradient_update(params, state), state

    run = jax.jit(one, donate_argnums=0)
    rows = jax.random.randint(jax.random.key(0), (20, BATCH), 0, 10_000)
    carry = [jax.tree.map(jnp.array, (params, transform.init(params)))]

    def call() -> int:
        for some in rows:
            carry[0] = run(carry[0], some, data)
        jax.block_until_ready(carry[0])
        return len(rows)

    return call


def _worker(what: tuple[Any, ...], core: int | None, pipe: Any) -> None:
    """Answers every number of seconds with the steps a second made in them."""
    if core is not None:
        os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"
        os.environ["NPROC"] = "1"
        os.sched_setaffinity(0, {core})
    call = _peer(*what[1:]) if what[0] == "peer" else _ours(*what[1:])
    call()
    pipe.send("ready")
    while (seconds := pipe.recv()) is not None:
        began, steps = time.perf_counter(), 0
        while time.perf_counter() - began < seconds:
            steps += call()
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
        teams = {
            "jaxpruner RigL": Team(("peer", args.jaxpruner, sparsity), [None]),
            "ours, masked rigl": Team(("ours", sparsity, "rigl", False), cores),
            "ours, compressed rigl": Team(("ours", sparsity, "rigl", True), cores),
            "ours, compressed set": Team(("ours", sparsity, "set", True), cores),
        }
        found: dict[str, list[float]] = {name: [] for name in teams}
        for _ in range(args.turns):
            for name, team in teams.items():
                found[name].append(team.run(args.seconds))
        for team in teams.values():
            team.end()
        print(f"\n{sparsity:.0%} sparse")
        peer = found["jaxpruner RigL"]
        for name, rates in found.items():
            ratio = [a / b for a, b in zip(rates, peer, strict=True)]
            print(
                f"  {name:24}{statistics.median(rates):10.0f}"
                f"{statistics.median(ratio):10.2f}  "
                f"[{min(ratio):.2f}, {max(ratio):.2f}]",
                flush=True,
            )


if __name__ == "__main__":
    main()
