"""The layers of any model, from the jaxpr of its forward pass on one example.

Products are attributed to the parameter that they multiply with: matrix products and
convolutions of what follows from the input with what follows from a parameter alone
(reshaped, transposed, masked, rounded, a slice of it). Bodies of scans count as often
as they run, bodies of while loops, whose number of turns is not known, once, and of
branches the one with the most work. Sums and products of single elements, such as
those of normalisation, are left out.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax

from sparse_search import trees
from sparse_search.costs.layers import Layer, Network
from sparse_search.masks.allocations import is_sparse


class _Value(NamedTuple):
    """Where a number comes from: the example, a parameter, or neither."""

    data: bool = False
    parameter: str = ""
    sources: frozenset[str] = frozenset()


class _Work:
    """What was found so far: by layer multiply-adds, inputs, outputs and sources."""

    def __init__(self) -> None:
        self.layers: dict[str, list[int]] = {}
        # Of every layer, those whose outputs reach it by no other.
        self.sources: dict[str, frozenset[str]] = {}
        self.products = 0

    @property
    def total(self) -> int:
        return self.products + sum(found[0] for found in self.layers.values())

    def add(self, other: "_Work") -> None:
        self.products += other.products
        for name, found in other.layers.items():
            old = self.layers.get(name, [0, 0, 0])
            self.layers[name] = [a + b for a, b in zip(old, found, strict=True)]
            before = self.sources.get(name, frozenset())
            self.sources[name] = before | other.sources[name]


def trace(
    forward: Callable[[Any, Any, Any], Any], params: Any, constants: Any, example: Any
) -> Network:
    """The layers of a forward pass; nothing is computed.

    Args:
        forward: `(params, constants, inputs) -> outputs`.
        params: a pytree of arrays or of their shapes.
        constants: what else it takes, such as running means.
        example: a batch of one example, or its shape.
    """
    named = trees.named_leaves(params)
    sizes = {name: math.prod(leaf.shape) for name, leaf in named.items()}
    closed = jax.make_jaxpr(forward)(params, constants, example)
    values = [_Value(parameter=name) for name in named]
    values += [_Value()] * len(jax.tree.leaves(constants))
    values += [_Value(data=True)] * len(jax.tree.leaves(example))
    work = _Work()
    _walk(closed.jaxpr, values, work, 1, sizes)
    layers = []
    # In the order of the first product; what is sparse and never multiplied, behind.
    idle = [k for k, p in named.items() if is_sparse(k, tuple(p.shape))]
    for name in [*work.layers, *(k for k in idle if k not in work.layers)]:
        shape = tuple(named[name].shape)
        adds, inputs, outputs = work.layers.get(name, [0, 0, 0])
        uses = -(-adds // sizes[name])
        sparse = is_sparse(name, shape)
        layers.append(Layer(name, shape, uses, sizes[name], sparse, inputs, outputs))
    others = sum(sizes.values()) - sum(layer.size for layer in layers)
    return Network(tuple(layers), others, work.products, _is_chain(layers, work))


def _is_chain(layers: Sequence[Layer], work: "_Work") -> bool:
    before: frozenset[str] = frozenset()
    for layer in layers:
        if work.sources.get(layer.name) != before:
            return False
        before = frozenset([layer.name])
    return bool(layers) and not work.products


def _walk(
    jaxpr: Any,
    values: Sequence[_Value],
    work: _Work,
    times: int,
    sizes: dict[str, int],
) -> list[_Value]:
    """Follow a jaxpr that runs some times; the values of its results."""
    known: dict[Any, _Value] = dict(zip(jaxpr.invars, values, strict=True))

    def value(atom: Any) -> _Value:
        return _Value() if hasattr(atom, "val") else known.get(atom, _Value())

    for equation in jaxpr.eqns:
        given = [value(atom) for atom in equation.invars]
        name = equation.primitive.name
        if name in ("dot_general", "conv_general_dilated"):
            results = [_product(equation, given, work, times, sizes)]
        elif name == "scan":
            results = _scan(equation, given, work, times, sizes)
        elif name == "while":
            results = _while(equation, given, work, times, sizes)
        elif name == "cond":
            results = _cond(equation, given, work, times, sizes)
        elif (inner := _inner(equation)) is not None:
            results = _walk(inner, given, work, times, sizes)
        else:
            results = [_mixed(given, sizes)] * len(equation.outvars)
        known.update(zip(equation.outvars, results, strict=True))
    return [value(atom) for atom in jaxpr.outvars]


def _mixed(given: Sequence[_Value], sizes: dict[str, int]) -> _Value:
    """The value of what is computed from others element by element, or moved."""
    if any(one.data for one in given):
        return _Value(True, "", frozenset().union(*(one.sources for one in given)))
    parameters = [one.parameter for one in given if one.parameter]
    return _Value(parameter=max(parameters, key=lambda p: sizes[p], default=""))


def _product(
    equation: Any,
    given: Sequence[_Value],
    work: _Work,
    times: int,
    sizes: dict[str, int],
) -> _Value:
    left, right = (atom.aval.shape for atom in equation.invars)
    outputs = math.prod(equation.outvars[0].aval.shape)
    if equation.primitive.name == "dot_general":
        axes = equation.params["dimension_numbers"][0][0]
        adds = outputs * math.prod(left[axis] for axis in axes)
    else:
        out = equation.params["dimension_numbers"].rhs_spec[0]
        adds = outputs * (math.prod(right) // right[out])
    if not any(one.data for one in given):
        return _mixed(given, sizes)
    weight = next((v.parameter for v in given if not v.data and v.parameter), "")
    if not weight:
        work.products += times * adds
        return _mixed(given, sizes)
    data = 0 if given[0].data else 1
    found = work.layers.setdefault(weight, [0, 0, 0])
    found[0] += times * adds
    found[1] += times * math.prod((left, right)[data])
    found[2] += times * outputs
    before = work.sources.get(weight, frozenset())
    work.sources[weight] = before | given[data].sources
    return _Value(True, "", frozenset([weight]))


def _scan(
    equation: Any,
    given: list[_Value],
    work: _Work,
    times: int,
    sizes: dict[str, int],
) -> list[_Value]:
    params = equation.params
    inner, consts, carry = params["jaxpr"], params["num_consts"], params["num_carry"]
    results = _settled(inner.jaxpr, given, consts, carry, sizes)
    given = [*given[:consts], *results[:carry], *given[consts + carry :]]
    return _walk(inner.jaxpr, given, work, times * params["length"], sizes)


def _while(
    equation: Any,
    given: list[_Value],
    work: _Work,
    times: int,
    sizes: dict[str, int],
) -> list[_Value]:
    params = equation.params
    given = given[params["cond_nconsts"] :]
    consts, body = params["body_nconsts"], params["body_jaxpr"].jaxpr
    results = _settled(body, given, consts, len(given) - consts, sizes)
    return _walk(body, [*given[:consts], *results], work, times, sizes)


def _settled(
    jaxpr: Any, given: list[_Value], consts: int, carry: int, sizes: dict[str, int]
) -> list[_Value]:
    """What is carried, when another turn no longer changes where it comes from."""
    carried = given[consts : consts + carry]
    while True:
        turn = [*given[:consts], *carried, *given[consts + carry :]]
        after = _walk(jaxpr, turn, _Work(), 1, sizes)[:carry]
        joined = [
            old if old == new else _mixed([old, new], sizes)
            for old, new in zip(carried, after, strict=True)
        ]
        if joined == carried:
            return carried
        carried = joined


def _cond(
    equation: Any,
    given: list[_Value],
    work: _Work,
    times: int,
    sizes: dict[str, int],
) -> list[_Value]:
    found = []
    for branch in equation.params["branches"]:
        one = _Work()
        found.append((one, _walk(branch.jaxpr, given[1:], one, times, sizes)))
    work.add(max(found, key=lambda pair: pair[0].total)[0])
    results = zip(*(results for _, results in found), strict=True)
    return [_mixed(given[:1] + list(one), sizes) for one in results]


def _inner(equation: Any) -> Any:
    """The jaxpr that an equation runs once with its own inputs, or None."""
    for name in ("jaxpr", "call_jaxpr", "fun_jaxpr"):
        found = equation.params.get(name)
        found = getattr(found, "jaxpr", found)
        if found is not None and len(getattr(found, "invars", ())) == len(
            equation.invars
        ):
            return found
    return None
