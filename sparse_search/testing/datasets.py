"""The contract of a data set.

from sparse_search.testing import datasets

def test_mine():
    datasets.check(my_factory, data_dir, split="all")
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from sparse_search.config import freeze
from sparse_search.data import dataset as datasets
from sparse_search.data.dataset import Dataset
from sparse_search.data.streamed import Streamed
from sparse_search.train.lanes import Loaded

_SEED = 3


def check(
    factory: Callable[..., Dataset], data_dir: Any = None, **options: Any
) -> Dataset:
    """Raise an `AssertionError` for the first thing that breaks the contract.

    Args:
        factory: what `config.data.name` names.
        data_dir: that it is given.
        **options: that it is given, as from `config.data.options`.

    Returns:
        The data set.
    """
    made = factory(data_dir, **options)
    assert isinstance(made, Dataset), f"it makes a {type(made).__name__}"
    try:
        datasets.check(made)
    except ValueError as error:
        raise AssertionError(str(error)) from None
    _is_the_same_twice(made, factory(data_dir, **options))
    _can_be_learned_from(made)
    _is_taken_by_rows(made)
    return made


def _some(inputs: Any, count: int = 64) -> np.ndarray:
    """Examples from all over a part."""
    rows = np.unique(np.linspace(0, len(inputs) - 1, count).astype(int))
    return np.asarray(inputs[rows])


def _is_the_same_twice(made: Dataset, again: Dataset) -> None:
    for one, other in zip(made, again, strict=True):
        if isinstance(one, Streamed):
            assert one.shape == other.shape, "it has other examples each time"
            one, other = _some(one), _some(other)
        same = np.array_equal(np.asarray(one), np.asarray(other))
        assert same, "it is not the same when it is made again"


def _can_be_learned_from(made: Dataset) -> None:
    assert len(made.train_labels) >= 2, "it has one training example"
    assert len(np.unique(made.train_labels)) > 1, "all training labels are the same"
    inputs = _some(made.train_inputs)
    assert inputs.min() != inputs.max(), "all its inputs are the same"
    if made.scale is None:
        most = max(inputs.max(), _some(made.test_inputs).max())
        assert inputs.min() >= 0 and most < made.classes, (
            f"tokens go from {inputs.min()} to {most}, not from 0 to {made.classes - 1}"
        )
        return
    square = np.mean(np.square(inputs.astype(np.float64))) / made.scale**2
    assert 0.2 < square < 5, (
        f"divided by the scale, inputs have a mean square of {square:.3g}, not about 1"
    )


def _is_taken_by_rows(made: Dataset) -> None:
    """As training takes it: batches by a seed and a step, parts that are apart."""
    size = len(made.train_labels)
    held_out = min(max(made.validation, size // 4), size - 1, 8)
    config = freeze(
        {
            "data": {"validation": held_out},
            "batch_size": min(size - max(made.validation, held_out), 4),
            "sparsity": {"rewire_every": 2},
        }
    )
    loaded = Loaded(config, made)
    rows = np.asarray(loaded.rows([_SEED], 0))
    inputs, labels = loaded.examples.inputs[rows], loaded.examples.labels[rows]
    assert inputs.shape[:3] == labels.shape[:3] == rows.shape
    assert inputs.shape[3:] == made.example.shape
    assert np.array_equal(np.asarray(labels), made.train_labels[rows])
    part = np.asarray(loaded.part([_SEED]))[0]
    assert (part[rows] == 0).all(), "a batch has examples of another part"
    counts = np.bincount(part, minlength=3)
    assert counts[1] == held_out and counts[2] == len(made.test_labels)
    assert math.prod(made.example.shape) > 0, "its examples are empty"
