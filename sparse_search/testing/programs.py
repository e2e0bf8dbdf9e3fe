"""Looking into traced programs: what runs always, what is used first, in what types."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.extend.core import Jaxpr, jaxprs_in_params

from sparse_search import trees
from sparse_search.algorithms.base import SparseAlgorithm
from sparse_search.models.mlp import mlp
from sparse_search.train import rounds
from sparse_search.types import Params, Scalar

_SCOPE = "rewire_under_test"


def round_jaxpr(
    make: Callable[[Scalar, Scalar], SparseAlgorithm], lanes: int = 2
) -> tuple[Jaxpr, str]:
    """Trace a round of `train.rounds` over lanes, without running it.

    Returns:
        The program, and the name of the scope that all of the rewire lies in.
    """

    def marked(fraction: Scalar, until: Scalar, **probes: Any) -> SparseAlgorithm:
        del probes
        algorithm = make(fraction, until)

        def rewire(*args: Any) -> Any:
            with jax.named_scope(_SCOPE):
                return algorithm.rewire(*args)

        return algorithm._replace(rewire=rewire)

    train = rounds.make_train(
        rounds.Spec(
            model=mlp(4, 1, 3),
            algorithm=marked,
            optimizer=lambda rate, decay, steps: optax.sgd(rate, momentum=0.9),
            round_steps=3,
            scale=1.0,
        )
    )
    examples = rounds.Examples(jnp.zeros((8, 5), jnp.uint8), jnp.zeros(8, jnp.int32))
    drawn = jax.eval_shape(train.weights, 0, examples)
    number, real = (
        jax.ShapeDtypeStruct((), "int32"),
        jax.ShapeDtypeStruct((), "float32"),
    )
    counts = jax.tree.map(lambda p: number if p.ndim > 1 else None, drawn[0])
    hyper = rounds.Hyper(number, real, real, real, number, number, counts)
    batch = jax.ShapeDtypeStruct((4,), "int32")
    one = (hyper, jax.eval_shape(train.init, hyper, drawn, batch, examples))
    rows = (jax.ShapeDtypeStruct((3, 4), "int32"), jax.ShapeDtypeStruct((2,), "int32"))
    batched = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct((lanes, *x.shape), x.dtype), (*one, *rows)
    )
    over_lanes = jax.vmap(train.round, in_axes=(0, 0, 0, 0, None))
    return jax.make_jaxpr(over_lanes)(*batched, examples).jaxpr, _SCOPE


def scope_outside_cond(jaxpr: Jaxpr, scope: str) -> tuple[int, int]:
    """Count the operations of a `jax.named_scope`.

    Returns:
        How many lie within a branch of some `cond`, and how many outside of all.
    """
    inside = outside = 0
    for equation in jaxpr.eqns:
        outside += scope in str(equation.source_info.name_stack)
        for inner in jaxprs_in_params(equation.params):
            found = scope_outside_cond(inner, scope)
            if equation.primitive.name == "cond":
                inside += sum(found)
            else:
                inside, outside = inside + found[0], outside + found[1]
    return inside, outside


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


def products(program: Jaxpr) -> list[Any]:
    """The types of what is multiplied in matrix products and convolutions."""
    found = []
    for equation in program.eqns:
        if equation.primitive.name in ("dot_general", "conv_general_dilated"):
            found += [v.aval.dtype for v in equation.invars]  # pyright: ignore
        for inner in jaxprs_in_params(equation.params):
            found += products(inner)
    return found
