"""How much faster is a step of compressed training than a dense one?

The SET-MLP of Mocanu et al. 2018, 3072-4000-1000-4000-10, uniform density in the three
large layers and the last one dense, batch 128, SGD with momentum 0.9, float32, all
cores. Ours are whole rounds of the program that the commands run: 100 gradients, the
last of which feeds a rewire, with the metrics of a round. Contenders take turns in one
process, in an order that is shuffled for every repeat; a ratio is taken within a
repeat, and what is printed is the median over repeats, with its range.

    python benchmarks/compressed.py [--jaxpruner=PATH] [--prototype=DIR]

PATH is a checkout of https://github.com/google-research/jaxpruner; DIR holds another
kernel to compare with, as `reference.py` with `kernel.cpp`. PyTorch takes part where it
is installed. Each is left out otherwise.
"""

import argparse
import ctypes
import importlib
import random
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

# As fast as the dense step can be: freed blocks stay mapped, so that large
# temporaries cost no page faults. Before JAX is imported.
_libc = ctypes.CDLL("libc.so.6")
for _option, _value in ((-4, 0), (-1, 2**31 - 1), (-2, 64 << 20)):
    _libc.mallopt(_option, _value)

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
import optax  # noqa: E402

from sparse_search import algorithms, trees  # noqa: E402
from sparse_search.models.mlp import MLP  # noqa: E402
from sparse_search.sparse import formats, native  # noqa: E402
from sparse_search.train import rounds  # noqa: E402

SIZES, BATCH, GRADIENTS = (3072, 4000, 1000, 4000, 10), 128, 100
RATE, STEPS = 0.005, 1_000_000
REPEATS = 7


def optimizer(rate: Any = RATE, decay: Any = 0.0, steps: Any = 0) -> Any:
    """SGD with momentum."""
    del decay, steps
    return optax.sgd(rate, momentum=0.9)


