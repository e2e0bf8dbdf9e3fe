"""How the non-zero weights of a network are divided among its layers.

Every rule gives a layer a share in proportion to an integer weight, so counts are
computed in exact rational arithmetic and sum to the asked total to the last unit:

- `uniform`: the size of the layer, hence the same density everywhere;
- `er` (Erdős–Rényi; Mocanu et al. 2018, arXiv:1707.04780): fan-in + fan-out,
  hence density ∝ (n_in + n_out) / (n_in · n_out);
- `erk` (Evci et al. 2020, arXiv:1911.11134, section 3): the same plus the sizes of
  the convolution window, n_in + n_out + height + width;
- `largest_first` (Golubeva et al. 2021, arXiv:2010.14495): 1, hence as many weights in
  every layer that can hold them: what is left when weights are always taken from the
  layer that has most.

A layer never gets more than its size: what exceeds it goes to the other layers by
the same rule. A layer gets at least one weight, since an empty layer disconnects.
"""

import math
from collections.abc import Callable, Mapping
from fractions import Fraction

from sparse_search.errors import UserError, one_of

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


_DENSE = ("bias", "scale", "embedding", "embeddings")


def is_sparse(name: str, shape: Shape) -> bool:
    """Whether a parameter is sparsified: kernels with at least two axes.

    Biases (those of attention have two axes), norms and embeddings stay dense.

    Args:
        name: its path, joined by "/".
        shape: its shape.
    """
    parts = name.lower().split("/")
    return len(shape) >= 2 and not any(part.endswith(_DENSE) for part in parts)


def allocate(rule: str, shapes: Mapping[str, Shape], nnz: int) -> dict[str, int]:
    """Divide `nnz` weights among layers.

    Args:
        rule: a name in `RULES`.
        shapes: the shape of every sparse layer's kernel (…, fan-in, fan-out).
        nnz: the total, between the number of layers and the sum of their sizes.

    Returns:
        Integer counts that sum to `nnz`, 1 <= count <= size for every layer.

    Raises:
        UserError: the rule is not known or the total is out of range.
    """
    if rule not in RULES:
        raise one_of("allocation", rule, RULES)
    sizes = {layer: math.prod(shape) for layer, shape in shapes.items()}
    if not len(sizes) <= nnz <= sum(sizes.values()):
        raise UserError(
            f"{nnz:,} weights do not fit this network: its {len(sizes)} sparse layers "
            f"hold between {len(sizes):,} (one a layer) and {sum(sizes.values()):,}."
        )
    weights = {layer: RULES[rule](shape) for layer, shape in shapes.items()}
    counts: dict[str, int] = {}
    # Water-filling: fix the layers that the rule would overfill, divide the rest anew.
    while True:
        free = [layer for layer in sizes if layer not in counts]
        share = Fraction(
            nnz - sum(counts.values()), max(sum(weights[layer] for layer in free), 1)
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
    for layer in sizes:
        if counts[layer] == 0:
            counts[max(counts, key=counts.__getitem__)] -= 1
            counts[layer] = 1
    return {layer: counts[layer] for layer in sizes}
