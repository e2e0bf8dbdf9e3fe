"""What a search would do, said before it is done."""

import time

import jax
import jax.numpy as jnp

from sparse_search.config import Config
from sparse_search.search import executors
from sparse_search.search.driver import Plan
from sparse_search.train.trials import Trial


def describe(todo: Plan) -> list[str]:
    """The trials by group, a line each."""
    lines = [
        f"{len(todo.population.trials)} trials, {len(todo.pending)} of them to train, "
        f"in {len(todo.groups)} groups (one compilation each):"
    ]
    for group, members in todo.groups.items():
        lines.append(f"  {group}: {len(members)} trials")
        lines.extend(f"    {trial.name}" for trial in members)
    return lines


def _work(trial: Trial) -> int:
    """Multiply-adds of an example's forward pass, at the rate of dense products.

    Compressed layers reach about a quarter of it.
    """
    rooms = dict(trial.rooms)
    uses = trial.uses or (1,) * len(trial.sizes)
    return sum(
        min(4 * rooms.get(layer.name, layer.size), layer.size) * places
        for layer, places in zip(trial.layers, uses, strict=True)
    )


def estimate(config: Config, todo: Plan) -> float:
    """Seconds that a search would take, from its arithmetic and this machine's.

    A masked network computes as much as a dense one, 6 operations a multiply-add of
    its forward pass, example and step (what `auto` compresses is counted as masked);
    the rate is measured with one matrix product. Compilation is counted with 3 seconds
    a group, dispatch with 50 µs a step. Expect it to be right within a factor of two or
    three.
    """
    side = 512
    matrix = jnp.ones((side, side))
    multiply = jax.jit(lambda x: x @ x)
    multiply(matrix).block_until_ready()
    began = time.perf_counter()
    for _ in range(20):
        multiply(matrix).block_until_ready()
    rate = 20 * 2 * side**3 / (time.perf_counter() - began)
    flops = sum(6 * _work(trial) for trial in todo.pending)
    flops *= config.steps * config.batch_size
    dispatch = 5e-5 * config.steps * len(todo.pending)
    # Layers of small networks reach about half the rate of a large product.
    seconds = flops / (0.5 * rate) + dispatch + 3.0 * len(todo.groups)
    on_cpu = jax.default_backend() == "cpu"
    return seconds / executors.workers(config, jax.local_device_count(), on_cpu)
