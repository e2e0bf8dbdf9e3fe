"""The contract of a model as checks: one call tests a model of yours.

    from sparse_search.testing import models

    def test_my_model():
        models.check(my_factory, example=(8, 8, 3), classes=4)

where `my_factory(width, depth, classes, **options)` returns a flax linen module, or an
nnx module in `sparse_search.models.nnx_adapter.NNX`, as it does when a config names it
as `config.model.name="package.module:my_factory"`.

A check raises an `AssertionError` that says which promise is broken. `CHECKS` lists
them one by one, for a test runner that reports them apart:

    @pytest.mark.parametrize("check", models.CHECKS)
    def test_contract(check):
        check(SUBJECT)  # testing.models.Subject(...), compiled once for all checks
"""

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.extend.core import Jaxpr, jaxprs_in_params

from sparse_search import algorithms, build, trees
from sparse_search.algorithms.base import MaskState
from sparse_search.masks import allocations
from sparse_search.names import natural
from sparse_search.testing.sparse_state import require, same_bits
from sparse_search.train import rounds, watch
from sparse_search.train.network import make_network
from sparse_search.train.step import begin
from sparse_search.types import Array, Params

_BATCH, _ROUND = 4, 2
_EXAMPLES = 16
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
        size = (_EXAMPLES, *example.shape)
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
        order = np.random.default_rng(1).permutation(_EXAMPLES)[: _ROUND * _BATCH]
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
        rows = jnp.stack([self.rows + i for i in order]) % _EXAMPLES
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


def check_shapes(subject: Subject) -> None:
    """Logits for every class; parameters in float32; kernels to be made sparse."""
    params, statistics = jax.eval_shape(subject.init, 0)
    logits = jax.eval_shape(subject.network.predict, params, statistics, subject.inputs)
    begins, ends = logits.shape[0] == _EXAMPLES, logits.shape[-1] == subject.classes
    require(
        len(logits.shape) > 1 and begins and ends,
        f"the output has the shape {logits.shape} for {_EXAMPLES} examples and "
        f"{subject.classes} classes",
    )
    require(logits.dtype == jnp.float32, f"the output is {logits.dtype}, not float32")
    for name, leaf in trees.named_leaves(params).items():
        require(leaf.dtype == jnp.float32, f"{name} is {leaf.dtype}, not float32")
    found = [n for n, p in trees.named_leaves(params).items() if len(p.shape) > 1]
    require(
        any(allocations.is_sparse(n, (1, 1)) for n in found),
        f"no parameter is a kernel that can be sparse; with two axes there are {found}",
    )


def check_names(subject: Subject) -> None:
    """The first kernel by the order of names is the first that the network uses."""
    params, statistics = jax.eval_shape(subject.init, 0)
    order = used(subject.network.predict, params, statistics, subject.inputs)
    sparse = [name for name in order if name in subject.sparse]
    missing = [name for name in subject.sparse if name not in sparse]
    require(not missing, f"the output does not depend on {', '.join(missing)}")
    first = min(sparse, key=natural)
    require(
        first == sparse[0],
        f"{sparse[0]} is used first, but {first} is the first by name; allocations "
        "and reports know the first layer by its name",
    )


def check_init(subject: Subject) -> None:
    """A seed always gives the same parameters, and another one others."""
    begun = trees.named_leaves(subject.begun[0])
    require(same_bits(subject.init(0), subject.begun), "a seed gave two networks")
    other = trees.named_leaves(subject.init(1)[0])
    for name in subject.sparse:
        differ = not same_bits(other[name], begun[name])
        require(differ, f"{name} is the same for two seeds")
        require(bool(np.any(begun[name])), f"{name} begins with zeros")


def check_outputs(subject: Subject) -> None:
    """Finite; without noise as it is used; in training it sees batches and noise."""
    used_, learned, statistics = subject.outputs(0)
    again, other, _ = subject.outputs(1)
    for what, logits in (("used", used_), ("trained", learned)):
        finite = bool(np.all(np.isfinite(logits)))
        require(finite, f"the logits are not finite when the model is {what}")
    require(same_bits(used_, again), "a key changed the logits of a model in use")
    noisy = not same_bits(learned, other)
    remembers = bool(jax.tree.leaves(statistics))
    moved = not same_bits(statistics, subject.begun[1])
    require(not remembers or moved, "statistics do not move in training")
    differ = not np.allclose(used_, learned, 1e-6, 1e-6)
    require(
        differ or not (noisy or remembers),
        "the model computes in use what it does in training: does `__call__` take "
        "`train`?",
    )


def check_round(subject: Subject) -> None:
    """A round of RigL trains every parameter and keeps every layer's number."""
    training = subject.training
    states, metrics = training.after
    for before, after, of_round in zip(training.states, states, metrics, strict=True):
        finite = np.isfinite([of_round.train_loss, of_round.valid_loss]).all()
        require(bool(finite), "the loss of a round is not finite")
        masks = trees.named_leaves(after.train.sparse.masks)
        old = trees.named_leaves(before.train.params)
        for name, new in trees.named_leaves(after.train.params).items():
            require(
                not same_bits(old[name], new),
                f"no gradient reaches {name}: a round left it as it was (a network as "
                "narrow as this may have dead neurons; try another width)",
            )
            if name not in training.counts:
                continue
            mask, count = np.asarray(masks[name]), training.counts[name]
            require(
                int(mask.sum()) == count,
                f"a round changed the number of weights of {name} from {count} to "
                f"{int(mask.sum())}",
            )
            require(not np.any(np.asarray(new)[~mask]), f"{name} is not 0 off its mask")


