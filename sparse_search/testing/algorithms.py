"""The contract of a sparse algorithm as checks: one call tests an algorithm of yours.

    from sparse_search.testing.algorithms import check_algorithm

    def test_contract():
        check_algorithm(lambda drop_fraction, until: my_algorithm(drop_fraction))

A check raises an `AssertionError` that says which promise of `algorithms.base` is
broken. `CHECKS` lists them one by one, for a test runner that reports them apart:

    @pytest.mark.parametrize("check", CHECKS)
    def test_contract(check):
        check(SUBJECT)  # Subject(make); what it has compiled is shared by the checks
"""

import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from sparse_search.algorithms.base import SparseAlgorithm, no_rewire
from sparse_search.testing.programs import round_jaxpr, scope_outside_cond
from sparse_search.testing.sparse_state import (
    belonging,
    check_new,
    check_sparse,
    layers,
    mask_of,
    nnz_of,
    require,
    same_bits,
)
from sparse_search.train import optimizer as optimizers
from sparse_search.train import step
from sparse_search.train.checkpoint import Checkpoints, Saved
from sparse_search.train.step import TrainState
from sparse_search.types import Counts, Params, Scalar

Make = Callable[[Scalar, Scalar], SparseAlgorithm]
"""`(drop fraction, step at which rewiring ends) -> algorithm`, as in `build`."""

NOT_WALKED = {"lbfgs": "its update evaluates the loss, beyond the gradient"}
"""Optimizers that `check_optimizers` leaves out, and why."""

_ARGUMENTS: dict[str, dict[str, Any]] = {"noisy_sgd": {"key": 0}}
_DROP_FRACTION = np.float32(0.3)
_UNTIL = np.int32(1000)


def example_params() -> Params:
    """A convolution and a dense layer, small and of odd shapes, with a bias."""
    normal = np.random.default_rng(0).normal
    return {
        "params": {
            "Conv_0": {"kernel": jnp.asarray(normal(size=(3, 1, 2, 5)), jnp.float32)},
            "Dense_0": {
                "kernel": jnp.asarray(normal(size=(7, 6)), jnp.float32),
                "bias": jnp.asarray(normal(size=6), jnp.float32),
            },
        }
    }


