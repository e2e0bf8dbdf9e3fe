"""How the non-zero weights of a network are divided among its layers.

Every rule gives a layer a share in proportion to an integer weight, so counts are
computed in exact rational arithmetic and sum to the asked total to the last unit:

- `uniform`: the size of the layer, hence the same density everywhere;
- `er` (Erdős–Rényi; Mocanu et al. 2018, arXiv:1707.04780): fan-in + fan-out,
  hence density ∝ (n_in + n_out) / (n_in · n_out);
- `erk` (Evci et al. 2020, arXiv:1911.11134, section 3): the same plus the sizes of
  the convolution window, n_in + n_out + height + width;
- `er^p`, `erk^p` with an exponent p: density ∝ the same ratio to that power, so that 0
  is uniform and 1 is `er` or `erk`;
- `uniform_dense_first`: the first layer is dense, the others uniform, as in RigL;
- `largest_first` (Golubeva et al. 2021, arXiv:2010.14495): 1, hence as many weights in
  every layer that can hold them: what is left when weights are always taken from the
  layer that has most.

`global` and `lamp` are no divisions: methods that compare weights of all layers then
decide every layer's number (`algorithms.pruning`); here only the total counts.

A layer never gets more than its size: what exceeds it goes to the other layers by
the same rule. A layer gets at least one weight, since an empty layer disconnects.
"""

import math
import re
from collections.abc import Callable, Mapping
from fractions import Fraction

from sparse_search.errors import Impossible, UserError, nearest, one_of
from sparse_search.names import natural

Shape = tuple[int, ...]


def _uniform(shape: Shape) -> int:
    return math.prod(shape)


def _er(shape: Shape) -> int:
    return shape[-2] + shape[-1]


def _erk(shape: Shape) -> int:
    return sum(shape)


RULES: dict[str, Callable[[Shape], int]] = {
    "uniform": _uniform,
    "er": _er,
    "erk": _erk,
    "largest_first": lambda shape: 1,
}

_LARGEST_POWER = 4  # beyond it, layers but the smallest have next to nothing

DENSE_FIRST = "uniform_dense_first"

ACROSS = ("global", "lamp")
"""Allocations that a method makes from its scores, over all layers."""


def weight(rule: str) -> Callable[[Shape], int | Fraction]:
    """A rule's weight of a layer.

    Raises:
        UserError: there is no such rule.
    """
    if rule in (DENSE_FIRST, *ACROSS):
        return _uniform
    found = re.fullmatch(r"(erk?)\^(\d+(?:\.\d+)?)", rule)
    if found:
        base, power = RULES[found[1]], float(found[2])
        if power > _LARGEST_POWER:
            raise UserError(
                f"allocation {rule!r}: at most {_LARGEST_POWER} is allowed."
            )
        # A float is a fraction, so that the division stays exact.
        return lambda shape: Fraction(
            math.prod(shape) * (base(shape) / math.prod(shape)) ** power
        )
    if rule not in RULES:
        raise one_of(
            "allocation", rule, [*RULES, DENSE_FIRST, "er^2", "erk^0.5", *ACROSS]
        )
    return RULES[rule]


_DENSE = ("bias", "scale", "embedding", "embeddings")


def is_sparse(name: str, shape: Shape) -> bool:
    """Whether a parameter is sparsified: kernels with at least two axes.

    Biases (those of attention have two axes), norms and embeddings stay dense, and
    kernels of depthwise convolutions, which are few (RigL, section 4.1.2).

    Args:
        name: its path, joined by "/".
        shape: its shape.
    """
    parts = name.lower().split("/")
    dense = any(p.endswith(_DENSE) or p.startswith("depthwise") for p in parts)
    return len(shape) >= 2 and not dense


def allocate(
    rule: str,
    shapes: Mapping[str, Shape],
    nnz: int,
    given: Mapping[str, int] | None = None,
) -> dict[str, int]:
    """Divide `nnz` weights among layers.

    Args:
        rule: a name in `RULES`, "er^p" or "erk^p".
        shapes: the shape of every sparse layer's kernel (…, fan-in, fan-out).
        nnz: the total, between the number of layers and the sum of their sizes.
        given: layers whose number is known, by any unique part of their names; the
            rule divides the rest.

    Returns:
        Integer counts that sum to `nnz`, 1 <= count <= size for every layer.

    Raises:
        UserError: the rule is not known, the total is out of range, or what is given
            does not fit.
    """
    of_layer = weight(rule)
    sizes = {layer: math.prod(shape) for layer, shape in shapes.items()}
    if not len(sizes) <= nnz <= sum(sizes.values()):
        raise Impossible(
            f"{nnz:,} weights do not fit this network: its {len(sizes)} sparse layers "
            f"hold between {len(sizes):,} (one a layer) and {sum(sizes.values()):,}."
        )
    weights = {layer: of_layer(shape) for layer, shape in shapes.items()}
    counts = _given(given or {}, sizes)
    if rule == DENSE_FIRST:
        first = min(sizes, key=natural)
        counts.setdefault(first, sizes[first])
    fixed = dict(counts)
    left = [layer for layer in sizes if layer not in fixed]
    rest = nnz - sum(fixed.values())
    if not len(left) <= rest <= sum(sizes[layer] for layer in left):
        raise Impossible(
            f"{', '.join(f'{k} has {v:,}' for k, v in fixed.items())}: of {nnz:,} "
            f"weights {max(rest, 0):,} are left for {len(left)} other layers, which "
            f"hold between {len(left):,} and {sum(sizes[layer] for layer in left):,}."
        )
    # Water-filling: fix the layers that the rule would overfill, divide the rest anew.
    while True:
        free = [layer for layer in sizes if layer not in counts]
        share = Fraction(
            nnz - sum(counts.values()), sum(weights[layer] for layer in free) or 1
        )
        full = [layer for layer in free if share * weights[layer] >= sizes[layer]]
        if not full:
            break
        counts.update({layer: sizes[layer] for layer in full})
    exact = {layer: share * weights[layer] for layer in free}
    counts.update({layer: math.floor(value) for layer, value in exact.items()})
    # Largest remainders first; the sort is stable, so equal ones go in layer order.
    by_remainder = sorted(free, key=lambda layer: counts[layer] - exact[layer])
    for layer in by_remainder[: nnz - sum(counts.values())]:
        counts[layer] += 1
    for layer in left:
        if counts[layer] == 0:
            counts[max(left, key=counts.__getitem__)] -= 1
            counts[layer] = 1
    return {layer: counts[layer] for layer in sizes}


def _given(given: Mapping[str, int], sizes: Mapping[str, int]) -> dict[str, int]:
    """The numbers that are given, by full name."""
    found: dict[str, int] = {}
    for part, count in given.items():
        layers = [layer for layer in sizes if part == layer or part in layer.split("/")]
        if len(layers) != 1:
            raise Impossible(
                f"{part!r} names {len(layers)} of the layers {', '.join(sizes)}; it "
                f"must name one.{nearest(part, sizes)}"
            )
        if not isinstance(count, int) or not 0 < count <= sizes[layers[0]]:
            raise Impossible(
                f"{layers[0]} cannot have {count!r} weights, but a whole number from 1 "
                f"to {sizes[layers[0]]:,}."
            )
        if layers[0] in found:
            raise UserError(f"{layers[0]} is given twice.")
        found[layers[0]] = count
    return found
