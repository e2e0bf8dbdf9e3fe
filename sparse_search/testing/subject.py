"""An algorithm under test, and runs of it that check every step they make."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from sparse_search import algorithms
from sparse_search.algorithms.base import SparseAlgorithm, no_rewire
from sparse_search.masks.patterns import UNSTRUCTURED, Pattern
from sparse_search.testing.sparse_state import (
    belonging,
    check_new,
    check_sparse,
    mask_of,
    nnz_of,
    require,
    require_remainder,
    same_bits,
)
from sparse_search.train import step
from sparse_search.train.step import TrainState
from sparse_search.types import Counts, Params, Scalar

Make = Callable[..., SparseAlgorithm]
"""Takes by name any of drop_fraction, until, every, pattern, scope, loss and output."""

DROP_FRACTION = np.float32(0.3)
UNTIL = np.int32(1000)
EVERY = 3


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


def _loss(params: Params) -> Any:
    """A smooth scalar in which every entry has a gradient of its own."""
    leaves = enumerate(jax.tree.leaves(params), start=1)
    return sum(jnp.sum(jnp.sin(x * i) + x**2 / 3) for i, x in leaves)


def _output(params: Params) -> Any:
    """A network's output would be a product of its layers; this one is, too."""
    return jnp.prod(jnp.stack([jnp.sum(x) for x in jax.tree.leaves(params)]))


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
        make: `(drop fraction, step at which rewiring ends) -> algorithm`.
        params: dense parameters to start from.
        counts: non-zeros per layer to try, the ordinary case first.
        pattern: which masks are allowed.
        algorithm: the algorithm, its functions jitted, hyperparameters traced.
        traces: how often each of its functions was traced.
    """

    def __init__(
        self,
        make: Make,
        *,
        params: Params | None = None,
        counts: Sequence[Counts] | None = None,
        pattern: Pattern = UNSTRUCTURED,
        **options: Any,
    ):
        """Prepares an algorithm; nothing is compiled yet.

        Args:
            make: the algorithm's factory, as a config names it.
            params: the parameters to sparsify; by default `example_params()`.
            counts: a list of counts that the algorithm can reach, like `params` and
                None where a leaf stays dense; by default `example_counts(params)`.
            pattern: which masks are allowed.
            **options: further arguments of the factory.
        """
        self.pattern = pattern

        def made(fraction: Scalar, until: Scalar) -> SparseAlgorithm:
            return algorithms.complete(
                make,
                drop_fraction=fraction,
                until=until,
                every=EVERY,
                pattern=pattern,
                loss=_loss,
                output=_output,
                **options,
            )

        self.make = made
        self.params = example_params() if params is None else params
        self.counts = list(counts or example_counts(self.params))
        plain = self.make(DROP_FRACTION, UNTIL)
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
        return lambda *args: compiled(DROP_FRACTION, UNTIL, *args)

    def grads(self, seed: int) -> Params:
        """A dense gradient, without zeros or ties."""
        rng = np.random.default_rng(seed)
        return jax.tree.map(
            lambda p: jnp.asarray(rng.normal(size=p.shape), p.dtype), self.params
        )


class Run:
    """One run of a subject with one optimizer, from initialisation on.

    Attributes:
        state: where it is.
        counts: the non-zeros per layer that were asked for.
        update: `(state, grads) -> state`, the gradient step.
        compiled: how often the gradient step was traced.
    """

    def __init__(
        self,
        subject: Subject,
        transform: optax.GradientTransformation,
        counts: Counts | None = None,
        seed: int = 0,
        jit: bool = True,
    ):
        """Initialises the run.

        Args:
            subject: the algorithm.
            transform: the optimizer.
            counts: the non-zeros per layer; the subject's ordinary case if None.
            seed: of the masks and rewires.
            jit: whether to compile the gradient step as one program.
        """
        self.subject, self.transform = subject, transform
        self.key = jax.random.key(seed)

        self.compiled = 0

        def update(state: TrainState, grads: Params) -> TrainState:
            self.compiled += 1
            return step.apply_gradients(state, grads, subject.algorithm, transform)

        self.update = jax.jit(update) if jit else update
        counts = subject.counts[0] if counts is None else counts
        self.counts = counts
        self.state = self._begin(counts)
        # An entry that no mask ever held has the state of one that nothing happened
        # to: not always zero, since some optimizers add a constant at every step.
        zero = jax.tree.map(jnp.zeros_like, subject.params)
        self.idle = self._begin(counts)._replace(
            params=zero, opt_state=transform.init(zero)
        )
        self.ever = mask_of(self.state)

    def _begin(self, counts: Counts) -> TrainState:
        params, sparse = self.subject.algorithm.init(
            self.key, self.subject.params, counts
        )
        return step.begin(params, sparse, self.subject.algorithm, self.transform)

    def steps(self, number: int) -> None:
        """Gradient steps, with the checks of every step."""
        zero = jax.tree.map(jnp.zeros_like, self.subject.params)
        for _ in range(number):
            self.state = self.update(self.state, self.subject.grads(self._at))
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
        key = jax.random.fold_in(self.key, self._at)
        self.state, info = step.rewire(
            key,
            old,
            self.subject.grads(self._at),
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
        if conserves == "remainder":
            require_remainder(self.state, self.counts)

    @property
    def _at(self) -> int:
        return int(self.state.step)
