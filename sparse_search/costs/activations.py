"""Multiplications that zero activations would save, measured on examples.

The forward pass is run, product by product, on a batch. Beside every product with a
parameter the same product is made of ones and zeros, which tell where its factors are
not zero, and its sum is the number of multiplications in which neither factor is.
Bodies of while loops and branches are run, and not looked into.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sparse_search import trees

NAMES = ("products", "weights", "activations", "both")


def measure(
    forward: Callable[[Any, Any, Any], Any], params: Any, constants: Any, inputs: Any
) -> dict[str, dict[str, int]]:
    """Multiplications of every parameter that is multiplied with, by its name.

    Of each: all `products`, those with `weights` that are not zero, with `activations`
    that are not zero, and with `both`. Those with places in the padding of a
    convolution are products, and their activations zero.

    Args:
        forward: `(params, constants, inputs) -> outputs`.
        params: the trained network's, zero where no weight is.
        constants: what else it takes, such as running means.
        inputs: a batch.
    """
    named = trees.named_leaves(params)
    closed = jax.make_jaxpr(forward)(params, constants, inputs)
    rest = [*jax.tree.leaves(constants), *jax.tree.leaves(inputs)]
    values = [(leaf, name) for name, leaf in named.items()]
    values += [(leaf, "") for leaf in rest]
    found: dict[str, dict[str, int]] = {}
    consts = [(value, "") for value in closed.consts]
    _run(closed.jaxpr, consts, values, found)
    return found


_Pair = tuple[Any, str]  # a value, and the parameter that it is made of alone


def _run(
    jaxpr: Any,
    consts: Sequence[_Pair],
    values: Sequence[_Pair],
    found: dict[str, dict[str, int]],
) -> list[_Pair]:
    known: dict[Any, _Pair] = dict(zip(jaxpr.constvars, consts, strict=True))
    known |= dict(zip(jaxpr.invars, values, strict=True))

    def read(atom: Any) -> _Pair:
        return (atom.val, "") if hasattr(atom, "val") else known[atom]

    for equation in jaxpr.eqns:
        given = [read(atom) for atom in equation.invars]
        name = equation.primitive.name
        if name == "scan":
            results = _scan(equation, given, found)
        elif (inner := _inner(equation)) is not None:
            jaxpr_, constants = inner
            results = _run(jaxpr_, [(c, "") for c in constants], given, found)
        else:
            if name in ("dot_general", "conv_general_dilated"):
                _count(equation, given, found)
            made = equation.primitive.bind(*(v for v, _ in given), **equation.params)
            made = made if equation.primitive.multiple_results else [made]
            alone = {of for _, of in given if of}
            arrays = [of for value, of in given if np.ndim(value)]
            own = alone.pop() if len(alone) == 1 and all(arrays) else ""
            results = [(value, own) for value in made]
        known.update(zip(equation.outvars, results, strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def _count(
    equation: Any, given: Sequence[_Pair], found: dict[str, dict[str, int]]
) -> None:
    (left, of_left), (right, of_right) = given
    name = of_left or of_right
    if not name or (of_left and of_right):
        return
    params = {**equation.params, "preferred_element_type": jnp.float32}

    def products(x: Any, y: Any) -> int:
        made = equation.primitive.bind(x, y, **params)
        # Each is a whole number of at most 2²⁴, their sum may be larger.
        return int(np.sum(np.asarray(made), dtype=np.float64))

    def there(x: Any) -> Any:
        return (x != 0).astype(jnp.float32)

    def ones(x: Any) -> Any:
        return jnp.ones(x.shape, jnp.float32)

    weight = 0 if of_left else 1
    outputs = equation.outvars[0].aval.size
    size = given[weight][0].size
    if equation.primitive.name == "dot_general":
        whole = products(ones(left), ones(right))
        alive = products(
            *(there(v) if i == weight else ones(v) for i, v in _two(given))
        )
    else:
        kernel = given[weight][0]
        spec = equation.params["dimension_numbers"].rhs_spec
        each = outputs // kernel.shape[spec[0]]
        whole, alive = each * size, each * int(jnp.sum(kernel != 0))
    row = found.setdefault(name, dict.fromkeys(NAMES, 0))
    row["products"] += whole
    row["weights"] += alive
    row["activations"] += products(
        *(ones(v) if i == weight else there(v) for i, v in _two(given))
    )
    row["both"] += products(there(left), there(right))


def _two(given: Sequence[_Pair]) -> list[tuple[int, Any]]:
    return [(index, value) for index, (value, _) in enumerate(given)]


def _scan(
    equation: Any, given: list[_Pair], found: dict[str, dict[str, int]]
) -> list[_Pair]:
    params = equation.params
    inner, consts, carry = params["jaxpr"], params["num_consts"], params["num_carry"]
    fixed, carried, given = (
        given[:consts],
        given[consts : consts + carry],
        given[consts + carry :],
    )
    turns = range(params["length"])
    rows: list[list[Any]] = []
    for turn in reversed(turns) if params["reverse"] else turns:
        now = [(value[turn], of) for value, of in given]
        constants = [(c, "") for c in inner.consts]
        made = _run(inner.jaxpr, constants, [*fixed, *carried, *now], found)
        carried = [(value, "") for value, _ in made[:carry]]
        rows.append([value for value, _ in made[carry:]])
    if params["reverse"]:
        rows.reverse()
    stacked = [(jnp.stack(of_all), "") for of_all in zip(*rows, strict=True)]
    return [*carried, *stacked]


def _inner(equation: Any) -> tuple[Any, Sequence[Any]] | None:
    for name in ("jaxpr", "call_jaxpr", "fun_jaxpr"):
        found = equation.params.get(name)
        if found is not None and equation.primitive.name != "while":
            plain = getattr(found, "jaxpr", found)
            if len(getattr(plain, "invars", ())) == len(equation.invars):
                return plain, getattr(found, "consts", ())
    return None
