"""Dense networks of a given number of weights: the width that comes nearest.

Sizes come from shapes that are traced and never computed. They grow about with the
square of the width, so a search on their roots needs a handful of them.
"""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from sparse_search.config import Config, Model
from sparse_search.data.dataset import Dataset
from sparse_search.errors import UserError
from sparse_search.train.trials import model_shapes, parameter_shapes, sparse_shapes

_WIDEST = 2**24
_REFUSED = 64  # widths in a row that a model may refuse, as those with heads do


def kernel_size(config: Config, dataset: Dataset, width: int, depth: int) -> int:
    """The number of entries of all kernels that are sparsified.

    Raises:
        UserError: the model cannot be built so.
    """
    return _size(parameter_shapes(config, dataset, width, depth))


def width_of(config: Config, dataset: Dataset, budget: int, depth: int) -> int:
    """`width_for`, of a config's model on a data set."""

    def size(width: int) -> int:
        return kernel_size(config, dataset, width, depth)

    return nearest_width(size, budget, config.model.name)


def width_for(
    model: str,
    budget: int,
    depth: int,
    *,
    example: tuple[int, ...] | jax.ShapeDtypeStruct,
    classes: int,
    **options: Any,
) -> int:
    """The width at which a dense network comes nearest to a number of weights.

    Counted are the entries of the kernels that a sparse network of this model would be
    sparse in. Of two widths that are as near, the smaller.

    Args:
        model: a name of `build.MODELS`, or `package.module:factory`.
        budget: the number of weights.
        depth: see `config.Model`.
        example: the shape of one input, as (32, 32, 3), or its shape and type, as
            `jax.ShapeDtypeStruct((64,), "int32")` for tokens.
        classes: of the output; of a text, its different tokens.
        **options: further arguments of the model.

    Raises:
        UserError: there is no such model, depth or option, the model does not take
            these examples, or it does not grow with its width.
    """
    one = example
    if not isinstance(one, jax.ShapeDtypeStruct):
        one = jax.ShapeDtypeStruct(tuple(one), jnp.float32)
    spec = Model(model, options=options)

    def size(width: int) -> int:
        return _size(model_shapes(spec, width, depth, classes, one))

    return nearest_width(size, budget, model)


def nearest_width(size: Callable[[int], int], budget: int, model: str) -> int:
    """The width whose size is nearest to a budget, where sizes grow with the width.

    Args:
        size: of a width; a `UserError` where the model does not take the width.
        budget: the size that is wanted.
        model: its name, for the error.

    Raises:
        UserError: of widths in a row the model takes none, or sizes do not grow.
    """
    low, size_low = _taken(size, 1, 1)
    if size_low >= budget:
        return low
    high, size_high = low, size_low
    while size_high < budget:
        low, size_low = high, size_high
        # Sizes hardly ever grow faster than the square.
        guess = math.ceil(low * min(math.sqrt(budget / size_low), 64)) + 1
        high, size_high = _taken(size, max(guess, low + 1), 1)
        if size_high <= size_low or high > _WIDEST:
            raise UserError(
                f"config.model.name={model!r} does not grow with its width, so it has "
                "no small dense family; leave config.space.small_dense out."
            )
    # From here on size(low) < budget <= size(high).
    halve = False
    while high - low > 1:
        roots = [math.sqrt(x) for x in (size_low, budget, size_high)]
        part = 0.5 if halve else (roots[1] - roots[0]) / (roots[2] - roots[0])
        middle = low + min(max(round(part * (high - low)), 1), high - low - 1)
        below = _last_taken(size, middle, low)
        if below is None:
            middle, size_middle = _taken(size, middle, 1)
            if middle >= high:
                break  # none is taken between the two
        else:
            middle, size_middle = below
        before = high - low
        if size_middle < budget:
            low, size_low = middle, size_middle
        else:
            high, size_high = middle, size_middle
        halve = high - low > before / 2
    return low if budget - size_low <= size_high - budget else high


def _taken(size: Callable[[int], int], width: int, step: int) -> tuple[int, int]:
    """The first width from here on that the model takes, and its size."""
    first: UserError | None = None
    for one in range(width, width + step * _REFUSED, step):
        try:
            return one, size(one)
        except UserError as error:
            first = first or error
    assert first is not None
    raise first


def _last_taken(
    size: Callable[[int], int], width: int, above: int
) -> tuple[int, int] | None:
    """The last width up to here, and above another, that the model takes."""
    for one in range(width, above, -1):
        try:
            return one, size(one)
        except UserError:
            continue
    return None


def _size(shapes: Any) -> int:
    return sum(math.prod(shape) for shape in sparse_shapes(shapes).values())
