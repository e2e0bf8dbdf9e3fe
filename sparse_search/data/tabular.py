"""Tables with a column of classes: CSV files, and NumPy's `.npz`.

Numbers are standardised with the mean and standard deviation of the training part;
text becomes a column of 0 and 1 for every value that it has.
"""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from sparse_search.data.dataset import Dataset
from sparse_search.data.files import given
from sparse_search.errors import UserError, one_of

_MOST_VALUES = 100  # of a column of text
# Names of arrays in a `.npz`, for inputs and labels.
_ARRAYS = (("x", "y"), ("X", "y"), ("inputs", "labels"), ("data", "target"))


def load(
    data_dir: str | Path | None,
    *,
    file: str = "",
    label: str = "",
    test_file: str = "",
    test: float = 0.2,
) -> Dataset:
    """Loads a table of one's own.

    Args:
        data_dir: the folder with the file; not needed where `file` is a whole path.
        file: `.csv` (also `.tsv`, and packed as `.csv.gz`), with names in its first
            line; or `.npz` with arrays x [n, …] and y [n], or x_train, y_train, x_test
            and y_test (or X; inputs and labels; data and target).
        label: the column of the classes, by default the last.
        test_file: a table with the test examples.
        test: otherwise, the share of examples that is held out for ever as the test
            part, every so many of every class in the order of the file.

    Raises:
        UserError: the file is missing, or cannot be learned from; the message says
            which column is why.
    """
    path = given(data_dir, file, "tabular")
    other = given(data_dir, test_file, "tabular") if test_file else None
    if not 0 < test < 1:
        raise UserError(f"config.data.options.test is {test}; it is between 0 and 1.")
    if path.suffix == ".npz":
        inputs, answers, tested = _arrays(path)
        if other is not None:
            tested, (more, their, _) = len(inputs), _arrays(other)
            inputs, answers = _joined(inputs, more, other), np.append(answers, their)
    else:
        inputs, answers, tested = _table(path, other, label)
    classes, labels = np.unique(answers, return_inverse=True)
    _check_classes(path, classes, len(labels))
    held_out = np.zeros(len(labels), bool)
    if tested:
        held_out[tested:] = True
    else:
        held_out[_test_rows(labels, test)] = True
    unseen = np.setdiff1d(labels[held_out], labels[~held_out])
    if len(unseen):
        raise UserError(
            f"{path}: the class {classes[unseen[0]]!r} has no training example."
        )
    inputs = _standardised(inputs, ~held_out)
    square = float(np.mean(np.square(inputs[~held_out], dtype=np.float64)))
    if square == 0:
        raise UserError(f"{path} has the same value in all its rows.")
    kind = np.uint8 if len(classes) <= 256 else np.int32
    return Dataset(
        name=path.name.partition(".")[0],
        train_inputs=inputs[~held_out],
        train_labels=labels[~held_out].astype(kind),
        test_inputs=inputs[held_out],
        test_labels=labels[held_out].astype(kind),
        classes=len(classes),
        scale=float(np.sqrt(square)),
    )


def _table(
    path: Path, other: Path | None, label: str
) -> tuple[np.ndarray, np.ndarray, int]:
    """Inputs, answers, and where the test examples begin (0: nowhere yet)."""
    import pandas as pd

    frames = [_frame(one) for one in (path, other) if one is not None]
    columns = [str(name) for name in frames[0].columns]
    if other is not None and list(frames[1].columns) != list(frames[0].columns):
        raise UserError(f"{other} has other columns than {path}.")
    label = label or columns[-1]
    if label not in columns:
        raise one_of("config.data.options.label", label, columns)
    table = pd.concat(frames, ignore_index=True)
    table.columns = columns
    for name in columns:
        empty = int(table[name].isna().sum())
        if empty:
            raise UserError(
                f"{path}: column {name!r} has {empty} empty cells; fill them in, or "
                "leave the column or the rows out."
            )
    parts = []
    for name in columns:
        if name == label:
            continue
        column = table[name]
        if pd.api.types.is_numeric_dtype(column.dtype):
            parts.append(column.to_numpy(np.float64)[:, None])
            continue
        values = np.unique(column.astype(str))
        if len(values) > _MOST_VALUES:
            raise UserError(
                f"{path}: column {name!r} has {len(values)} different texts, of which "
                f"at most {_MOST_VALUES} make columns of 0 and 1; leave it out, or "
                "turn it into numbers."
            )
        parts.append(
            (column.astype(str).to_numpy()[:, None] == values).astype(np.float64)
        )
    if not parts:
        raise UserError(f"{path} has no column beside {label!r} to learn from.")
    tested = len(frames[0]) if other is not None else 0
    answers = table[label]
    if not pd.api.types.is_numeric_dtype(answers.dtype):
        answers = answers.astype(str)
    return np.concatenate(parts, axis=1), answers.to_numpy(), tested


