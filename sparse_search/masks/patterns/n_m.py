"""N:M patterns: N non-zeros in every M consecutive entries along an axis.

2:4 along the inputs is what sparse tensor cores multiply (Mishra et al. 2021,
arXiv:2104.08378). With N left open every layer has its own, as many as its count makes
(Sun et al. 2021, DominoSearch). A fixed N is what a budget may be (`reach`); methods
that come from dense pass through larger ones on the way. A layer whose axis M does not
divide, such as a first convolution of three colours, must be dense.
"""

import math

from sparse_search.errors import UserError
from sparse_search.masks.patterns import grouped, unstructured
from sparse_search.masks.patterns.base import Count, Pattern, Scores, Shape
from sparse_search.types import Array, Bool, Key


def n_m(n: int | None, m: int, axis: int = -2) -> Pattern:
    """N:M.

    Args:
        n: N; None takes in every layer what its count makes.
        m: M, which must divide the axis of every layer that is not dense.
        axis: of a kernel (…, inputs, outputs); the inputs by default.

    Raises:
        UserError: N is not between 1 and M.
    """
    name = f"{'n' if n is None else n}:{m}" + {-2: "", -1: "@out"}.get(axis, f"@{axis}")
    if m < 1 or (n is not None and not 1 <= n <= m):
        raise UserError(f"The pattern {name} needs 1 <= N <= M.")

    def layout(shape: Shape) -> grouped.Layout | None:
        at = axis % len(shape)
        if shape[at] % m:
            return None
        split = (*shape[:at], shape[at] // m, m, *shape[at + 1 :])
        return grouped.Layout(split, (at + 1,))

    def select(
        key: Key, scores: Scores, count: Count, where: Bool[Array, "*s"]
    ) -> Bool[Array, "*s"]:
        groups = layout(where.shape)
        if groups is None:
            return unstructured.select(key, scores, count, where)
        return grouped.select(key, scores, count // groups.groups, where, groups)

    def exchange(
        key: Key,
        mask: Bool[Array, "*s"],
        keep: Scores,
        kept: Count,
        grow: Scores,
        count: Count,
    ) -> Bool[Array, "*s"]:
        groups = layout(mask.shape)
        if groups is None:
            return unstructured.exchange(key, mask, keep, kept, grow, count)
        quota = count // groups.groups
        return grouped.exchange(key, mask, keep, kept, grow, quota, groups)

    def reach(shape: Shape, count: int) -> int:
        found, size = layout(shape), math.prod(shape)
        if found is None:
            if count >= size:
                return size
            raise UserError(
                f"The pattern {name} needs an axis that {m} divides; this one has "
                f"{shape[axis % len(shape)]} entries (shape {shape}). It can stay "
                'dense: by the allocation "uniform_dense_first" where it is the first '
                "layer, or by config.sparsity.layer_nnz."
            )
        groups = found.groups
        found = min(count, size) // groups if n is None else n
        if found < 1 or found * groups > count:
            raise UserError(
                f"the pattern {name} stores at least {(n or 1) * groups:,} of its "
                f"{size:,} weights, more than the {count:,} that are left for it: "
                "config.sparsity.density or nnz must be larger."
            )
        return found * groups

    return Pattern(name, select, exchange, reach)