def check_lanes(subject: Subject) -> None:
    """A lane does not depend on its place, nor on its neighbour."""
    training = subject.training
    exchanged = training.run(training.states, (1, 0))
    require(
        same_bits(exchanged, training.after),
        "two lanes of a vmapped round came out otherwise in the other order",
    )


def check_compiles_once(subject: Subject) -> None:
    """Shapes and types of the state do not change, so nothing is compiled twice."""
    training = subject.training
    states, _ = training.after
    training.run(states, (0, 1))
    require(training.traces == 1, f"a round was traced {training.traces} times")


def check_precision(subject: Subject) -> None:
    """In bfloat16 products are of rounded copies; all that is kept is float32."""
    half = make_network(subject.module, "bfloat16")
    params, statistics = jax.eval_shape(subject.init, 0)
    key = jax.eval_shape(lambda: jax.random.key(0))

    def learned(params: Params, key: Any, statistics: Any) -> Any:
        logits, statistics = half.learn(key, params, statistics, subject.inputs)
        return jnp.sum(logits), (logits, statistics)

    grads, rest = jax.eval_shape(
        jax.grad(learned, has_aux=True), params, key, statistics
    )
    for path, leaf in trees.named_leaves((grads, *rest)).items():
        right = leaf.dtype == jnp.float32 or not jnp.issubdtype(leaf.dtype, np.floating)
        require(right, f"in bfloat16 {path} (gradients, logits) is {leaf.dtype}")
    program = jax.make_jaxpr(learned)(params, key, statistics).jaxpr
    whole = [str(t) for t in _products(program) if t != jnp.bfloat16]
    require(not whole, f"of the products in bfloat16, {len(whole)} are in {whole[:1]}")


def check_width(subject: Subject) -> None:
    """More width, more weights."""

    def size(width: int) -> int:
        made = subject.make(width, subject.depth, subject.classes, **subject.options)
        params = jax.eval_shape(
            lambda: make_network(made).init(
                jax.random.key(0), jnp.zeros_like(subject.inputs[:1])
            )
        )[0]
        return sum(
            math.prod(leaf.shape)
            for name, leaf in trees.named_leaves(params).items()
            if allocations.is_sparse(name, leaf.shape)
        )

    sizes = [size(subject.width), size(2 * subject.width)]
    require(
        sizes[0] < sizes[1],
        f"its kernels have {sizes[0]:,} entries at width {subject.width} and "
        f"{sizes[1]:,} at {2 * subject.width}; they must grow with the width",
    )


CHECKS: tuple[Callable[[Subject], None], ...] = (
    check_shapes,
    check_names,
    check_init,
    check_outputs,
    check_round,
    check_lanes,
    check_compiles_once,
    check_precision,
    check_width,
)


def check(
    make: Callable[..., Any] | str,
    example: tuple[int, ...] | jax.ShapeDtypeStruct,
    classes: int,
    *,
    width: int = 4,
    depth: int = 1,
    **options: Any,
) -> None:
    """Check everything that training relies on in a model.

    Takes some seconds, nearly all of it compilation: choose a small width and depth.

    Args:
        make: `(width, depth, classes, **options) -> module`, or its name in a config.
        example: the shape of one input, or its shape and type: whole numbers are
            tokens, below `classes`.
        classes: of the output.
        width: that it is tested at; it must take twice as much too.
        depth: likewise.
        **options: further arguments of the factory.

    Raises:
        AssertionError: a promise is broken; it says which.
        UserError: there is no model of that name.
    """
    found: Any = make
    if isinstance(make, str):
        found = build.factory("The model", make, build.MODELS)
    subject = Subject(found, example, classes, width=width, depth=depth, **options)
    for one in CHECKS:
        one(subject)


def used(f: Callable[..., Any], params: Params, *rest: Any) -> list[str]:
    """The names of parameters in the order in which a function first uses them."""
    program = jax.make_jaxpr(f)(params, *rest).jaxpr
    names = list(trees.named_leaves(params))
    order: dict[str, None] = {}
    _note(program, dict(zip(program.invars, names, strict=False)), order)
    return list(order)


def _note(program: Jaxpr, names: dict[Any, str], order: dict[str, None]) -> None:
    """Note uses; what only passes on a parameter, reshaped or rounded, is none."""
    for equation in program.eqns:
        given = [None if hasattr(v, "val") else names.get(v) for v in equation.invars]
        if not any(given):
            continue
        inner = list(jaxprs_in_params(equation.params))
        if inner:
            for one in inner:
                behind = len(equation.invars) - len(one.invars)
                pairs = zip(one.invars, given[max(behind, 0) :], strict=False)
                _note(one, {v: n for v, n in pairs if n}, order)
        elif len(equation.invars) == 1:
            names.update({v: n for v in equation.outvars for n in given if n})
        else:
            order.update({name: None for name in given if name})


def _products(program: Jaxpr) -> list[Any]:
    """The types of what is multiplied in matrix products and convolutions."""
    found = []
    for equation in program.eqns:
        if equation.primitive.name in ("dot_general", "conv_general_dilated"):
            found += [v.aval.dtype for v in equation.invars]  # pyright: ignore
        for inner in jaxprs_in_params(equation.params):
            found += _products(inner)
    return found
