"""A condition that stays one under `vmap`."""

from collections.abc import Callable
from typing import Any

import jax
import jax.core
import jax.numpy as jnp
from jax.extend import core


def cond_over_lanes(
    pred: jax.Array,
    true: Callable[..., Any],
    false: Callable[..., Any],
    *operands: Any,
) -> Any:
    """`lax.cond`, under `vmap` a `cond` on whether the predicate holds in any lane.

    A plain `cond` with a batched predicate becomes a `select`, which computes both
    branches in every step. Here the costly branch runs only if some lane needs it.

    Args:
        pred: a scalar, per lane.
        true: the rare and costly branch.
        false: the ordinary branch; returns the same structure and types.
        *operands: pytrees that are passed to the branches. What the branches close
            over may be traced too.
    """
    if not isinstance(pred, jax.core.Tracer):  # eager: nothing to compile
        return (true if pred else false)(*operands)
    leaves, structure = jax.tree.flatten(operands)
    branches = [_explicit(f, structure, leaves) for f in (true, false)]
    (_, true_consts, out), (_, false_consts, other) = branches
    if other != out:
        raise TypeError(f"the branches return {out} and {other}")
    yes, no = (branch[0] for branch in branches)
    results = _gate(yes, no)(pred, true_consts, false_consts, leaves)
    return jax.tree.unflatten(out, results)


def _explicit(
    f: Callable[..., Any], structure: Any, leaves: list[Any]
) -> tuple[Callable[..., list[Any]], list[Any], Any]:
    """A flat function with all that it closes over as an argument."""
    flat = lambda *leaves: f(*jax.tree.unflatten(structure, leaves))  # noqa: E731
    closed, shape = jax.make_jaxpr(flat, return_shape=True)(*leaves)

    def explicit(consts: list[Any], leaves: list[Any]) -> list[Any]:
        return core.jaxpr_as_fun(core.ClosedJaxpr(closed.jaxpr, consts))(*leaves)

    return explicit, list(closed.consts), jax.tree.structure(shape)


def _gate(yes: Callable[..., Any], no: Callable[..., Any]) -> Callable[..., Any]:
    @jax.custom_batching.custom_vmap
    def gate(pred: Any, yes_consts: Any, no_consts: Any, leaves: Any) -> Any:
        return jax.lax.cond(
            pred,
            lambda: yes(yes_consts, leaves),
            lambda: no(no_consts, leaves),
        )

    @gate.def_vmap
    def _(size: int, batched: Any, pred: Any, *operands: Any) -> Any:
        # What is the same in all lanes stays so: constants may not become batched.
        axes = tuple(jax.tree.map(lambda b: 0 if b else None, batched[1:]))

        def over_lanes(branch: Callable[..., Any], at: int) -> Callable[..., Any]:
            in_axes = (axes[at], axes[2])
            return jax.vmap(branch, in_axes=in_axes, axis_size=size)

        def some(consts: Any, leaves: Any) -> Any:
            pred, *consts = consts
            new = over_lanes(yes, 0)(consts[0], leaves)
            old = over_lanes(no, 1)(consts[1], leaves)
            where = [pred.reshape(-1, *[1] * (n.ndim - 1)) for n in new]
            return [jnp.where(*t) for t in zip(where, new, old, strict=True)]

        yes_consts, no_consts, leaves = operands
        # The gate again, so that a `vmap` of a `vmap` stays a condition too.
        out = _gate(some, over_lanes(no, 1))(
            jnp.any(pred), (pred, yes_consts, no_consts), no_consts, leaves
        )
        return out, [True] * len(out)

    return gate
