"""How much faster is a step of compressed training than a dense one?

The SET-MLP of Mocanu et al. 2018, 3072-4000-1000-4000-10, uniform density in the three
large layers and the last one dense, batch 128, SGD with momentum 0.9, all cores;
float32, but for ours whose activations are bfloat16 (weights, their gradients and the
optimizer stay float32). Ours are whole rounds of the program that the commands run: 100
gradients, the last of which feeds a rewire, with the metrics of a round. Contenders
take turns in one process, in an order that is shuffled for every repeat; a ratio is
taken within a repeat, and what is printed is the median over repeats, with its range.

    python benchmarks/compressed.py [--jaxpruner=PATH] [--prototype=DIR]

PATH is a checkout of https://github.com/google-research/jaxpruner; DIR holds another
kernel to compare with, as `reference.py` with `kernel.cpp`. PyTorch takes part where it
is installed. Each is left out otherwise.
"""

import argparse
import importlib
import random
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import allocator  # noqa: F401  before JAX
import jax
import jax.numpy as jnp
import numpy as np
import optax
from contenders import (
    Plain,
    Rounds,
    random_examples,
    random_rows,
    rigl_of_jaxpruner,
    uniform,
)

from sparse_search.sparse import native

SIZES, RATE = (3072, 4000, 1000, 4000, 10), 0.005
GRADIENTS = 100  # of a round; a call of the others makes fewer
FEW = 20
EXAMPLES = 4096
OURS = [("compressed", method, "float32") for method in ("static", "set", "rigl")]
OURS += [("compressed", method, "bfloat16") for method in ("set", "rigl")]
OURS += [("masked", "rigl", "float32")]


def prototype(folder: str, sparsity: float) -> Callable[[], None]:
    """Fixed topology in another kernel; a call is `FEW` gradients."""
    sys.path.insert(0, folder)
    peer = importlib.import_module("reference")
    if not hasattr(peer, "loaded"):
        peer.load()
        peer.loaded = True
    rng = np.random.default_rng(0)
    tile = 256 if sparsity < 0.985 else 4096
    index, params = [], []
    for a, b in zip(SIZES[:-2], SIZES[1:-1], strict=True):
        flat = np.flatnonzero(rng.random(a * b, dtype="f") < 1 - sparsity)
        index.append(peer.tiles(flat, a, b, tile)[0])
        scale = (2 / (a * (1 - sparsity))) ** 0.5
        values = jnp.asarray(rng.standard_normal(len(flat)) * scale, jnp.float32)
        params.append({"w": values, "b": jnp.zeros(b)})
    last = rng.standard_normal(SIZES[-2:]) * (2 / SIZES[-2]) ** 0.5
    params.append({"w": jnp.asarray(last, jnp.float32), "b": jnp.zeros(SIZES[-1])})
    transform, data = optax.sgd(RATE, 0.9), random_examples(EXAMPLES, SIZES[0])

    def one(carry: Any, rows: Any, index: Any, data: Any) -> Any:
        params, state = carry
        pixels = data.inputs[rows].astype(jnp.float32) * (1 / 255)

        def loss(params: Any) -> Any:
            h = pixels.T
            for i, (layer, arrays) in enumerate(zip(params[:-1], index, strict=True)):
                cfg = (tile, 1, int(i > 0))
                h = peer.sparse_dense(cfg, arrays, layer["w"], layer["b"], h)
            logits = (params[-1]["w"].T @ peer.relu_gate(h)).T + params[-1]["b"]
            return peer.cross_entropy(logits, data.labels[rows])

        updates, state = transform.update(jax.grad(loss)(params), state, params)
        return (optax.apply_updates(params, updates), state), None

    run = jax.jit(
        lambda carry, rows, index, data: jax.lax.scan(
            lambda c, r: one(c, r, index, data), carry, rows
        )[0],
        donate_argnums=0,
    )
    rows = random_rows(data, FEW)
    state = [(params, transform.init(params))]

    def call() -> None:
        state[0] = run(state[0], rows, index, data)
        jax.block_until_ready(state[0])

    return call


