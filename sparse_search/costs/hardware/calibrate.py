"""Measure a CPU for `cpu`: seconds of a dense product, a copy, and the kernel.

Contenders take turns, and the fastest of their repeats counts: what else runs on the
machine only makes slower. The kernel is measured at several densities; a weight's and a
number's seconds are the fit of least squares of the relative errors, neither negative.
"""

import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from scipy.optimize import nnls

from sparse_search.costs.hardware.cpu import Calibration, Kernel, to_json
from sparse_search.errors import UserError
from sparse_search.sparse import formats, native, products

_REPEATS = 7
_SIDE = 1024  # of the dense product
_COPIED = 2**25  # floats, more than caches hold
_SHAPE = (2048, 2048)
_EXAMPLES = 128
_DENSITIES = (0.2, 0.05, 0.01, 0.001)

Call = Callable[[], Any]


def calibrate(out: Path) -> Calibration:
    """Measure this machine's CPU, with the threads that JAX has here.

    Args:
        out: where to write the result, as JSON.

    Raises:
        UserError: JAX does not compute on a CPU, or there is no native kernel.
    """
    if not native.usable():
        raise UserError(
            "There is nothing to calibrate: the native kernel is for CPUs, and it is "
            "not built here, or JAX computes on another device."
        )
    a, long = jnp.ones((_SIDE, _SIDE)), jnp.zeros(_COPIED)
    multiply, copy = jax.jit(lambda a: a @ a), jax.jit(lambda x: x + 1)
    calls: dict[Any, Call] = {
        "product": lambda: multiply(a),
        "copy": lambda: copy(long),
    }
    work = {}
    for density in _DENSITIES:
        forward, backward, nnz = _layer(density)
        calls["forward", density], calls["backward", density] = forward, backward
        work[density] = nnz * _EXAMPLES, sum(_SHAPE) * _EXAMPLES
    seconds = _fastest(calls)
    amounts = np.array(list(work.values()), float)

    def kernel(which: str) -> Kernel:
        times = np.array([seconds[which, density] for density in work])
        return fit(amounts, times)

    found = Calibration(
        machine=_machine(),
        flops=2 * _SIDE**3 / seconds["product"],
        bandwidth=2 * 4 * _COPIED / seconds["copy"],
        forward=kernel("forward"),
        backward=kernel("backward"),
    )
    out.write_text(to_json(found))
    return found


def fit(
    amounts: Float[np.ndarray, "cases 2"], seconds: Float[np.ndarray, " cases"]
) -> Kernel:
    """Seconds of a multiply-add and of a number, from cases with some of each."""
    scaled = amounts / seconds[:, None]
    # Of one size, so that the solver's tolerance suits both.
    size = scaled.max(axis=0)
    found, _ = nnls(scaled / size, np.ones(len(seconds)))
    return Kernel(*(float(x) for x in found / size))


def _layer(density: float) -> tuple[Call, Call, int]:
    """A random layer's two passes, and its weights."""
    rng = np.random.default_rng(0)
    size = _SHAPE[0] * _SHAPE[1]
    nnz = round(density * size)
    places = rng.choice(size, nnz, replace=False, shuffle=False)
    topology, _ = formats.from_positions(*np.divmod(places, _SHAPE[1]), _SHAPE)
    values = jnp.asarray(rng.standard_normal(topology.capacity), jnp.float32)
    bias = jnp.zeros(_SHAPE[1])
    x, g = (
        jnp.asarray(rng.standard_normal((n, _EXAMPLES)), jnp.float32) for n in _SHAPE
    )

    def forward(values: Any, x: Any) -> Any:
        return products.product(topology, values, bias, x)

    def backward(values: Any, x: Any, g: Any) -> Any:
        # Linear, so that the forward pass is not needed and left out.
        return jax.vjp(forward, values, x)[1](g)

    one, other = jax.jit(forward), jax.jit(backward)
    return lambda: one(values, x), lambda: other(values, x, g), nnz


def _fastest(calls: dict[Any, Call]) -> dict[Any, float]:
    times: dict[Any, list[float]] = {name: [] for name in calls}
    for repeat in range(_REPEATS + 1):
        for name, call in calls.items():
            began = time.perf_counter()
            jax.block_until_ready(call())
            if repeat:  # the first compiles
                times[name].append(time.perf_counter() - began)
    return {name: min(found) for name, found in times.items()}


def _machine() -> str:
    threads = int(os.environ.get("NPROC") or os.cpu_count() or 1)
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        lines = info.read_text().splitlines()
        models = [ln.split(":", 1)[1] for ln in lines if ln.startswith("model name")]
        name = " ".join(models[0].split()) if models else name
    number = "one thread" if threads == 1 else f"{threads} threads"
    return f"{number} of {name} ({native.instruction_set()})"
