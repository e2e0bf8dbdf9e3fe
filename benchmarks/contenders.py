"""What the benchmarks compare: rounds of our programs on MLPs, plain JAX, jaxpruner.

A contender is called to train some gradients; `gradients` says how many.
"""

import importlib
import sys
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from ml_collections import ConfigDict

from sparse_search import algorithms, trees
from sparse_search.models.mlp import MLP
from sparse_search.sparse import formats
from sparse_search.train import rounds

BATCH = 128
STEPS = 1_000_000  # of the schedules: the drop fraction stays at its start
DROP_FRACTION = 0.3


def random_examples(
    number: int, pixels: int, bright: float = 1.0, classes: int = 10
) -> rounds.Examples:
    """Random images, of which a part is not zero; no time depends on more of them."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (number, pixels), np.uint8)
    if bright < 1:
        images *= rng.random(images.shape, np.float32) < bright
    labels = rng.integers(0, classes, number)
    return rounds.Examples(jnp.asarray(images), jnp.asarray(labels))


def kernels(sizes: Sequence[int]) -> dict[str, tuple[int, int]]:
    """Names and shapes of an MLP's kernels."""
    shapes = zip(sizes, sizes[1:], strict=False)
    return {f"params/Dense_{i}/kernel": shape for i, shape in enumerate(shapes)}


def uniform(sizes: Sequence[int], sparsity: float) -> dict[str, int]:
    """Non-zeros of an MLP whose layers are equally sparse, but for a dense last one."""
    *others, _ = kernels(sizes).items()
    return {name: round((1 - sparsity) * a * b) for name, (a, b) in others}


class Rounds:
    """Rounds of a method on an MLP, as the commands train it; a call is one."""

    def __init__(
        self,
        method: str,
        sizes: Sequence[int],
        counts: dict[str, int],
        data: rounds.Examples,
        *,
        compressed: bool,
        rate: float,
        gradients: int,
        precision: str = "float32",
    ):
        """Prepares the program.

        Args:
            method: a name in `algorithms.CONSTRUCTORS`.
            sizes: inputs, neurons of every hidden layer, outputs.
            counts: the nnz of every sparse layer.
            data: the examples.
            compressed: whether the sparse layers store their weights alone.
            rate: the learning rate of SGD with momentum 0.9.
            gradients: of a round.
            precision: what layers compute with.
        """
        rooms = tuple(
            (name, formats.room(counts[name], a * b))
            for name, (a, b) in kernels(sizes).items()
            if name in counts
        )
        make = algorithms.CONSTRUCTORS[method]
        train = rounds.make_train(
            rounds.Spec(
                model=MLP(tuple(sizes[1:-1]), sizes[-1]),
                algorithm=lambda fraction, until, **_: algorithms.complete(
                    make, drop_fraction=fraction, until=until
                ),
                optimizer=lambda rate, decay, steps: optax.sgd(rate, momentum=0.9),
                round_steps=gradients,
                scale=255.0,
                rooms=rooms if compressed else (),
                precision=precision,
            )
        )
        params = train.shapes(data)
        numbers = [
            np.int32(counts[name]) if name in counts else None
            for name in trees.named_leaves(params)
        ]
        tree = jax.tree.unflatten(jax.tree.structure(params), numbers)
        self.gradients = gradients
        self._data = data
        self._hyper = rounds.Hyper(0, rate, 0.0, DROP_FRACTION, STEPS, STEPS, tree)
        self._rows = random_rows(data, gradients)
        self._round = jax.jit(train.round, donate_argnums=1)
        weights = jax.jit(train.weights)(0, data)
        self.state = jax.jit(train.init)(self._hyper, weights, self._rows[0], data)

    def __call__(self) -> None:
        """One round."""
        valid = jnp.zeros(1, jnp.int32)
        self.state, metrics = self._round(
            self._hyper, self.state, self._rows, valid, self._data
        )
        jax.block_until_ready(metrics)


class Plain:
    """An MLP in JAX and optax alone; a call is some gradients in one scan.

    With a sparsity, its gradient is masked: the fastest way to train a masked network.
    With an updater of jaxpruner, its two hooks are added, and the loop is Python's, as
    its users run it.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        data: rounds.Examples,
        *,
        rate: float,
        gradients: int,
        sparsity: float | None = None,
        updater: Any = None,
    ):
        """Prepares the program."""
        model, transform = MLP(tuple(sizes[1:-1]), sizes[-1]), optax.sgd(rate, 0.9)
        if updater is not None:
            transform = updater.wrap_optax(transform)
        params = model.init(jax.random.key(0), jnp.zeros((1, sizes[0])))
        masks = None
        if sparsity is not None:
            draw = lambda p: jax.random.uniform(jax.random.key(1), p.shape) > sparsity  # noqa: E731
            masks = jax.tree.map(
                lambda p: draw(p) if p.ndim == 2 and p.shape[1] > 10 else None, params
            )
            params = trees.apply_masks(params, masks)

        def one(carry: Any, rows: Any, data: Any) -> Any:
            params, state = carry
            pixels = data.inputs[rows].astype(jnp.float32) * (1 / 255)

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

        def scanned(carry: Any, rows: Any, data: Any) -> Any:
            return jax.lax.scan(lambda c, r: (one(c, r, data), None), carry, rows)[0]

        rows = random_rows(data, gradients)
        self.gradients = gradients
        self._data = data
        self._calls = [rows] if updater is None else list(rows)
        self._run = jax.jit(scanned if updater is None else one, donate_argnums=0)
        # Copied: the same buffer twice cannot be donated.
        self.state = jax.tree.map(jnp.array, (params, transform.init(params)))

    def __call__(self) -> None:
        """Some gradients."""
        for rows in self._calls:
            self.state = self._run(self.state, rows, self._data)
        jax.block_until_ready(self.state)


def random_rows(data: rounds.Examples, gradients: int) -> jax.Array:
    """Which examples some gradients see: [gradients, batch]."""
    shape = gradients, BATCH
    return jax.random.randint(jax.random.key(0), shape, 0, len(data.labels))


def rigl_of_jaxpruner(
    path: str,
    *,
    every: int,
    sparsity: float,
    allocation: str = "uniform",
    until: int = STEPS,
) -> Any:
    """RigL of a checkout of jaxpruner, as its users make it.

    Args:
        path: the checkout.
        every: gradients from one update to the next.
        sparsity: of all layers together.
        allocation: "uniform" or "erk".
        until: the last gradient that feeds an update.
    """
    # It calls `jax.tree_map`, which is gone, and needs it as lenient as it was: None
    # in the first tree where the others hold a leaf.
    jax.tree_map = lambda f, tree, *rest, **_: jax.tree.map(  # type: ignore
        lambda x, *xs: None if x is None else f(x, *xs),
        tree,
        *rest,
        is_leaf=lambda x: x is None,
    )
    if path not in sys.path:
        sys.path.insert(0, path)
    options = {
        "algorithm": "rigl",
        "dist_type": allocation,
        "sparsity": sparsity,
        "drop_fraction": DROP_FRACTION,
        "update_freq": every,
        "update_start_step": 1,
        "update_end_step": until,
    }
    jaxpruner = importlib.import_module("jaxpruner")
    return jaxpruner.create_updater_from_config(ConfigDict(options))