def examples() -> rounds.Examples:
    """Random images of CIFAR-10's size; time does not depend on them."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (4096, SIZES[0]), np.uint8)
    return rounds.Examples(jnp.asarray(images), jnp.asarray(rng.integers(0, 10, 4096)))


class Ours:
    """Rounds of a method; a call is one."""

    gradients = GRADIENTS

    def __init__(self, method: str, sparsity: float, *, compressed: bool):
        """Prepares the program."""
        model = MLP(SIZES[1:-1], SIZES[-1])
        make = algorithms.CONSTRUCTORS[method]
        layers = [f"params/Dense_{i}/kernel" for i in range(len(SIZES) - 2)]
        shapes = dict(zip(layers, zip(SIZES, SIZES[1:], strict=False), strict=False))
        counts = {k: round((1 - sparsity) * a * b) for k, (a, b) in shapes.items()}
        if compressed:  # all weights of the last layer: products are faster here too
            last = f"params/Dense_{len(SIZES) - 2}/kernel"
            shapes[last] = SIZES[-2], SIZES[-1]
            counts[last] = SIZES[-2] * SIZES[-1]
        rooms = tuple(
            (k, formats.room(counts[k], a * b)) for k, (a, b) in shapes.items()
        )
        spec = rounds.Spec(
            model=model,
            algorithm=lambda fraction, until, **_: algorithms.complete(
                make, drop_fraction=fraction, until=until
            ),
            optimizer=optimizer,
            round_steps=GRADIENTS,
            scale=255.0,
            rooms=rooms if compressed else (),
        )
        train = rounds.make_train(spec)
        self._examples = examples()
        params = train.shapes(self._examples)
        leaves = trees.named_leaves(params)
        tree = jax.tree.unflatten(
            jax.tree.structure(params),
            [np.int32(counts[k]) if k in counts else None for k in leaves],
        )
        self._hyper = rounds.Hyper(0, RATE, 0.0, 0.3, STEPS, STEPS, tree)
        self._round = jax.jit(train.round, donate_argnums=1)
        key = jax.random.key(0)
        self._rows = jax.random.randint(key, (GRADIENTS, BATCH), 0, 4096)
        weights = train.weights(0, self._examples)
        self.state = jax.jit(train.init)(
            self._hyper, weights, self._rows[0], self._examples
        )

    def __call__(self) -> None:
        """One round."""
        valid = jnp.zeros(1, jnp.int32)
        self.state, metrics = self._round(
            self._hyper, self.state, self._rows, valid, self._examples
        )
        jax.block_until_ready(metrics)


class Plain:
    """The dense network in JAX and optax alone, in a scan; with a mask, masked.

    A call is 20 gradients. The mask is on the gradient only: the fastest way.
    """

    gradients = 20

    def __init__(self, sparsity: float | None = None, updater: Any = None):
        """Prepares the program; `updater` is one of jaxpruner."""
        model, data = MLP(SIZES[1:-1], SIZES[-1]), examples()
        transform = optimizer() if updater is None else updater.wrap_optax(optimizer())
        params = model.init(jax.random.key(0), jnp.zeros((1, SIZES[0])))
        masks = None
        if sparsity is not None:
            masks = jax.tree.map(
                lambda p: (
                    jax.random.uniform(jax.random.key(1), p.shape) > sparsity
                    if p.ndim == 2 and p.shape[1] > 10
                    else None
                ),
                params,
            )
            params = trees.apply_masks(params, masks)

        def one(carry: Any, rows: Any, data: Any) -> Any:
            params, state = carry
            pixels = data.images[rows].astype(jnp.float32) * (1 / 255)

            def loss(params: Any) -> Any:
                logits, labels = model.apply(params, pixels), data.labels[rows]
                each = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
                return each.mean()

            grads = jax.grad(loss)(params)
            if masks is not None:
                grads = trees.apply_masks(grads, masks)
            updates, state = transform.update(grads, state, params)
            params = optax.apply_updates(params, updates)
            if updater is not None:
                params = updater.post_gradient_update(params, state)
            return params, state

        key = jax.random.key(0)
        self._rows = jax.random.randint(key, (self.gradients, BATCH), 0, 4096)
        self._data = data
        self._loop = updater is not None  # as its users run it
        if self._loop:
            self._run = jax.jit(one, donate_argnums=0)
        else:
            self._run = jax.jit(
                lambda carry, rows, data: jax.lax.scan(
                    lambda c, r: (one(c, r, data), None), carry, rows
                )[0],
                donate_argnums=0,
            )
        self.state = jax.tree.map(jnp.array, (params, transform.init(params)))

    def __call__(self) -> None:
        """20 gradients."""
        for rows in self._rows if self._loop else [self._rows]:
            self.state = self._run(self.state, rows, self._data)
        jax.block_until_ready(self.state)


def jaxpruner_rigl(path: str, sparsity: float) -> Plain:
    """RigL of jaxpruner, an update every 100 gradients, in a Python loop."""
    sys.path.insert(0, path)
    # It uses what JAX no longer has: None in a tree where the others have leaves.
    jax.tree_map = lambda f, tree, *rest, **_: jax.tree_util.tree_map(  # type: ignore
        lambda x, *xs: None if x is None else f(x, *xs),
        tree,
        *rest,
        is_leaf=lambda x: x is None,
    )
    jaxpruner = importlib.import_module("jaxpruner")
    config = importlib.import_module("ml_collections").ConfigDict(
        {
            "algorithm": "rigl",
            "update_freq": GRADIENTS,
            "update_start_step": 0,
            "update_end_step": STEPS,
            "sparsity": sparsity,
            "dist_type": "uniform",
            "drop_fraction": 0.3,
        }
    )
    plain = Plain(updater=jaxpruner.create_updater_from_config(config))
    plain.gradients = GRADIENTS
    plain._rows = jnp.tile(plain._rows, (5, 1))
    return plain


def prototype(folder: str, sparsity: float) -> Callable[[], None]:
    """Fixed topology in another kernel; a call is 20 gradients."""
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
    transform, data = optimizer(), examples()

    def one(carry: Any, rows: Any, index: Any, data: Any) -> Any:
        params, state = carry
        pixels = data.images[rows].astype(jnp.float32) * (1 / 255)

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
    rows = jax.random.randint(jax.random.key(0), (20, BATCH), 0, 4096)
    state = [(params, transform.init(params))]

    def call() -> None:
        state[0] = run(state[0], rows, index, data)
        jax.block_until_ready(state[0])

    return call


def torch_net(sparsity: float | None) -> Callable[[], None]:
    """PyTorch, dense or with the gradient masked; a call is 20 gradients."""
    torch = importlib.import_module("torch")
    torch.manual_seed(0)
    layers: list[Any] = []
    for a, b in zip(SIZES, SIZES[1:], strict=False):
        layers += [torch.nn.Linear(a, b), torch.nn.ReLU()]
    net = torch.nn.Sequential(*layers[:-1])
    sgd = torch.optim.SGD(net.parameters(), RATE, momentum=0.9)
    data = examples()
    images = torch.from_numpy(np.array(data.images))
    labels = torch.from_numpy(np.array(data.labels)).long()
    rows = torch.randint(0, 4096, (20, BATCH))
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
                times[name].append(took / getattr(run, "gradients", 20))
    return times


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sparsity", default="0.8,0.9,0.95,0.99")
    parser.add_argument("--jaxpruner", metavar="PATH", help="a checkout of the peer")
    parser.add_argument("--prototype", metavar="DIR", help="another kernel")
    parser.add_argument("--repeats", type=int, default=REPEATS)
    args = parser.parse_args()
    print(f"kernel: {native.instruction_set()}; {jax.device_count()} device")
    try:
        importlib.import_module("torch")
        with_torch = True
    except ImportError:
        print("PyTorch is left out: it is not installed.")
        with_torch = False
    dense: dict[str, Any] = {"dense JAX": Plain()}
    if with_torch:
        dense["dense PyTorch"] = torch_net(None)
    for sparsity in map(float, args.sparsity.split(",")):
        runs = dict(dense)
        for method in ("static", "set", "rigl"):
            name = f"ours, compressed {method}"
            runs[name] = Ours(method, sparsity, compressed=True)
        runs["ours, masked rigl"] = Ours("rigl", sparsity, compressed=False)
        runs["masked JAX"] = Plain(sparsity)
        if with_torch:
            runs["masked PyTorch"] = torch_net(sparsity)
        if args.jaxpruner:
            runs["jaxpruner RigL"] = jaxpruner_rigl(args.jaxpruner, sparsity)
        if args.prototype:
            runs["other kernel"] = prototype(args.prototype, sparsity)
        times = measure(runs, args.repeats)
        print(
            f"\n{sparsity:.0%} sparse            ms a step   dense JAX / it  [min, max]"
        )
        for name, of_name in times.items():
            base = times["dense JAX"]
            ratio = [a / b for a, b in zip(base, of_name, strict=True)]
            print(
                f"  {name:24}{statistics.median(of_name):8.2f}"
                f"{statistics.median(ratio):16.2f}  "
                f"[{min(ratio):.2f}, {max(ratio):.2f}]",
                flush=True,
            )


if __name__ == "__main__":
    main()