def example_counts(params: Params) -> list[Counts]:
    """A third of every matrix; one weight in each; all of them."""

    def counts(of: Callable[[int], int]) -> Counts:
        return jax.tree.map(
            lambda p: np.int32(of(p.size)) if p.ndim > 1 else None, params
        )

    return [counts(lambda n: n // 3), counts(lambda n: 1), counts(lambda n: n)]


class Subject:
    """An algorithm under test, with the few programs that all checks share.

    Attributes:
        make: what it is made by.
        params: dense parameters to start from.
        counts: non-zeros per layer to try, the ordinary case first.
        algorithm: the algorithm, its functions jitted, hyperparameters traced.
        traces: how often each of its functions was traced.
    """

    def __init__(
        self,
        make: Make,
        *,
        params: Params | None = None,
        counts: Sequence[Counts] | None = None,
    ):
        """Prepares an algorithm; nothing is compiled yet.

        Args:
            make: takes the drop fraction and the step at which rewiring ends, both
                maybe traced; an algorithm may ignore either.
            params: the parameters to sparsify; by default `example_params()`.
            counts: a list of counts that the algorithm can reach, like `params` and
                None where a leaf stays dense; by default `example_counts(params)`.
        """
        self.make = make
        self.params = example_params() if params is None else params
        self.counts = list(counts or example_counts(self.params))
        plain = make(_DROP_FRACTION, _UNTIL)
        self.rewires = plain.rewire is not no_rewire
        self.traces: Counter[str] = Counter()
        self.algorithm = plain._replace(
            init=self._jit("init"), filter_grads=self._jit("filter_grads")
        )
        if self.rewires:
            self.algorithm = self.algorithm._replace(rewire=self._jit("rewire"))

    def _jit(self, name: str) -> Callable[..., Any]:
        def traced(fraction: Any, until: Any, *args: Any) -> Any:
            self.traces[name] += 1
            return getattr(self.make(fraction, until), name)(*args)

        compiled = jax.jit(traced)
        return lambda *args: compiled(_DROP_FRACTION, _UNTIL, *args)

    def grads(self, seed: int) -> Params:
        """A dense gradient, without zeros or ties."""
        rng = np.random.default_rng(seed)
        return jax.tree.map(
            lambda p: jnp.asarray(rng.normal(size=p.shape), p.dtype), self.params
        )


class _Run:
    """One run of a subject with one optimizer, from initialisation on."""

    def __init__(
        self,
        subject: Subject,
        transform: optax.GradientTransformation,
        counts: Counts | None = None,
        seed: int = 0,
        jit: bool = True,
    ):
        self.subject, self.transform = subject, transform
        self.key = jax.random.key(seed)

        def update(state: TrainState, grads: Params) -> TrainState:
            return step.apply_gradients(state, grads, subject.algorithm, transform)

        self.update = jax.jit(update) if jit else update
        counts = subject.counts[0] if counts is None else counts
        self.state = self.begin(counts)
        # An entry that no mask ever held has the state of one that nothing happened
        # to: not always zero, since some optimizers add a constant at every step.
        zero = jax.tree.map(jnp.zeros_like, subject.params)
        self.idle = self.begin(counts)._replace(
            params=zero, opt_state=transform.init(zero)
        )
        self.ever = mask_of(self.state)

    def begin(self, counts: Counts) -> TrainState:
        params, sparse = self.subject.algorithm.init(
            self.key, self.subject.params, counts
        )
        return TrainState(params, self.transform.init(params), sparse, jnp.int32(0))

    def steps(self, number: int) -> None:
        """Gradient steps, with the checks of every step."""
        zero = jax.tree.map(jnp.zeros_like, self.subject.params)
        for _ in range(number):
            self.state = self.update(self.state, self.subject.grads(self.at))
            self.idle = self.update(self.idle, zero)
            check_sparse(self.subject.algorithm, self.state)
        idle = belonging(self.idle.opt_state, self.subject.params)
        for layer, name, found in belonging(self.state.opt_state, self.subject.params):
            if layer in self.ever:
                off = ~self.ever[layer]
                expected = next(x for _, n, x in idle if n == name)
                require(
                    same_bits(found[off], expected[off]),
                    f"the optimizer state {name} moved off the mask",
                )

    def rewire(self) -> None:
        """One rewire, with the checks of what it dropped and grew."""
        old, nnz = self.state, nnz_of(self.state)
        key = jax.random.fold_in(self.key, self.at)
        self.state, info = step.rewire(
            key,
            old,
            self.subject.grads(self.at),
            self.subject.algorithm,
            self.transform,
        )
        check_sparse(self.subject.algorithm, self.state)
        check_new(old, self.state, info, self.transform)
        self.ever = {n: m | mask_of(self.state)[n] for n, m in self.ever.items()}
        conserves, now = self.subject.algorithm.conserves, nnz_of(self.state)
        if conserves == "layer":
            require(now == nnz, f"a rewire changed nnz per layer from {nnz} to {now}")
        if conserves == "total":
            before, after = sum(nnz.values()), sum(now.values())
            require(before == after, f"a rewire changed nnz from {before} to {after}")

    @property
    def at(self) -> int:
        return int(self.state.step)


def check_init(subject: Subject) -> None:
    """Masks hold exactly `counts`, and the first forward pass is already sparse."""
    for counts in subject.counts:
        for seed in range(2):
            state = _Run(subject, optax.sgd(0.1), counts, seed).state
            masks = mask_of(state)
            if not masks:
                continue  # dense training
            asked = {n: int(c) for n, c in layers(counts).items() if c is not None}
            found = nnz_of(state)
            require(found == asked, f"init was asked for {asked} and made {found}")
            check_sparse(subject.algorithm, state)


def check_training(subject: Subject) -> None:
    """Conservation, zeros off the mask and resets, through steps and rewires."""
    for counts in subject.counts:
        run = _Run(subject, optax.adamw(0.05), counts)
        nnz = nnz_of(run.state)
        for _ in range(2):
            run.steps(3)
            run.rewire()
        run.steps(2)
        if subject.algorithm.conserves == "layer":
            require(nnz_of(run.state) == nnz, f"training changed nnz from {nnz}")


def check_optimizers(subject: Subject) -> None:
    """The same with every optimizer of optax that takes a learning rate."""
    for name in optimizers.names():
        if name in NOT_WALKED:
            continue
        arguments = {"learning_rate": 0.05, **_ARGUMENTS.get(name, {})}
        # Not jitted: operations are compiled once for all, not once an optimizer.
        run = _Run(subject, getattr(optax, name)(**arguments), jit=False)
        try:
            run.steps(2)
            run.rewire()
            run.steps(1)
        except AssertionError as error:
            raise AssertionError(f"with optax.{name}, {error}") from None


def check_seeds(subject: Subject) -> None:
    """One key always gives one mask; where scores are equal, keys grow differently."""
    if not subject.rewires:
        return
    state = _Run(subject, optax.sgd(0.1)).state
    equal = jax.tree.map(jnp.zeros_like, subject.params)

    def rewired(seed: int) -> dict[str, np.ndarray]:
        key = jax.random.key(seed)
        _, sparse, _ = subject.algorithm.rewire(key, state.params, equal, state.sparse)
        return mask_of(state._replace(sparse=sparse))

    masks = rewired(0)
    require(same_bits(rewired(0), masks), "one key gave two different masks")
    if subject.algorithm.conserves != "nothing":
        differ = any(not same_bits(rewired(seed), masks) for seed in (1, 2, 3))
        require(differ, "four keys grew the same connections from equal scores")


def check_compiles_once(subject: Subject) -> None:
    """Shapes and types of the state never change, so nothing is compiled twice."""
    run = _Run(subject, optax.sgd(0.1, momentum=0.9))
    for _ in range(2):
        run.steps(2)
        run.rewire()
    run.steps(1)
    again = {name: number for name, number in subject.traces.items() if number > 1}
    require(not again, f"traced more than once: {again}")
    traced = run.update._cache_size()
    require(traced == 1, f"the gradient step was compiled {traced} times")


def check_restored(subject: Subject) -> None:
    """A state that was saved to a checkpoint and restored goes on to the same bits."""
    run = _Run(subject, optax.adam(0.05))
    run.steps(2)
    run.rewire()
    run.steps(1)
    saved = run.state
    with tempfile.TemporaryDirectory() as folder:
        checkpoints = Checkpoints(Path(folder))
        checkpoints.save(saved, Saved(1, [], 0.0))
        checkpoints.close()
        found = checkpoints.restore(jax.eval_shape(lambda: saved))
        checkpoints.close()
    require(found is not None, "the checkpoint was not found")
    run.steps(1)
    run.rewire()
    run.steps(1)
    uninterrupted, run.state = run.state, found[0] if found else saved
    run.steps(1)
    run.rewire()
    run.steps(1)
    require(same_bits(run.state, uninterrupted), "a restored run ended otherwise")


def check_lanes(subject: Subject) -> None:
    """Under `vmap` over seeds, counts and hyperparameters, lanes are single runs."""
    counts = [c for c in subject.counts for _ in range(2)]
    singles = [
        _Run(subject, optax.identity(), c, seed).state for seed, c in enumerate(counts)
    ]
    keys = jnp.stack([jax.random.key(seed) for seed in range(len(counts))])
    fractions = np.full(len(counts), _DROP_FRACTION)
    grads = subject.grads(0)

    def init(fraction: Any, key: Any, counts: Counts) -> Any:
        return subject.make(fraction, _UNTIL).init(key, subject.params, counts)

    def rewire(fraction: Any, key: Any, params: Params, sparse: Any) -> Any:
        return subject.make(fraction, _UNTIL).rewire(key, params, grads, sparse)

    begun = jax.jit(jax.vmap(init))(fractions, keys, _stack(counts))
    expected = [(state.params, state.sparse) for state in singles]
    _check_lanes("init", expected, begun)
    if subject.rewires:
        lanes = jax.jit(jax.vmap(rewire))(fractions, keys, *_stack(expected))
        expected = [
            subject.algorithm.rewire(key, params, grads, sparse)
            for key, (params, sparse) in zip(keys, expected, strict=True)
        ]
        _check_lanes("rewire", expected, lanes)


def _stack(trees_: Sequence[Any]) -> Any:
    return jax.tree.map(lambda *xs: jnp.stack([jnp.asarray(x) for x in xs]), *trees_)


def _check_lanes(what: str, singles: Sequence[Any], lanes: Any) -> None:
    for number, single in enumerate(singles):
        lane = jax.tree.map(lambda x, number=number: x[number], lanes)
        require(same_bits(lane, single), f"lane {number} of {what} is no single run")


def check_rounds(subject: Subject) -> None:
    """Under `vmap` nothing of a rewire runs in a round that does not rewire."""
    if not subject.rewires:
        return
    inside, outside = scope_outside_cond(*round_jaxpr(subject.make))
    require(inside > 0, "a round of training never rewires")
    require(
        outside == 0,
        f"{outside} operations of the rewire run in every round: a `cond` is missing",
    )


CHECKS: tuple[Callable[[Subject], None], ...] = (
    check_init,
    check_training,
    check_optimizers,
    check_seeds,
    check_compiles_once,
    check_restored,
    check_lanes,
    check_rounds,
)


def check_algorithm(
    make: Make,
    *,
    params: Params | None = None,
    counts: Sequence[Counts] | None = None,
) -> None:
    """Check everything that training relies on in a sparse algorithm.

    Takes about ten seconds, nearly all of it compilation.

    Args:
        make: takes the drop fraction and the step at which rewiring ends, both maybe
            traced; an algorithm may ignore either.
        params: the parameters to sparsify; by default two small layers.
        counts: a list of non-zeros per layer that the algorithm can reach, like
            `params` and None where a leaf stays dense; by default a third of every
            matrix, one weight in each, and all.

    Raises:
        AssertionError: a promise of `algorithms.base` is broken; it says which.
    """
    subject = Subject(make, params=params, counts=counts)
    for check in CHECKS:
        check(subject)
