"""The contract of a sparse algorithm as checks: one call tests an algorithm of yours.

    from sparse_search.testing.algorithms import check_algorithm

    def test_contract():
        check_algorithm(my_factory)

where `my_factory` returns the algorithm, as it does when a config names it as
`method="package.module:my_factory"`. It takes by name what it needs of `drop_fraction`,
`until`, `every`, `pattern`, `scope`, `loss` and `output`.

A check raises an `AssertionError` that says which promise of `algorithms.base` is
broken. `CHECKS` lists them one by one, for a test runner that reports them apart:

    @pytest.mark.parametrize("check", CHECKS)
    def test_contract(check):
        check(SUBJECT)  # testing.subject.Subject(make), compiled once for all checks
"""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from sparse_search.masks.patterns import UNSTRUCTURED, Pattern
from sparse_search.testing.programs import round_jaxpr, scope_outside_cond
from sparse_search.testing.sparse_state import (
    check_sparse,
    layers,
    mask_of,
    nnz_of,
    require,
    require_remainder,
    same_bits,
)
from sparse_search.testing.subject import DROP_FRACTION, UNTIL, Make, Run, Subject
from sparse_search.train import optimizer as optimizers
from sparse_search.train.checkpoint import Checkpoints, Saved
from sparse_search.types import Counts, Params

NOT_WALKED = {"lbfgs": "its update evaluates the loss, beyond the gradient"}
"""Optimizers that `check_optimizers` leaves out, and why."""

_ARGUMENTS: dict[str, dict[str, Any]] = {"noisy_sgd": {"key": 0}}


def check_init(subject: Subject) -> None:
    """Masks hold exactly `counts`, and the first forward pass is already sparse."""
    for counts in subject.counts:
        for seed in range(2):
            state = Run(subject, optax.sgd(0.1), counts, seed).state
            masks = mask_of(state)
            if not masks:
                continue  # dense training
            asked = {n: int(c) for n, c in layers(counts).items() if c is not None}
            found = nnz_of(state)
            conserves = subject.algorithm.conserves
            right = found == asked
            if conserves in ("end", "total_end"):
                right = all(found[name] >= count for name, count in asked.items())
            if conserves == "total":
                right = sum(found.values()) == sum(asked.values())
            if conserves == "remainder":
                require_remainder(state, counts)
                right = True
            require(right, f"init was asked for {asked} and made {found}")
            check_sparse(subject.algorithm, state)


def check_training(subject: Subject) -> None:
    """Conservation, zeros off the mask and resets, through steps and rewires."""
    for counts in subject.counts:
        run = Run(subject, optax.adamw(0.05), counts)
        nnz = nnz_of(run.state)
        for _ in range(2):
            run.steps(3)
            run.rewire()
        run.steps(2)
        if subject.algorithm.conserves == "layer":
            require(nnz_of(run.state) == nnz, f"training changed nnz from {nnz}")


def check_end(subject: Subject) -> None:
    """Where layers lose weights, they have exactly `counts` from the last rewire on."""
    conserves = subject.algorithm.conserves
    if conserves not in ("end", "total_end"):
        return
    for counts in subject.counts:
        asked = {n: int(c) for n, c in layers(counts).items() if c is not None}
        state = Run(subject, optax.sgd(0.1), counts).state
        key = jax.random.key(1)
        made = subject.make(DROP_FRACTION, 7)
        params, sparse = made.init(jax.random.key(0), subject.params, counts)
        for number in range(8):  # a rewire at every third gradient, before step 7
            grads = subject.grads(number)
            if number % 3 == 2 and number < 7:
                params, sparse, _ = made.rewire(key, params, grads, sparse)
            else:
                _, sparse = made.filter_grads(grads, params, sparse)
        found = nnz_of(state._replace(params=params, sparse=sparse))
        right = found == asked
        if conserves == "total_end":
            right = sum(found.values()) == sum(asked.values())
        require(right, f"training ended with {found} instead of {asked}")


