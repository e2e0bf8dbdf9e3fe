"""What does sparse training cost a step, against dense training and jaxpruner?

LeNet-300-100 in float32, 10 % density, batch 128, SGD with momentum 0.9, a rewire
every 100 gradients. All contenders do 100 gradients in turn, in one process and in an
order that is shuffled for every repeat; a ratio is taken within a repeat, and what is
printed is the median over repeats, so that a noisy machine disturbs all alike.

    python benchmarks/step.py --jaxpruner=PATH

PATH is a checkout of https://github.com/google-research/jaxpruner (measured:
f133ee5); without it the peer is left out. Expected, on 2 cores of a noisy CPU:

                            ms per 100   ratio to dense  [min, max]
    dense                        110.2             1.00  [1.00, 1.00]
    rigl                         114.7             1.04  [0.87, 1.11]
    dense, plain JAX             102.2             0.93  [0.82, 1.14]
    jaxpruner RigL, loop         259.3             2.36  [1.93, 2.60]
    jaxpruner RigL, scan         236.6             2.15  [1.89, 2.38]

What is compared:

- Ours is the program that the commands run, `Programs.round` with one lane. A RigL or
  SET round is 99 updates and a gradient that feeds the rewire; static and dense are 100
  updates. Validation is one example, for all of them: evaluating thousands would add
  the same time to both sides of the ratio and flatter it.
- "plain JAX" is the same dense network in a scan without this package, so that our own
  dense round is not the only reference.
- jaxpruner's RigL as its users run it: `wrap_optax` and `post_gradient_update` in one
  jitted step, state donated, called from a Python loop. Beside it, the same step in a
  scan, and both with no update in the run.
- Model, optimizer, batches and pixels are the same for all. Images are random, a
  fifth of the pixels lit: timing does not depend on them. They are arguments of every
  program; which examples a step sees is computed beforehand.

By default XLA runs on one thread, as in the project's commands; `--threads=all` leaves
that to XLA. Nothing is pinned.
"""

import argparse
import os
import random
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

if not {"all", "--threads=all"} & set(sys.argv):  # before JAX is imported
    flags = os.environ.get("XLA_FLAGS", "")
    os.environ["XLA_FLAGS"] = f"{flags} --xla_cpu_multi_thread_eigen=false"

import jax
import jax.numpy as jnp
import numpy as np
import optax
from contenders import rigl_of_jaxpruner

from sparse_search.config import Config, freeze
from sparse_search.data.dataset import Dataset, pixel_scale
from sparse_search.models.mlp import lenet_300_100
from sparse_search.train import lanes, optimizer, sharding, step, trials

GRADIENTS = 100  # in a round: one rewire among them
DENSITY = 0.1
DROP_FRACTION = 0.3
STEPS = 1_000_000  # of the schedules: the drop fraction stays at its start
RATE = 0.02


def random_dataset(examples: int) -> Dataset:
    """Images like MNIST's in shape, type and number of dark pixels."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (examples, 28, 28), np.uint8)
    images *= rng.random(images.shape, np.float32) < 0.2
    labels = rng.integers(0, 10, examples)
    scale = pixel_scale(images)
    return Dataset("random", images, labels, images[:1], labels[:1], 10, scale)


def make_config(method: str) -> Config:
    """The experiment."""
    sparsity = {
        "method": method,
        "density": DENSITY,
        "allocation": "erk",
        "rewire_every": GRADIENTS,
        "drop_fraction": DROP_FRACTION,
    }
    return freeze(
        {
            "data": {"validation": 1},
            "model": {"name": "lenet_300_100", "width": 300, "depth": 2},
            "sparsity": sparsity,
            "optimizer": {"learning_rate": RATE, "options": {"momentum": 0.9}},
            "steps": STEPS,
        }
    )


class Ours:
    """Rounds of a method, as `train.run` runs them; a call is one round."""

    def __init__(self, loaded: lanes.Loaded, method: str):
        """Prepares a method by its name."""
        config = make_config(method)
        trial = trials.single_trial(config, loaded.dataset)
        group = lanes.Group(config, trial, loaded)
        placed = sharding.placement(1, 1)
        self._round = group.programs(placed).round
        self._hyper = jax.tree.map(jnp.asarray, group.hyper([trial]))
        self._data = loaded.rows([0], 0), loaded.validation([0]), loaded.examples
        self._spec = lanes.make_spec(config, trial, loaded.dataset)
        self.state = group.init([trial], placed)

    def __call__(self) -> Any:
        """Does one round."""
        self.state, metrics = self._round(self._hyper, self.state, *self._data)
        return metrics.train_loss

    def rewire_alone(self) -> Callable[[], Any]:
        """The rewire at the end of a round, by itself."""
        hyper, state = jax.tree.map(lambda x: x[0], (self._hyper, self.state.train))

        @jax.jit
        def rewire(hyper: Any, state: Any, grads: Any) -> Any:
            algorithm = self._spec.algorithm(hyper.drop_fraction, hyper.rewire_until)
            transform = self._spec.optimizer(hyper.learning_rate, 0.0, hyper.steps)
            return step.rewire(jax.random.key(0), state, grads, algorithm, transform)

        grads = like_gradients(state.params)
        return lambda: rewire(hyper, state, grads)


class Plain:
    """The same network in JAX and optax alone; a call is 100 gradients.

    With a sparsity updater of jaxpruner, its two hooks are added.
    """

    def __init__(self, loaded: lanes.Loaded, *, scan: bool, updater: Any = None):
        """Prepares a loop.

        Args:
            loaded: the data.
            scan: one program of all gradients instead of one for each.
            updater: of jaxpruner.
        """
        model, scale = lenet_300_100(300, 2, 10), loaded.dataset.scale
        transform = optimizer.make(make_config("dense").optimizer, RATE, 0.0, STEPS)
        if updater is not None:
            transform = updater.wrap_optax(transform)

        def one(carry: Any, rows: Any, examples: Any) -> tuple[Any, Any]:
            params, opt_state = carry
            pixels = examples.inputs[rows].astype(jnp.float32) * (1 / scale)

            def mean_loss(params: Any) -> Any:
                logits, labels = model.apply(params, pixels), examples.labels[rows]
                loss = optax.softmax_cross_entropy_with_integer_labels
                return loss(logits, labels).mean()

            loss, grads = jax.value_and_grad(mean_loss)(params)
            updates, opt_state = transform.update(grads, opt_state, params)
            params = optax.apply_updates(params, updates)
            if updater is not None:
                params = updater.post_gradient_update(params, opt_state)
            return (params, opt_state), loss

        def scanned(carry: Any, rows: Any, examples: Any) -> tuple[Any, Any]:
            return jax.lax.scan(lambda c, r: one(c, r, examples), carry, rows)

        rows = loaded.rows([0], 0)[0]
        self._calls = [rows] if scan else list(rows)
        self._step = jax.jit(scanned if scan else one, donate_argnums=0)
        self._examples = loaded.examples
        self._updater = updater
        params = model.init(jax.random.key(0), jnp.zeros((1, 28, 28)))
        self.state = params, transform.init(params)
        if updater is not None:
            params = updater.post_gradient_update(*self.state)
            # Copied: the same buffer twice cannot be donated.
            self.state = jax.tree.map(jnp.array, (params, self.state[1]))

    def __call__(self) -> Any:
        """Does 100 gradients."""
        loss = None
        for rows in self._calls:
            self.state, loss = self._step(self.state, rows, self._examples)
        return loss

    def rewire_alone(self) -> Callable[[], Any]:
        """An update of jaxpruner's masks by itself."""
        update = jax.jit(self._updater.update_state)
        params, opt_state = self.state
        grads = like_gradients(params)
        return lambda: update(opt_state, params, grads)


