"""How near are a compressed layer's products to what the machine can do?

A layer of 3072×4000 weights, batch 128, float32, all cores: the forward product with
bias and ReLU, and the backward pass (gradients of the input, through a ReLU, and of the
weights). Beside each, the time below which no program can come: its multiply-adds at
the rate of a large dense product of JAX here, or its bytes (weights, indices,
activations, each once) at the rate at which an array of 8 MB is copied, whichever is
more.
Contenders take turns; medians.

    python benchmarks/layer.py [--shape=3072,4000] [--batch=128]

The last columns are the forward product in JAX alone: of the dense weights of masked
training; of compressed ones where there is no kernel; and with those blocks of 32×32
multiplied that hold a weight.
"""

import argparse
import random
import statistics
import time
from collections.abc import Callable
from typing import Any
from unittest import mock

import allocator  # noqa: F401  before JAX
import jax
import jax.numpy as jnp
import numpy as np

from sparse_search.sparse import formats, native, products

REPEATS = 15
SIDE = 2048
COPIED = 2**21  # floats, that stay in cache as a layer does


def machine() -> tuple[float, float]:
    """Operations a second of a matrix product, and bytes a second of a copy."""
    a, big = jnp.ones((SIDE, SIDE)), jnp.zeros(COPIED)
    multiply, copy = jax.jit(lambda a: a @ a), jax.jit(lambda x: x + 1)
    times = measure({"product": lambda: multiply(a), "copy": lambda: copy(big)})
    return 2e3 * SIDE**3 / times["product"], 8e3 * COPIED / times["copy"]


def measure(calls: dict[str, Callable[[], Any]]) -> dict[str, float]:
    """Median milliseconds of every call, taken in turns."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    order = list(calls)
    for repeat in range(REPEATS + 1):
        random.Random(repeat).shuffle(order)
        for name in order:
            began = time.perf_counter()
            jax.block_until_ready(calls[name]())
            if repeat:  # the first compiles
                times[name].append(1e3 * (time.perf_counter() - began))
    return {name: statistics.median(found) for name, found in times.items()}


def passes(layer: products.Layer, x: Any, dy: Any) -> dict[str, Callable[[], Any]]:
    """The products of a layer, forward and backward."""
    forward = jax.jit(lambda layer, x: products.chain([layer], x, relu=True))

    @jax.jit
    def backward(layer: Any, x: Any, g: Any) -> Any:
        return products._backward(
            layer.topology, layer.values, x, g, need_dx=True, gated=True
        )

    return {
        "forward": lambda: forward(layer, x),
        "backward": lambda: backward(layer, x, dy),
    }


def masked(layer: products.Layer, x: Any) -> Callable[[], Any]:
    """Forward, with the dense weights of masked training."""
    weights = formats.to_dense(layer.topology, layer.values)
    forward = jax.jit(lambda w, b, x: jax.nn.relu(w.T @ x + b[:, None]))
    return lambda: forward(weights, layer.bias, x)


def in_blocks(layer: products.Layer, x: Any) -> Callable[[], Any] | None:
    """Forward, with those blocks of 32×32 that hold a weight; None if nearly all do."""
    mask = np.asarray(formats.to_mask(layer.topology))
    inputs, neurons = (-(-n // 32) * 32 for n in mask.shape)
    padded = np.zeros((inputs, neurons), np.float32)
    padded[: mask.shape[0], : mask.shape[1]] = formats.to_dense(
        layer.topology, layer.values
    )
    some = padded.reshape(inputs // 32, 32, neurons // 32, 32).any((1, 3))
    if some.mean() > 0.9:
        return None
    row, column = np.nonzero(some)
    blocks = padded.reshape(inputs // 32, 32, neurons // 32, 32)[row, :, column]
    x = jnp.pad(x, ((0, inputs - len(x)), (0, 0))).reshape(inputs // 32, 32, -1)

    @jax.jit
    def forward(blocks: Any, bias: Any, x: Any) -> Any:
        made = jnp.einsum("kio,kib->kob", blocks, x[row])
        y = jax.ops.segment_sum(made, column, neurons // 32).reshape(neurons, -1)
        return jax.nn.relu(y[: len(bias)] + bias[:, None])

    return lambda: forward(jnp.asarray(blocks), layer.bias, x)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shape", default="3072,4000")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--sparsity", default="0.8,0.9,0.95,0.99,0.999,0.9999")
    args = parser.parse_args()
    inputs, neurons = map(int, args.shape.split(","))
    rate, bandwidth = machine()
    print(
        f"kernel: {native.instruction_set()}; dense product {rate / 1e9:.0f} GFLOP/s, "
        f"copy {bandwidth / 1e9:.0f} GB/s"
    )
    print(f"{inputs}×{neurons}, batch {args.batch}; milliseconds")
    columns = "forward", "limit", "of it", "backward", "limit", "of it"
    others = "masked", "no kernel", "blocks"
    print("sparsity" + "".join(f"{name:>10}" for name in (*columns, *others)))
    rng = np.random.default_rng(0)
    for sparsity in map(float, args.sparsity.split(",")):
        nnz = round((1 - sparsity) * inputs * neurons)
        places = rng.choice(inputs * neurons, nnz, replace=False, shuffle=False)
        topology, _ = formats.from_positions(
            *np.divmod(places, neurons), (inputs, neurons)
        )
        values = jnp.asarray(rng.standard_normal(topology.capacity), jnp.float32)
        layer = products.Layer(topology, values, jnp.zeros(neurons))
        x, dy = (
            jnp.asarray(rng.standard_normal((n, args.batch)), jnp.float32)
            for n in (inputs, neurons)
        )
        calls: dict[str, Any] = passes(layer, x, dy)
        with mock.patch.object(native, "usable", lambda: False):
            calls["no kernel"] = passes(layer, x, dy)["forward"]
            jax.block_until_ready(calls["no kernel"]())  # traced here
        calls["masked"] = masked(layer, x)
        if blocks := in_blocks(layer, x):
            calls["blocks"] = blocks
        found = measure(calls)
        index = topology.outs.dtype.itemsize + topology.perm.dtype.itemsize
        rows = 4 * args.batch
        work = {
            "forward": (2, nnz * (4 + index) + rows * (inputs + neurons)),
            "backward": (
                4,
                nnz * (8 + topology.outs.dtype.itemsize)
                + rows * (2 * inputs + neurons),
            ),
        }
        line = f"{sparsity:8.2%}"
        for name, (operations, moved) in work.items():
            limit = 1e3 * max(operations * nnz * args.batch / rate, moved / bandwidth)
            line += f"{found[name]:10.3f}{limit:10.3f}{limit / found[name]:10.0%}"
        for name in others:
            line += f"{found[name]:10.3f}" if name in found else f"{'–':>10}"
        print(line, flush=True)


if __name__ == "__main__":
    main()
