"""Names to factories, and nothing more.

Any name may also be `package.module:factory`, for a factory of the user's own.
"""

import importlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from sparse_search import algorithms
from sparse_search.data import digits, fashion_mnist, mnist
from sparse_search.errors import UserError, one_of
from sparse_search.masks.patterns import unstructured
from sparse_search.models import mlp

if TYPE_CHECKING:
    from sparse_search.algorithms.base import SparseAlgorithm

_ANY = unstructured.select

# (drop fraction, step at which rewiring ends, the pattern's selection) -> algorithm;
# the first two may be traced.
ALGORITHMS: dict[str, Callable[..., "SparseAlgorithm"]] = {
    "dense": lambda drop, until, select=_ANY: algorithms.dense()(until),
    "static": lambda drop, until, select=_ANY: algorithms.static(select)(until),
    "set": lambda drop, until, select=_ANY: algorithms.set_(drop, select)(until),
    "rigl": lambda drop, until, select=_ANY: algorithms.rigl(drop, select)(until),
    "snfs": lambda drop, until, select=_ANY: algorithms.snfs(drop, select=select)(
        until
    ),
    "dsr": lambda drop, until, select=_ANY: algorithms.dsr(drop, select=select)(until),
    "mest": lambda drop, until, select=_ANY: algorithms.mest(drop, select=select)(
        until
    ),
    "granet": lambda drop, until, select=_ANY: algorithms.granet(drop, select=select)(
        until
    ),
    "gradual": lambda drop, until, select=_ANY: algorithms.gradual(select)(until),
}

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

# (key, scores, count, where) -> mask
PATTERNS: dict[str, Callable[..., Any]] = {"unstructured": _ANY}


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