def like_gradients(params: Any) -> Any:
    """Random numbers in the place of gradients."""
    return jax.tree.map(lambda p: jax.random.normal(jax.random.key(1), p.shape), params)


def measure(contenders: dict[str, Any], repeats: int) -> dict[str, list[float]]:
    """Milliseconds of every contender in every repeat, after two that do not count."""
    times: dict[str, list[float]] = {name: [] for name in contenders}
    order, shuffle = list(contenders), random.Random(0).shuffle
    for _ in range(repeats + 2):
        shuffle(order)
        for name in order:
            start = time.perf_counter()
            jax.block_until_ready(contenders[name]())
            times[name].append(1e3 * (time.perf_counter() - start))
    return {name: of_name[2:] for name, of_name in times.items()}


def ratios(times: Sequence[float], base: Sequence[float]) -> list[float]:
    """Repeat by repeat."""
    return [a / b for a, b in zip(times, base, strict=True)]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jaxpruner", metavar="PATH", help="a checkout of the peer")
    parser.add_argument("--repeats", type=int, default=40)
    parser.add_argument("--threads", choices=["1", "all"], default="1")
    args = parser.parse_args()

    config = make_config("dense")
    loaded = lanes.Loaded(config, random_dataset(60_000))
    runs: dict[str, Any] = {
        name: Ours(loaded, name) for name in ("dense", "static", "set", "rigl")
    }
    runs["dense, plain JAX"] = Plain(loaded, scan=True)
    if args.jaxpruner:
        for updates, every in (("RigL", GRADIENTS), ("no update", 10 * STEPS)):
            for form in ("loop", "scan"):
                updater = rigl_of_jaxpruner(
                    args.jaxpruner,
                    every=every,
                    sparsity=1 - DENSITY,
                    allocation="erk",
                    until=round(0.75 * STEPS),
                )
                run = Plain(loaded, scan=form == "scan", updater=updater)
                runs[f"jaxpruner {updates}, {form}"] = run
    else:
        print("jaxpruner is left out: --jaxpruner=PATH names no checkout of it.")
    times = measure(runs, args.repeats)
    for name, run in runs.items():
        assert np.isfinite(run()).all(), f"{name} diverged"

    print(f"{'':26}ms per 100   ratio to dense  [min, max]")
    for name, of_name in times.items():
        ratio = ratios(of_name, times["dense"])
        print(
            f"{name:26}{statistics.median(of_name):10.1f}"
            f"{statistics.median(ratio):17.2f}  [{min(ratio):.2f}, {max(ratio):.2f}]"
        )
    alone = {name: runs[name].rewire_alone() for name in ("rigl", "set")}
    if args.jaxpruner:
        alone["jaxpruner"] = runs["jaxpruner RigL, loop"].rewire_alone()
    for name, of_name in measure(alone, args.repeats).items():
        print(f"{'one rewire alone, ' + name:26}{statistics.median(of_name):10.2f}")

    value = statistics.median(ratios(times["rigl"], times["dense"]))
    print(f"A RigL round / dense steps: {value:.2f} (goal: at most 1.1)")
    if args.jaxpruner:
        for form in ("loop", "scan"):
            peer = ratios(times[f"jaxpruner RigL, {form}"], times["rigl"])
            value = statistics.median(peer)
            print(f"jaxpruner RigL, {form} / ours: {value:.2f} (goal: at least 2)")


if __name__ == "__main__":
    main()
