"""Sparse training in one line of someone else's loop: an optax transformation.

    tx = sparsify(optax.adam(1e-3), algorithms.rigl(0.3), density=0.1,
                  rewire_every=100, rewire_until=7500)
    state = tx.init(params)
    params = apply_masks(params, state)             # once, before the first step
    grads = jax.grad(loss)(view(params, state))     # the identity for most algorithms
    updates, state = tx.update(grads, state, params)
    params = optax.apply_updates(params, updates)

Every `rewire_every`-th gradient feeds a rewire and makes no weight update, as in our
own training (`train.rounds`). Dropped weights move to zero through the update.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from sparse_search import trees
from sparse_search.algorithms import Make
from sparse_search.algorithms.base import SparseAlgorithm
from sparse_search.errors import UserError, nearest
from sparse_search.keys import subkey
from sparse_search.masks import allocations
from sparse_search.train import step
from sparse_search.train.gate import cond_over_lanes
from sparse_search.types import Array, Counts, Int, Masks, Params, Scalar

_NEVER = 2**31 - 1


class SparsifyState(NamedTuple):
    """The state of a sparse optimizer.

    Attributes:
        opt_state: of the optimizer within; as new off the masks.
        sparse: the algorithm's state, with the masks.
        step: gradients so far, those of rewires included.
        seed: of masks and rewires.
        view: the algorithm's view, a function of parameters and `sparse`.
    """

    opt_state: Any
    sparse: Any
    step: Int[Array, ""]
    seed: Int[Array, ""]
    view: jax.tree_util.Partial


def sparsify(
    optimizer: optax.GradientTransformation,
    algorithm: Make | SparseAlgorithm,
    *,
    density: float | None = None,
    nnz: int | None = None,
    counts: Counts | Mapping[str, Scalar] | None = None,
    allocation: str = "erk",
    sparse: Callable[[str, tuple[int, ...]], bool] = allocations.is_sparse,
    rewire_every: int = 100,
    rewire_until: Scalar | None = None,
    seed: Scalar = 0,
) -> optax.GradientTransformationExtraArgs:
    """Train sparsely with any optimizer of optax.

    Args:
        optimizer: makes the weight updates.
        algorithm: of `sparse_search.algorithms`, or your own.
        density: nnz over the size of all sparse leaves; or
        nnz: the exact number of non-zero weights in them; or
        counts: that of every sparse leaf, as a pytree like the parameters (None where
            dense) or by name ("params/Dense_0/kernel"); these may be traced.
        allocation: how density or nnz are divided: uniform, er, erk or
            largest_first.
        sparse: `(name, shape) -> bool`, which leaves are sparse.
        rewire_every: gradients from one rewire to the next.
        rewire_until: the step from which masks stay; None rewires for ever, with a
            drop fraction that does not fall. May be traced.
        seed: of masks and rewires. May be traced.

    Returns:
        A transformation whose `update` needs the parameters.

    Raises:
        UserError: the arguments cannot be used; some are found by `init` only, which
            sees the shapes.
    """
    if sum(x is not None for x in (density, nnz, counts)) != 1:
        raise UserError("sparsify takes exactly one of density=, nnz= and counts=.")
    if rewire_every < 1:
        raise UserError(f"rewire_every={rewire_every}; it must be at least 1.")
    if allocation not in allocations.RULES:
        allocations.allocate(allocation, {}, 0)
    until = _NEVER if rewire_until is None else rewire_until
    made = algorithm if isinstance(algorithm, SparseAlgorithm) else algorithm(until)
    inner = optax.with_extra_args_support(optimizer)

    def init(params: Any) -> Any:
        asked = counts
        if asked is None:
            asked = _allocate(params, sparse, allocation, density, nnz)
        key = jax.random.key(seed)
        masked, sparse_state = made.init(
            subkey(key, 0), params, _like_params(asked, params)
        )
        opt_state = inner.init(masked)
        _check_addressable(opt_state, params)
        return SparsifyState(
            opt_state,
            sparse_state,
            jnp.int32(0),
            jnp.asarray(seed, jnp.int32),
            jax.tree_util.Partial(made.view),
        )

    def update(
        updates: Any, state: Any, params: Any = None, **extra: Any
    ) -> tuple[Any, Any]:
        if params is None:
            raise UserError(
                "sparsify needs the parameters: update(grads, state, params)."
            )
        if "value_fn" in extra:
            raise UserError(
                "An optimizer that searches along a line evaluates the loss off the "
                "masks and cannot be made sparse; use one that needs gradients only."
            )

        def exchange(grads: Params, state: SparsifyState, params: Params) -> Any:
            old = step.TrainState(params, state.opt_state, state.sparse, state.step)
            key = subkey(subkey(jax.random.key(state.seed), 1), state.step)
            new, _ = step.rewire(key, old, grads, made, inner)
            moved = jax.tree.map(jnp.subtract, new.params, params)
            return moved, new.opt_state, new.sparse

        def descend(grads: Params, state: SparsifyState, params: Params) -> Any:
            filtered, sparse_state = made.filter_grads(grads, params, state.sparse)
            updates, opt_state = inner.update(
                filtered, state.opt_state, params, **extra
            )
            return (
                _onto_masks(updates, params, sparse_state.masks),
                opt_state,
                (sparse_state),
            )

        grads, count = updates, state.step + 1
        due = (count % rewire_every == 0) & (state.step < until)
        updates, opt_state, sparse_state = cond_over_lanes(
            due, exchange, descend, grads, state, params
        )
        return updates, state._replace(
            opt_state=opt_state, sparse=sparse_state, step=count
        )

    return optax.GradientTransformationExtraArgs(init, update)


def _allocate(
    params: Params,
    sparse: Callable[[str, tuple[int, ...]], bool],
    allocation: str,
    density: float | None,
    nnz: int | None,
) -> dict[str, int]:
    """Integer counts of every sparse leaf by name, from shapes alone."""
    named = {k: jnp.shape(v) for k, v in trees.named_leaves(params).items()}
    shapes = {k: shape for k, shape in named.items() if sparse(k, shape)}
    if not shapes:
        raise UserError(
            f"None of the parameters {', '.join(named)} is sparse; pass "
            "sparse=lambda name, shape: … to say which are."
        )
    if nnz is None:
        assert density is not None
        if not 0 < density <= 1:
            raise UserError(f"density={density}; it must be above 0 and at most 1.")
        total = sum(math.prod(shape) for shape in shapes.values())
        nnz = max(round(density * total), len(shapes))
    return allocations.allocate(allocation, shapes, nnz)


def _like_params(counts: Any, params: Params) -> Counts:
    """Counts as a pytree like the parameters, from one or from a dict by name."""
    names = list(trees.named_leaves(params))
    leaves, structure = jax.tree.flatten(params)
    if isinstance(counts, Mapping) and not any(
        isinstance(value, Mapping) for value in counts.values()
    ):
        unknown = [name for name in counts if name not in names]
        if unknown:
            raise UserError(
                f"counts has {unknown[0]!r}, which is not a parameter; they are "
                f"{', '.join(names)}.{nearest(unknown[0], names)}"
            )
        counts = jax.tree.unflatten(structure, [counts.get(name) for name in names])
    given = jax.tree.leaves(counts, is_leaf=lambda x: x is None)
    if len(given) != len(leaves):
        raise UserError(
            "counts must be like the parameters, None where dense, or a dict by name."
        )
    for name, leaf, count in zip(names, leaves, given, strict=True):
        if isinstance(count, int | np.integer) and not 0 <= count <= leaf.size:
            raise UserError(f"counts of {name} is {count}; it has {leaf.size} entries.")
    return jax.tree.unflatten(structure, given)


def _onto_masks(updates: Params, params: Params, masks: Masks) -> Params:
    """Updates after which the parameters are zero off the masks."""
    return jax.tree.map(
        lambda mask, update, p: (
            update if mask is None else jnp.where(mask, update, -p.astype(update.dtype))
        ),
        masks,
        updates,
        params,
        is_leaf=lambda x: x is None,
    )


def _check_addressable(opt_state: Any, params: Params) -> None:
    """Refuse an optimizer that keeps the state of all parameters in one vector."""
    total = sum(leaf.size for leaf in jax.tree.leaves(params))
    alone = len(jax.tree.leaves(params)) == 1
    for name, leaf in trees.named_leaves(opt_state).items():
        if not alone and jnp.shape(leaf) == (total,):
            raise UserError(
                f"The optimizer's state {name} holds all parameters in one vector "
                "(optax.flatten), where the entries of a mask cannot be found again; "
                "leave that wrapper out."
            )


def _states(state: Any) -> list[SparsifyState]:
    ours = lambda x: isinstance(x, SparsifyState)  # noqa: E731
    return [x for x in jax.tree.leaves(state, is_leaf=ours) if ours(x)]


def find(state: Any) -> SparsifyState:
    """The state of `sparsify` inside another one (`optax.chain`, `MultiSteps`, …).

    Raises:
        UserError: there is none, or more than one.
    """
    found = _states(state)
    if len(found) != 1:
        raise UserError(
            f"This optimizer state holds {len(found)} states of sparsify, not one."
        )
    return found[0]


def masks_of(state: Any) -> Masks:
    """The masks: a pytree of bool arrays like the parameters, None where dense.

    Args:
        state: of `sparsify`, or one that holds it.
    """
    return find(state).sparse.masks


def view(params: Params, state: Any) -> Params:
    """What the forward pass sees; the identity for most algorithms."""
    ours = find(state)
    return ours.view(params, ours.sparse)


def apply_masks(params: Params, state: Any) -> Params:
    """Parameters that are zero off the masks: once, before the first step."""
    return trees.apply_masks(params, masks_of(state))