def torch_net(sparsity: float | None) -> Callable[[], None]:
    """PyTorch, dense or with the gradient masked; a call is `FEW` gradients."""
    torch = importlib.import_module("torch")
    torch.manual_seed(0)
    layers: list[Any] = []
    for a, b in zip(SIZES, SIZES[1:], strict=False):
        layers += [torch.nn.Linear(a, b), torch.nn.ReLU()]
    net = torch.nn.Sequential(*layers[:-1])
    sgd = torch.optim.SGD(net.parameters(), RATE, momentum=0.9)
    data = random_examples(EXAMPLES, SIZES[0])
    images = torch.from_numpy(np.array(data.inputs))
    labels = torch.from_numpy(np.array(data.labels)).long()
    rows = torch.from_numpy(np.array(random_rows(data, FEW)))
    masks = {}
    if sparsity is not None:
        for layer in layers[:-2:2]:
            mask = (torch.rand_like(layer.weight) > sparsity).float()
            layer.weight.data *= mask
            masks[layer] = mask

    def call() -> None:
        for some in rows:
            sgd.zero_grad()
            out = net(images[some].float() * (1 / 255))
            torch.nn.functional.cross_entropy(out, labels[some]).backward()
            for layer, mask in masks.items():
                layer.weight.grad *= mask
            sgd.step()

    return call


def measure(contenders: dict[str, Any], repeats: int) -> dict[str, list[float]]:
    """Milliseconds a gradient of every contender, repeat by repeat."""
    times: dict[str, list[float]] = {name: [] for name in contenders}
    order = list(contenders)
    for repeat in range(repeats + 1):
        random.Random(repeat).shuffle(order)
        for name in order:
            run = contenders[name]
            began = time.perf_counter()
            run()
            took = 1e3 * (time.perf_counter() - began)
            if repeat:  # the first call compiles
                times[name].append(took / getattr(run, "gradients", FEW))
    return times


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sparsity", default="0.8,0.9,0.95,0.99")
    parser.add_argument("--jaxpruner", metavar="PATH", help="a checkout of the peer")
    parser.add_argument("--prototype", metavar="DIR", help="another kernel")
    parser.add_argument("--repeats", type=int, default=7)
    args = parser.parse_args()
    print(f"kernel: {native.instruction_set()}; {jax.device_count()} device")
    try:
        importlib.import_module("torch")
        with_torch = True
    except ImportError:
        print("PyTorch is left out: it is not installed.")
        with_torch = False
    data = random_examples(EXAMPLES, SIZES[0])

    def plain(gradients: int = FEW, **options: Any) -> Plain:
        return Plain(SIZES, data, rate=RATE, gradients=gradients, **options)

    dense: dict[str, Any] = {"dense JAX": plain()}
    if with_torch:
        dense["dense PyTorch"] = torch_net(None)
    for sparsity in map(float, args.sparsity.split(",")):
        runs = dict(dense)
        counts = uniform(SIZES, sparsity)
        for form, method, precision in OURS:
            half = ", bfloat16" if precision == "bfloat16" else ""
            runs[f"ours, {form} {method}{half}"] = Rounds(
                method,
                SIZES,
                counts,
                data,
                compressed=form == "compressed",
                rate=RATE,
                gradients=GRADIENTS,
                precision=precision,
            )
        runs["masked JAX"] = plain(sparsity=sparsity)
        if with_torch:
            runs["masked PyTorch"] = torch_net(sparsity)
        if args.jaxpruner:
            updater = rigl_of_jaxpruner(
                args.jaxpruner, every=GRADIENTS, sparsity=sparsity
            )
            runs["jaxpruner RigL"] = plain(GRADIENTS, updater=updater)
        if args.prototype:
            runs["other kernel"] = prototype(args.prototype, sparsity)
        times = measure(runs, args.repeats)
        print(
            f"\n{sparsity:.0%} sparse"
            + " " * 22
            + "ms a step   dense JAX / it  [min, max]"
        )
        for name, of_name in times.items():
            base = times["dense JAX"]
            ratio = [a / b for a, b in zip(base, of_name, strict=True)]
            print(
                f"  {name:33}{statistics.median(of_name):8.2f}"
                f"{statistics.median(ratio):16.2f}  "
                f"[{min(ratio):.2f}, {max(ratio):.2f}]",
                flush=True,
            )


if __name__ == "__main__":
    main()
