"""A model under test, and rounds of two lanes of it that are trained."""

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from sparse_search import algorithms, build, trees
from sparse_search.algorithms.base import MaskState
from sparse_search.masks import allocations
from sparse_search.names import natural
from sparse_search.train import rounds, watch
from sparse_search.train.network import make_network
from sparse_search.train.step import begin
from sparse_search.types import Array, Params

_BATCH, _ROUND = 4, 2
EXAMPLES = 16
_DENSITY = 0.5
_RIGL = build.ALGORITHMS["rigl"]


class Subject:
    """A model under test, with the few programs that all checks share."""

    def __init__(
        self,
        make: Callable[..., Any],
        example: tuple[int, ...] | jax.ShapeDtypeStruct,
        classes: int,
        *,
        width: int = 4,
        depth: int = 1,
        **options: Any,
    ):
        """Prepares a model; nothing is compiled yet.

        Args:
            make: `(width, depth, classes, **options) -> module`.
            example: the shape of one input, or its shape and type: whole numbers are
                tokens, below `classes`.
            classes: of the output.
            width: that it is tested at; it must take twice as much too.
            depth: likewise.
            **options: further arguments of the factory.
        """
        if not isinstance(example, jax.ShapeDtypeStruct):
            example = jax.ShapeDtypeStruct(tuple(example), jnp.float32)
        self.example, self.classes = example, classes
        self.tokens = jnp.issubdtype(example.dtype, jnp.integer)
        self.make, self.width, self.depth = make, width, depth
        self.options = options
        self.module = make(width, depth, classes, **options)
        self.network = make_network(self.module)
        rng = np.random.default_rng(0)
        size = (EXAMPLES, *example.shape)
        drawn = rng.integers(0, classes, size) if self.tokens else rng.normal(size=size)
        self.inputs = jnp.asarray(drawn, example.dtype)
        self._rng = rng

    @functools.cached_property
    def init(self) -> Callable[..., tuple[Params, Any]]:
        """Parameters and statistics of a seed."""
        one = jnp.zeros_like(self.inputs[:1])
        return jax.jit(lambda seed: self.network.init(jax.random.key(seed), one))

    @functools.cached_property
    def begun(self) -> tuple[Params, Any]:
        """Parameters and statistics of seed 0."""
        return self.init(0)

    @functools.cached_property
    def outputs(self) -> Callable[..., Any]:
        """Logits as the model is used, and with statistics as it learns, of a key."""

        def both(key: Any, params: Params, statistics: Any) -> Any:
            batch = self.inputs[:_BATCH]
            used = self.network.predict(params, statistics, batch)
            return used, *self.network.learn(key, params, statistics, batch)

        compiled = jax.jit(both)
        return lambda seed: compiled(jax.random.key(seed), *self.begun)

    @functools.cached_property
    def labels(self) -> Array:
        """Random labels, one an example or one a position."""
        shape = jax.eval_shape(self.network.predict, *self.begun, self.inputs).shape
        return jnp.asarray(self._rng.integers(0, self.classes, shape[:-1]), jnp.int32)

    @functools.cached_property
    def sparse(self) -> dict[str, tuple[int, ...]]:
        """The kernels that are sparsified, by name."""
        return {
            name: leaf.shape
            for name, leaf in trees.named_leaves(self.begun[0]).items()
            if allocations.is_sparse(name, leaf.shape)
        }

    @functools.cached_property
    def training(self) -> "_Training":
        """Rounds of RigL over two lanes."""
        return _Training(self)


class _Training:
    """Two lanes that are trained for a round, in either order."""

    def __init__(self, subject: Subject):
        self.examples = rounds.Examples(subject.inputs, subject.labels)
        train = rounds.make_train(
            rounds.Spec(
                model=subject.module,
                algorithm=lambda fraction, until, **probes: algorithms.complete(
                    _RIGL, drop_fraction=fraction, until=until
                ),
                optimizer=lambda rate, decay, steps: optax.sgd(rate),
                round_steps=_ROUND,
                scale=None if subject.tokens else 1.0,
            )
        )
        self.traces = 0

        def counted(*args: Any) -> Any:
            self.traces += 1
            return jax.vmap(train.round, in_axes=(0, 0, 0, 0, None))(*args)

        self.round = jax.jit(counted)
        # Of all kernels one is made sparse: rewires take most of the compilation.
        order = sorted(subject.sparse, key=natural)
        name = order[len(order) // 2]
        self.counts = {name: max(round(_DENSITY * math.prod(subject.sparse[name])), 1)}
        params, _ = subject.begun
        treedef = jax.tree.structure(params)
        counts = jax.tree.unflatten(
            treedef,
            [
                np.int32(self.counts[name]) if name in self.counts else None
                for name in trees.named_leaves(params)
            ],
        )
        self.hypers, self.states = [], []
        for seed in range(2):
            hyper = rounds.Hyper(
                seed=np.int32(seed),
                learning_rate=np.float32(0.05),
                weight_decay=np.float32(0.0),
                drop_fraction=np.float32(0.3),
                steps=np.int32(100),
                rewire_until=np.int32(100),
                counts=counts,
            )
            self.hypers.append(hyper)
            self.states.append(_masked(subject.init(seed), counts, seed))
        order = np.random.default_rng(1).permutation(EXAMPLES)[: _ROUND * _BATCH]
        self.rows = jnp.asarray(order.reshape(_ROUND, _BATCH))

    @functools.cached_property
    def after(self) -> tuple[Any, Any]:
        """Lanes 0 and 1 after a round: states, metrics."""
        return self.run(self.states, (0, 1))

    def run(self, states: list[Any], order: tuple[int, int]) -> tuple[Any, Any]:
        """A round of the lanes in some order; the results are in that of the seeds."""
        hyper, state = (
            jax.tree.map(lambda *xs: jnp.stack(xs), *[of[i] for i in order])
            for of in (self.hypers, states)
        )
        rows = jnp.stack([self.rows + i for i in order]) % EXAMPLES
        valid = jnp.broadcast_to(jnp.arange(_BATCH), (2, _BATCH))
        done = self.round(hyper, state, rows, valid, self.examples)
        lanes = [jax.tree.map(lambda x, lane=lane: x[lane], done) for lane in (0, 1)]
        made = [lanes[order.index(seed)] for seed in (0, 1)]
        return [one[0] for one in made], [one[1] for one in made]


def _masked(drawn: tuple[Params, Any], counts: Any, seed: int) -> rounds.RunState:
    """A run before its first step, with random masks."""
    params, statistics = jax.device_get(drawn)
    rng = np.random.default_rng(seed)

    def mask(count: Any, param: Any) -> Any:
        return rng.permutation(param.size).reshape(param.shape) < count

    masks = trees.map_sparse(mask, counts, params)
    sparse = MaskState(masks, jnp.int32(0))
    params = trees.apply_masks(params, masks)
    rigl = algorithms.complete(_RIGL)
    state = begin(params, sparse, rigl, optax.sgd(0.1), statistics)
    return rounds.RunState(state, watch.begin(jax.random.key(seed), masks))
