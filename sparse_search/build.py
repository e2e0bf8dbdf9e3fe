"""Names to factories, and nothing more.

Any name may also be `package.module:factory`, for a factory of the user's own.
"""

import importlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from sparse_search import algorithms
from sparse_search.data import digits, fashion_mnist, mnist
from sparse_search.errors import UserError, one_of
from sparse_search.masks import patterns
from sparse_search.masks.patterns import Pattern
from sparse_search.models import mlp

if TYPE_CHECKING:
    from sparse_search.algorithms.base import SparseAlgorithm

# Makers of algorithms; each takes by name what it needs of drop_fraction, until, every,
# pattern, scope, loss and output.
ALGORITHMS: dict[str, Callable[..., "SparseAlgorithm"]] = dict(algorithms.CONSTRUCTORS)

# (width, depth, classes) -> flax module
MODELS: dict[str, Callable[..., Any]] = {
    "mlp": mlp.mlp,
    "lenet_300_100": mlp.lenet_300_100,
}

# (data_dir) -> Dataset
DATASETS: dict[str, Callable[..., Any]] = {
    "digits": digits.load,
    "mnist": mnist.load,
    "fashion_mnist": fashion_mnist.load,
}


def factory(what: str, name: str, table: Mapping[str, Callable[..., Any]]) -> Any:
    """Look a factory up.

    Args:
        what: what the table holds, for the error.
        name: a key of the table, or `package.module:factory`.
        table: one of this module's tables.

    Raises:
        UserError: the name is not known or cannot be imported.
    """
    if name in table:
        return table[name]
    module, colon, attribute = name.partition(":")
    if not colon:
        raise one_of(what, name, table)
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise UserError(f"{what} {name!r} cannot be imported: {error}.") from None


def pattern(name: str) -> Pattern:
    """Look a pattern up: a name of `masks.patterns`, or `package.module:PATTERN`.

    Raises:
        UserError: there is no such pattern.
    """
    if ":" in name and not name[0].isdigit() and not name.startswith("n:"):
        found = factory("config.sparsity.pattern", name, {})
        if not isinstance(found, Pattern):
            raise UserError(f"config.sparsity.pattern {name!r} is no Pattern.")
        return found
    return patterns.by_name(name)