def _frame(path: Path) -> Any:
    import pandas as pd

    separator = "\t" if ".tsv" in path.suffixes else ","
    try:
        return pd.read_csv(path, sep=separator)
    except (ValueError, EOFError, OSError) as error:  # pandas' own are ValueErrors
        reason = str(error).strip().splitlines()[0]
        raise UserError(f"{path} cannot be read as a table: {reason}.") from None


def _arrays(path: Path) -> tuple[np.ndarray, np.ndarray, int]:
    """Inputs, answers, and where the test examples begin (0: nowhere yet)."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            found = {name: archive[name] for name in archive.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, KeyError) as error:
        raise UserError(f"{path} cannot be read as .npz: {error}.") from None
    for x, y in _ARRAYS:
        if {f"{x}_train", f"{y}_train", f"{x}_test", f"{y}_test"} <= found.keys():
            train = _paired(path, found[f"{x}_train"], found[f"{y}_train"])
            test = _paired(path, found[f"{x}_test"], found[f"{y}_test"])
            joined = _joined(train[0], test[0], path)
            return joined, np.append(train[1], test[1]), len(train[0])
        if {x, y} <= found.keys():
            return *_paired(path, found[x], found[y]), 0
    raise UserError(
        f"{path} has the arrays {', '.join(found) or 'none'}; it needs x and y, or "
        "x_train, y_train, x_test and y_test."
    )


def _paired(path: Path, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if x.ndim < 2 or not np.issubdtype(x.dtype, np.number):
        raise UserError(
            f"{path}: inputs are numbers [n, …], not {x.dtype} of shape "
            f"{list(x.shape)}."
        )
    if y.ndim > 1 and y.size == len(y):
        y = y.ravel()
    if y.ndim != 1 or len(y) != len(x):
        raise UserError(
            f"{path} has {len(x)} inputs, but labels of shape {list(y.shape)}."
        )
    if not np.isfinite(x).all():
        raise UserError(f"{path} has inputs that are no finite numbers.")
    return x.astype(np.float64), y


def _joined(first: np.ndarray, second: np.ndarray, path: Path) -> np.ndarray:
    if first.shape[1:] != second.shape[1:]:
        raise UserError(
            f"{path} has test examples of shape {list(second.shape[1:])}, and training "
            f"examples of {list(first.shape[1:])}."
        )
    return np.concatenate([first, second])


def _check_classes(path: Path, classes: np.ndarray, rows: int) -> None:
    whole = (
        not np.issubdtype(classes.dtype, np.floating)
        or (classes == np.round(classes)).all()
    )
    if len(classes) < 2 or len(classes) > rows // 2 or not whole:
        raise UserError(
            f"{path}: the labels have {len(classes)} different values in {rows} rows, "
            "which are no classes; name the column of the classes as "
            "--config.data.options.label=NAME."
        )


def _test_rows(labels: np.ndarray, share: float) -> np.ndarray:
    """The same share of every class, spread over the file; no random numbers."""
    order = np.argsort(labels, kind="stable")
    places = np.arange(len(labels))
    chosen = np.floor((places + 1) * share) > np.floor(places * share)
    return order[chosen]


def _standardised(inputs: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Columns of numbers by the training part; those of 0 and 1 as they are."""
    known = inputs[train]
    # Images and the like: one scale for all, and nothing subtracted.
    if inputs.ndim > 2:
        return inputs.astype(np.float32)
    marks = ((inputs == 0) | (inputs == 1)).all(axis=0)
    mean = np.where(marks, 0, known.mean(axis=0))
    deviation = np.where(marks, 1, known.std(axis=0))
    deviation[deviation == 0] = 1  # a column that does not change says nothing
    return ((inputs - mean) / deviation).astype(np.float32)
