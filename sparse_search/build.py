"""Names to factories, and nothing more.

Any name may also be `package.module:factory`, for a factory of the user's own.
"""

import importlib
import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from sparse_search import algorithms
from sparse_search.config import Data, Model
from sparse_search.data import (
    cifar,
    digits,
    emnist,
    fashion_mnist,
    image_folder,
    mnist,
    tabular,
    teacher,
    text,
)
from sparse_search.data.dataset import Dataset, centered, check
from sparse_search.errors import UserError, nearest, one_of
from sparse_search.masks import patterns
from sparse_search.masks.patterns import Pattern
from sparse_search.models import cnn, mlp, resnet, rnn, transformer

if TYPE_CHECKING:
    from sparse_search.algorithms.base import SparseAlgorithm

# Makers of algorithms; each takes by name what it needs of drop_fraction, until, every,
# pattern, scope, loss and output.
ALGORITHMS: dict[str, Callable[..., "SparseAlgorithm"]] = dict(algorithms.CONSTRUCTORS)

# (width, depth, classes, **options) -> flax module
MODELS: dict[str, Callable[..., Any]] = {
    "mlp": mlp.mlp,
    "lenet_300_100": mlp.lenet_300_100,
    "lenet5": cnn.lenet5,
    "vgg": cnn.vgg,
    "resnet": resnet.resnet,
    "cifar_resnet": resnet.cifar_resnet,
    "wrn": resnet.wrn,
    "mobilenet_v1": cnn.mobilenet_v1,
    "vit": transformer.vit,
    "gpt": transformer.gpt,
    "gru": rnn.gru,
    "lstm": rnn.lstm,
}

# (data_dir, **options) -> Dataset
DATASETS: dict[str, Callable[..., Dataset]] = {
    "digits": digits.load,
    "mnist": mnist.load,
    "fashion_mnist": fashion_mnist.load,
    "emnist": emnist.load,
    "cifar10": cifar.load_10,
    "cifar100": cifar.load_100,
    "image_folder": image_folder.load,
    "tiny_shakespeare": text.load_tiny_shakespeare,
    "enwik8": text.load_enwik8,
    "text8": text.load_text8,
    "text": text.load_file,
    "tabular": tabular.load,
    "teacher": teacher.load,
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


def model(spec: Model, width: int, depth: int, classes: int) -> Any:
    """A network of a width and a depth.

    Raises:
        UserError: there is no such model, or it has no such depth or option.
        TypeError: within a factory of the user's own.
    """
    make = factory("config.model.name", spec.name, MODELS)
    _check_options("config.model", spec.name, make, 3, spec.options)
    try:
        return make(width, depth, classes, **spec.options)
    except (TypeError, ValueError) as error:
        if _is_theirs(spec.name, error):
            raise
        raise UserError(f"config.model: {error}") from None


def dataset(spec: Data, data_dir: str) -> Dataset:
    """A data set, checked as far as that takes no reading.

    Raises:
        UserError: there is no such data set, or it has no such option, or its files
            are missing or not what they should be.
        TypeError: within a factory of the user's own.
    """
    make = factory("config.data.name", spec.name, DATASETS)
    _check_options("config.data", spec.name, make, 1, spec.options)
    try:
        made = make(data_dir, **spec.options)
    except TypeError as error:
        if _is_theirs(spec.name, error):
            raise
        raise UserError(
            f"config.data: {spec.name!r} cannot be made with the options "
            f"{spec.options}: {error}."
        ) from None
    if not isinstance(made, Dataset):
        raise UserError(
            f"config.data.name {spec.name!r} made a {type(made).__name__}, not a "
            "sparse_search.data.dataset.Dataset."
        )
    if spec.center:
        made = centered(made)
    if spec.divisor:
        if made.scale is None:
            raise UserError(
                f"config.data.divisor is {spec.divisor:g}, but {spec.name!r} has "
                "tokens, which are not divided by anything."
            )
        made = made._replace(scale=spec.divisor)
    check(made)
    return made


def _is_theirs(name: str, error: Exception) -> bool:
    """Whether a fault lies within a user's own factory, not in how it was called."""
    trace = error.__traceback__
    return (
        ":" in name and isinstance(error, TypeError) and bool(trace and trace.tb_next)
    )


def _check_options(
    group: str, name: str, make: Callable[..., Any], first: int, options: dict[str, Any]
) -> None:
    """Raise a `UserError` for an option that a factory does not take."""
    takes = list(inspect.signature(make).parameters)[first:]
    for option in options:
        if option not in takes:
            raise UserError(
                f"{group}.options.{option} is not an option of {name!r}; it has "
                f"{', '.join(takes) or 'none'}.{nearest(option, takes)}"
            )


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
