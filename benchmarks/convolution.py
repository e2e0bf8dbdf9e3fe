"""How much faster is a step of a compressed convolution than of a masked one?

Outputs, both gradients and a momentum update, of single layers with the inputs that
they have in residual networks (batch 128, float32, all cores), against the same in XLA
with the gradient masked. The two take turns; ratios are taken within a turn, and what
is printed is their median, with the range.

    python benchmarks/convolution.py [--precision=bfloat16] [--repeats=7]
"""

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import allocator  # noqa: F401  before JAX
import jax
import jax.numpy as jnp
import numpy as np

from sparse_search.sparse import formats, native
from sparse_search.sparse.layers import TOPOLOGY, Conv

BATCH = 128
# Window, stride, channels, neurons, pixels of a side.
LAYERS = (
    (3, 1, 16, 16, 32),
    (3, 1, 32, 32, 16),
    (3, 1, 64, 64, 8),
    (3, 1, 128, 128, 16),
    (3, 1, 256, 256, 8),
    (3, 2, 64, 128, 16),
    (1, 1, 256, 64, 16),
    (1, 2, 256, 512, 16),
)


def step(layer: Conv, topology: Any, mask: Any) -> Callable[..., Any]:
    """One update of a layer's weights; compressed where there is no mask."""

    def loss(kernel: Any, x: Any) -> Any:
        variables = {"params": {"kernel": kernel}}
        if mask is None:
            variables[TOPOLOGY] = {"kernel": topology}
        return jnp.sum(layer.apply(variables, x).astype(jnp.float32) ** 2)

    @jax.jit
    def update(kernel: Any, momentum: Any, x: Any) -> Any:
        seen = kernel if mask is None else kernel.astype(x.dtype)
        made, dx = jax.grad(loss, (0, 1))(seen, x)
        made = made.astype(jnp.float32)
        made = made if mask is None else jnp.where(mask, made, 0)
        momentum = 0.9 * momentum + made
        return kernel - 1e-3 * momentum, momentum, dx

    return update


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sparsity", default="0.8,0.9,0.95,0.99")
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--repeats", type=int, default=7)
    args = parser.parse_args()
    print(f"kernel: {native.instruction_set()}; {args.precision}")
    rng = np.random.default_rng(0)
    for window, stride, channels, neurons, side in LAYERS:
        layer = Conv(
            neurons,
            (window, window),
            (stride, stride),
            padding=(window - 1) // 2,
            use_bias=False,
        )
        shape = (BATCH, side, side, channels)
        x = jnp.asarray(rng.standard_normal(shape), args.precision)
        print(f"{window}×{window}/{stride}, {channels} → {neurons}, {side}×{side}")
        for sparsity in map(float, args.sparsity.split(",")):
            mask = rng.random((window, window, channels, neurons)) >= sparsity
            topology = formats.from_mask(mask)
            values = jnp.asarray(rng.standard_normal(topology.capacity), jnp.float32)
            weights = formats.to_dense(topology, values).reshape(mask.shape)
            contenders = (
                (step(layer, topology, None), values),
                (step(layer, None, jnp.asarray(mask)), weights),
            )
            times: list[list[float]] = [[], []]
            for repeat in range(args.repeats + 1):
                for found, (run, kernel) in zip(times, contenders, strict=True):
                    began = time.perf_counter()
                    jax.block_until_ready(run(kernel, kernel, x))
                    if repeat:  # the first compiles
                        found.append(1e3 * (time.perf_counter() - began))
            ratio = [b / a for a, b in zip(*times, strict=True)]
            one, other = map(statistics.median, times)
            print(
                f"  {sparsity:.0%}: {one:8.2f} ms, masked {other:8.2f} ms, "
                f"{statistics.median(ratio):5.2f} times as fast "
                f"[{min(ratio):.2f}, {max(ratio):.2f}]",
                flush=True,
            )


if __name__ == "__main__":
    main()
