"""Sparse training in one line of someone else's loop: an optax transformation.

    tx = sparsify(optax.adam(1e-3), algorithms.rigl(0.3), density=0.1,
                  rewire_every=100, rewire_until=7500)
    state = tx.init(params)
    params = apply_masks(params, state)             # once, before the first step
    grads = jax.grad(loss)(view(params, state))     # the identity for most algorithms
    updates, state = tx.update(grads, state, params)
    params = optax.apply_updates(params, updates)

Leaves that stack several layers (those of `flax.linen.scan`, say) are named by
`stacked=`; they are taken apart along their first axis, so that every layer has its own
count, and masks are put together again.

Every `rewire_every`-th gradient feeds a rewire and makes no weight update, as in our
own training (`train.rounds`). Dropped weights move to zero through the update.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, cast

import jax
import jax.core
import jax.numpy as jnp
import numpy as np
import optax

from sparse_search import algorithms, trees
from sparse_search.algorithms import Make
from sparse_search.algorithms.base import NEVER, SparseAlgorithm, no_rewire
from sparse_search.errors import UserError, nearest
from sparse_search.keys import subkey
from sparse_search.masks import allocations, patterns
from sparse_search.masks.gate import cond_over_lanes
from sparse_search.train import step
from sparse_search.train.rounds import rewire_is_due
from sparse_search.types import Array, Counts, Int, Masks, Params, Scalar, UInt


class SparsifyState(NamedTuple):
    """The state of a sparse optimizer.

    Attributes:
        opt_state: of the optimizer within; as new off the masks.
        sparse: the algorithm's state, with the masks.
        step: gradients so far, those of rewires included.
        seed: of masks and rewires.
        saved: the optimizer state that a rewinding algorithm goes back to, or None.
        view: the algorithm's view, a function of parameters and `sparse`.
    """

    opt_state: Any
    sparse: Any
    step: Int[Array, ""]
    seed: UInt[Array, ""]
    saved: Any
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
    stacked: Callable[[str, tuple[int, ...]], bool] = lambda name, shape: False,
    rewire_every: int = 100,
    rewire_until: Scalar | None = None,
    interval_growth: float = 1.0,
    seed: Scalar = 0,
) -> optax.GradientTransformationExtraArgs:
    """Train sparsely with any optimizer of optax.

    Args:
        optimizer: makes the weight updates.
        algorithm: of `sparse_search.algorithms`, or your own.
        density: nnz over the size of all sparse leaves; or
        nnz: the exact number of non-zero weights in them; or
        counts: that of every sparse leaf, as a pytree like the parameters (None where
            dense; of a stacked leaf one for every layer) or by name
            ("params/Dense_0/kernel"); these may be traced.
        allocation: how density or nnz are divided: uniform, uniform_dense_first, er,
            erk, er^p, erk^p or largest_first; global or lamp for algorithms that
            compare the weights of all layers.
        sparse: `(name, shape) -> bool`, which leaves are sparse.
        stacked: `(name, shape) -> bool`, which leaves hold one layer for every entry of
            their first axis; each is a leaf of its own, "name/0" and so on.
        rewire_every: gradients from one rewire to the next.
        rewire_until: the step from which masks stay; None rewires for ever, with a
            drop fraction that does not fall. May be traced.
        interval_growth: how many times longer every interval is than the one before.
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
    if interval_growth < 1:
        raise UserError(f"interval_growth={interval_growth}; it must be at least 1.")
    until = NEVER if rewire_until is None else rewire_until
    made = _made(algorithm, allocation, until, rewire_every)
    inner = optax.with_extra_args_support(optimizer)

    def apart(tree: Any, params: Any) -> Any:
        return _apart(tree, params, stacked)

    def seen(params: Params, sparse: Any) -> Params:
        return _together(made.view(apart(params, params), sparse))

    def init(params: Any) -> Any:
        given, params = params, apart(params, params)
        if counts is None:
            asked = _allocate(params, sparse, allocation, density, nnz)
        else:
            asked = _by_name(counts, given, params, stacked)
        asked = _reached(asked, params, made)
        key = jax.random.key(seed)
        masked, sparse_state = made.init(
            subkey(key, 0), params, _like_params(asked, params)
        )
        begun = step.begin(masked, sparse_state, made, inner)
        _check_addressable(begun.opt_state, params)
        return SparsifyState(
            begun.opt_state,
            sparse_state,
            jnp.int32(0),
            jnp.uint32(seed),
            begun.saved,
            jax.tree_util.Partial(seen),
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
            old = step.TrainState(
                params, state.opt_state, state.sparse, state.step, saved=state.saved
            )
            key = subkey(subkey(jax.random.key(state.seed), 1), state.step)
            new, _ = step.rewire(key, old, grads, made, inner)
            moved = jax.tree.map(jnp.subtract, new.params, params)
            # Of the types that a weight update has: those of the gradients, maybe.
            like = jax.eval_shape(descend, grads, state, params)[0]
            moved = jax.tree.map(lambda m, x: m.astype(x.dtype), moved, like)
            return moved, new.opt_state, new.sparse, new.saved

        def descend(grads: Params, state: SparsifyState, params: Params) -> Any:
            filtered, sparse_state = made.filter_grads(grads, params, state.sparse)
            updates, opt_state = inner.update(
                filtered, state.opt_state, params, **extra
            )
            masked = _onto_masks(updates, params, sparse_state.masks)
            return masked, opt_state, sparse_state, state.saved

        given, count = params, state.step + 1
        grads, params = apart(updates, given), apart(given, given)
        due = (count % rewire_every == 0) & rewire_is_due(
            state.step, rewire_every, until, interval_growth
        )
        if made.rewire is no_rewire:
            done = descend(grads, state, params)
        else:
            done = cond_over_lanes(due, exchange, descend, grads, state, params)
        updates, opt_state, sparse_state, saved = done
        return _together(updates), state._replace(
            opt_state=opt_state, sparse=sparse_state, step=count, saved=saved
        )

    return optax.GradientTransformationExtraArgs(init, update)


class _Layers(list):
    """The layers of a stacked leaf."""


jax.tree_util.register_pytree_with_keys(
    _Layers,
    lambda layers: (
        [(jax.tree_util.SequenceKey(i), layer) for i, layer in enumerate(layers)],
        None,
    ),
    lambda _, layers: _Layers(layers),
)


def _apart(
    tree: Any, params: Params, stacked: Callable[[str, tuple[int, ...]], bool]
) -> Any:
    """A tree like the parameters with stacked leaves as lists of their layers."""

    def split(path: tuple[Any, ...], leaf: Any, like: Any) -> Any:
        if leaf is None or not stacked(trees.name(path), jnp.shape(like)):
            return leaf
        return _Layers(list(leaf))

    return jax.tree_util.tree_map_with_path(
        split, tree, params, is_leaf=lambda x: x is None
    )


def _together(tree: Any) -> Any:
    """A tree of single layers with stacked leaves as they were."""

    def stack(leaf: Any) -> Any:
        if not isinstance(leaf, _Layers):
            return leaf
        known = [layer for layer in leaf if layer is not None]
        if not known:
            return None
        # Among masks: a dense layer beside sparse ones stores everything.
        full = jnp.ones_like(known[0])
        return jnp.stack([full if layer is None else layer for layer in leaf])

    return jax.tree.map(
        stack, tree, is_leaf=lambda x: x is None or isinstance(x, _Layers)
    )


def _allocate(
    params: Params,
    sparse: Callable[[str, tuple[int, ...]], bool],
    allocation: str,
    density: float | None,
    nnz: int | None,
) -> dict[str, int]:
    """Integer counts of every sparse leaf by name, from shapes alone."""
    named = _shapes(params)
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


def _made(
    algorithm: Any, allocation: str, until: Scalar, every: int
) -> SparseAlgorithm:
    """The algorithm, checked against what the loop gives it."""
    allocations.weight(allocation)
    across = allocation in allocations.ACROSS
    known = {"until": until, "every": every}
    if across:
        known["scope"] = allocation
    made: Any = algorithm
    if not isinstance(made, SparseAlgorithm):
        if not callable(made):
            raise UserError(
                f"The algorithm is {made!r}; it is one that sparse_search.algorithms "
                "makes, as in algorithms.rigl(drop_fraction=0.3)."
            )
        made = algorithms.complete(cast(Make, made), **known)
    if not isinstance(made, SparseAlgorithm):
        raise UserError(
            "The algorithm is not made yet: algorithms.rigl(), with parentheses."
        )
    if across and not made.conserves.startswith("total"):
        raise UserError(
            f"The algorithm keeps the number of every layer; the allocation "
            f"{allocation!r} is for those that compare the weights of all layers."
        )
    ends = made.conserves in ("end", "total_end")
    if ends and isinstance(until, int) and not every <= until < NEVER:
        raise UserError(
            "This algorithm comes to its number of weights when it rewires last; give "
            f"rewire_until, at least rewire_every={every}."
        )
    return made


def _shapes(params: Params) -> dict[str, tuple[int, ...]]:
    named = trees.named_leaves(params)
    return {k: jnp.shape(v) for k, v in named.items() if v is not None}


def _by_name(
    counts: Any,
    given: Params,
    params: Params,
    stacked: Callable[[str, tuple[int, ...]], bool],
) -> dict[str, Any]:
    """Counts of sparse leaves by name, from a tree like the parameters or a dict."""
    names = _shapes(params)
    if isinstance(counts, Mapping) and set(counts) <= set(names):
        return {name: n for name, n in counts.items() if n is not None}
    try:
        leaves = jax.tree.structure(given).flatten_up_to(counts)
    except (ValueError, TypeError):
        unknown = [str(k) for k in counts] if isinstance(counts, Mapping) else []
        unknown = [name for name in unknown if name not in names]
        hint = nearest(unknown[0], names) if unknown else ""
        raise UserError(
            "counts must be like the parameters, None where dense, or a dict by name"
            + (f", and {unknown[0]!r} is not a parameter" if unknown else "")
            + f"; they are {', '.join(names)}.{hint}"
        ) from None
    found: dict[str, Any] = {}
    for (name, shape), count in zip(_shapes(given).items(), leaves, strict=True):
        if count is None:
            continue
        if not stacked(name, shape):
            found[name] = count
        elif jnp.shape(count) == shape[:1]:
            found |= {f"{name}/{i}": n for i, n in enumerate(count)}
        else:
            raise UserError(
                f"{name} stacks {shape[0]} layers; its counts are as many, not {count}."
            )
    return found


def _reached(
    counts: dict[str, Any], params: Params, algorithm: SparseAlgorithm
) -> dict[str, Any]:
    """The counts that the algorithm's pattern can have; traced ones as they are."""
    shapes = _shapes(params)
    known = {}
    for name, count in counts.items():
        if isinstance(count, jax.core.Tracer):
            continue
        size = math.prod(shapes[name])
        whole = np.ndim(count) == 0 and np.issubdtype(
            np.asarray(count).dtype, np.integer
        )
        if not whole or not 0 <= int(count) <= size:
            raise UserError(
                f"counts of {name} is {count}; it is a whole number, and there are "
                f"{size} entries."
            )
        known[name] = int(count)
    full = {name: shapes[name] for name, n in known.items() if n > 0}
    return counts | known | patterns.reach(algorithm.pattern, full, known)


def _like_params(counts: Mapping[str, Any], params: Params) -> Counts:
    """Counts as a pytree like the parameters, None where dense."""
    return jax.tree.unflatten(
        jax.tree.structure(params), [counts.get(name) for name in _shapes(params)]
    )


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
        if leaf is not None and not alone and jnp.shape(leaf) == (total,):
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
    return _together(find(state).sparse.masks)


def view(params: Params, state: Any) -> Params:
    """What the forward pass sees; the identity for most algorithms."""
    ours = find(state)
    return ours.view(params, ours.sparse)


def apply_masks(params: Params, state: Any) -> Params:
    """The parameters to begin with: zero off the masks; once, before the first step."""
    return trees.apply_masks(params, masks_of(state))