def check_optimizers(subject: Subject) -> None:
    """The same with every optimizer of optax that takes a learning rate."""
    for name in optimizers.names():
        if name in NOT_WALKED:
            continue
        arguments = {"learning_rate": 0.05, **_ARGUMENTS.get(name, {})}
        # Not jitted: operations are compiled once for all, not once an optimizer.
        run = Run(subject, getattr(optax, name)(**arguments), jit=False)
        try:
            run.steps(2)
            run.rewire()
            run.steps(1)
        except AssertionError as error:
            raise AssertionError(f"with optax.{name}, {error}") from None


def check_seeds(subject: Subject) -> None:
    """One key always gives one mask; where gradients are equal, keys grow differently.

    An algorithm that may grow nothing at a rewire, and does, draws nothing and passes;
    so does one that declares that it does not draw.
    """
    if not subject.rewires:
        return
    state = Run(subject, optax.sgd(0.1)).state
    equal = jax.tree.map(jnp.zeros_like, subject.params)

    def rewired(seed: int) -> tuple[dict[str, np.ndarray], int]:
        key = jax.random.key(seed)
        _, sparse, info = subject.algorithm.rewire(
            key, state.params, equal, state.sparse
        )
        grown = sum(int(number) for number in jax.tree.leaves(info.grown))
        return mask_of(state._replace(sparse=sparse)), grown

    masks, grown = rewired(0)
    require(same_bits(rewired(0)[0], masks), "one key gave two different masks")
    conserves = subject.algorithm.conserves
    chosen = grown and conserves in ("total", "remainder")
    if subject.algorithm.draws and (conserves == "layer" or chosen):
        differ = any(not same_bits(rewired(seed)[0], masks) for seed in (1, 2, 3))
        require(differ, "four keys grew the same connections from equal scores")


def check_compiles_once(subject: Subject) -> None:
    """Shapes and types of the state never change, so nothing is compiled twice."""
    run = Run(subject, optax.sgd(0.1, momentum=0.9))
    for _ in range(2):
        run.steps(2)
        run.rewire()
    run.steps(1)
    again = {name: number for name, number in subject.traces.items() if number > 1}
    require(not again, f"traced more than once: {again}")
    number = run.compiled
    require(number == 1, f"the gradient step was compiled {number} times")


def check_restored(subject: Subject) -> None:
    """A state that was saved to a checkpoint and restored goes on to the same bits."""
    run = Run(subject, optax.adam(0.05))
    run.steps(2)
    run.rewire()
    run.steps(1)
    saved = run.state
    with tempfile.TemporaryDirectory() as folder:
        checkpoints = Checkpoints(Path(folder))
        checkpoints.save(saved, Saved(1, 0.0, ["trial"]))
        checkpoints.close()
        found = checkpoints.restore(jax.eval_shape(lambda: saved), ["trial"])
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
        Run(subject, optax.identity(), c, seed).state for seed, c in enumerate(counts)
    ]
    keys = jnp.stack([jax.random.key(seed) for seed in range(len(counts))])
    fractions = np.full(len(counts), DROP_FRACTION)
    grads = subject.grads(0)

    def init(fraction: Any, key: Any, counts: Counts) -> Any:
        return subject.make(fraction, UNTIL).init(key, subject.params, counts)

    def rewire(fraction: Any, key: Any, params: Params, sparse: Any) -> Any:
        return subject.make(fraction, UNTIL).rewire(key, params, grads, sparse)

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
    check_end,
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
    pattern: Pattern = UNSTRUCTURED,
) -> None:
    """Check everything that training relies on in a sparse algorithm.

    Takes about ten seconds, nearly all of it compilation.

    Args:
        make: takes by name what it needs of drop_fraction and until, both maybe
            traced, every, pattern, scope, loss and output.
        params: the parameters to sparsify; by default two small layers.
        counts: a list of non-zeros per layer that the algorithm can reach, like
            `params` and None where a leaf stays dense; by default a third of every
            matrix, one weight in each, and all.
        pattern: which masks are allowed.

    Raises:
        AssertionError: a promise of `algorithms.base` is broken; it says which.
    """
    subject = Subject(make, params=params, counts=counts, pattern=pattern)
    for check in CHECKS:
        check(subject)
