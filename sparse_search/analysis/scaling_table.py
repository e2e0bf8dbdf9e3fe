"""The rows that a scaling law is fitted to: nnz, sparsity, data and loss of a table."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from sparse_search.errors import UserError, nearest, one_of

# What a column is taken for by its name; of several, the first that the file has.
NAMES = {
    "nnz": ("nnz", "non_zero", "nonzero", "non_zeros", "nonzeros", "active_params")
    + ("non_zero_params", "nonzero_params", "active_parameters"),
    "size": ("size", "total_params", "total_parameters", "dense_params")
    + ("dense_parameters", "dense_size"),
    "sparsity": ("sparsity", "S"),
    "density": ("density",),
    "data": ("data", "tokens", "train_tokens", "training_tokens", "examples")
    + ("total_examples", "samples", "steps", "train_steps", "training_steps", "D"),
    "loss": ("test_loss", "val_loss", "valid_loss", "validation_loss", "eval_loss")
    + ("loss", "final_loss", "L"),
}
# Counts of weights, but of which: without a sparsity they are nnz.
_WEIGHTS = ("params", "parameters", "num_params", "model_size", "scale", "N")
_UNUSABLE = ("collapsed", "diverged", "failed")
OURS = {"structure", "learning_rate", "seed", "nnz", "valid_loss", "test_loss"}
"""The columns that tell a table of ours."""


class Table(NamedTuple):
    """Some trained networks.

    Attributes:
        nnz: (n,) non-zero weights, in any unit.
        sparsity: (n,) in [0, 1).
        data: (n,) amount of training data, in any unit; None where the file has none.
        loss: (n,) positive.
        cell: (n,) rows that repeat the same nnz, sparsity and data share a number.
        columns: how each was read, e.g. {"nnz": "scale × (1 − sparsity)"}.
        left_out: how many rows were not used, by reason.
    """

    nnz: np.ndarray
    sparsity: np.ndarray
    data: np.ndarray | None
    loss: np.ndarray
    cell: np.ndarray
    columns: dict[str, str]
    left_out: dict[str, int]


def levels(values: Iterable[float], within: float = 0.02) -> list[float]:
    """The means of groups of values, ascending, that span at most `within` each."""
    groups: list[list[float]] = []
    for value in np.sort(np.asarray(values, float)):
        if groups and value - groups[-1][0] <= within:
            groups[-1].append(float(value))
        else:
            groups.append([float(value)])
    return [sum(group) / len(group) for group in groups]


def read_table(
    rows: Sequence[Mapping[str, Any]],
    columns: Mapping[str, str] | None = None,
    only: Mapping[str, Sequence[str]] | None = None,
) -> Table:
    """Finds nnz, sparsity, data and loss in the rows of a table.

    Args:
        rows: a dict a row; the key "" holds its line number, if it has one.
        columns: what a column means, by our name: nnz or size (all entries of the
            sparse layers, of which nnz is the part that is stored), sparsity or
            density, data (also steps or tokens), loss. The others are found by name.
        only: column -> the values whose rows are used; all by default.

    Raises:
        UserError: a column is missing or ambiguous, a cell is no number or impossible,
            or fewer than three different nnz have a loss.
    """
    if not rows:
        raise UserError("The table has no rows.")
    header = [name for name in rows[0] if name]
    used = _named(header, columns or {})
    kept = _filtered(rows, header, only or {})
    left_out = {}
    for reason, drop in (
        ("ended without a result", _unusable),
        ("are children", _child),
    ):
        left_out[reason] = sum(map(drop, kept))
        kept = [row for row in kept if not drop(row)]
    losses = [_number(row, used["loss"], empty=True) for row in kept]
    left_out["have no finite loss"] = sum(not math.isfinite(loss) for loss in losses)
    kept = [r for r, loss in zip(kept, losses, strict=True) if math.isfinite(loss)]
    loss = _checked(kept, used["loss"], "a loss", 0, math.inf)
    if "density" in used:
        density = _checked(kept, used["density"], "a density", 0, 1, top=True)
    elif "sparsity" in used:
        density = 1 - _checked(kept, used["sparsity"], "a sparsity", 0, 1, bottom=True)
    else:
        density = np.ones(len(kept))
    how = {"loss": used["loss"], "sparsity": used.get("sparsity", "0 in all rows")}
    if "density" in used:
        how["sparsity"] = f"1 − {used['density']}"
    if "nnz" in used:
        nnz, how["nnz"] = _checked(kept, used["nnz"], "an nnz", 0), used["nnz"]
        if "size" in used and not {"sparsity", "density"} & used.keys():
            density = nnz / _checked(kept, used["size"], "a size", 0)
            how["sparsity"] = f"1 − {used['nnz']} / {used['size']}"
            if (density > 1).any():
                raise UserError(
                    f"{used['nnz']!r} is larger than {used['size']!r} in some rows; "
                    "nnz counts the entries of size that are stored."
                )
    else:
        nnz = density * _checked(kept, used["size"], "a size", 0)
        how["nnz"] = f"{used['size']} × (1 − sparsity)"
    data = None
    if "data" in used:
        data, how["data"] = _checked(kept, used["data"], "data", 0), used["data"]
    if len(levels(np.log(nnz))) < 3:
        raise UserError(
            "A scaling law needs at least three different nnz with a loss; "
            f"{how['nnz']} has {len(levels(np.log(nnz)))}{_excuse(left_out)}."
        )
    cells = np.stack([nnz, density, nnz if data is None else data], axis=1)
    cell = np.unique(cells, axis=0, return_inverse=True)[1].reshape(-1)
    reasons = {reason: count for reason, count in left_out.items() if count}
    return Table(nnz, 1 - density, data, loss, cell, how, reasons)


def _excuse(left_out: dict[str, int]) -> str:
    parts = [f"{count} rows {why}" for why, count in left_out.items() if count]
    return f" ({', '.join(parts)})" if parts else ""


def _plain(name: str) -> str:
    # A single letter is a symbol only as the papers write it: N, S, D and L.
    plain = name if len(name) == 1 else name.lower()
    return plain.replace("-", "_").replace(" ", "_")


def _named(header: list[str], columns: Mapping[str, str]) -> dict[str, str]:
    """Our names -> those of the file."""
    found = {}
    for ours, theirs in columns.items():
        if ours in ("steps", "tokens"):
            ours = "data"
        if ours not in NAMES:
            raise one_of("column", ours, [*NAMES, "steps", "tokens"])
        if theirs not in header:
            raise UserError(
                f"The table has no column {theirs!r}; it has {', '.join(header)}."
                f"{nearest(theirs, header)}"
            )
        found[ours] = theirs
    plain = {_plain(name): name for name in reversed(header)}
    for ours, names in NAMES.items():
        here = [plain[name] for name in names if name in plain]
        # What is named by the user is not to be read a second time, as another thing.
        here = [name for name in here if name not in found.values()]
        pairs = {"sparsity": "density", "density": "sparsity"}
        if here and ours not in found and pairs.get(ours) not in found:
            found[ours] = here[0]
    weights = [plain[name] for name in _WEIGHTS if name in plain]
    if not {"nnz", "size"} & found.keys() and weights:
        if {"sparsity", "density"} & found.keys():
            raise UserError(
                f"Column {weights[0]!r} may count all weights or the non-zero ones; "
                f"say --columns=size={weights[0]} or --columns=nnz={weights[0]}."
            )
        found["nnz"] = weights[0]
    for what in (("loss",), ("nnz", "size")):
        if not set(what) & found.keys():
            close = next((hint for name in what if (hint := nearest(name, header))), "")
            raise UserError(
                f"Which column is {' or '.join(what)}? The table has "
                f"{', '.join(header)}; say --columns={what[0]}=NAME.{close}"
            )
    return found


def _filtered(
    rows: Sequence[Mapping[str, Any]],
    header: list[str],
    only: Mapping[str, Sequence[str]],
) -> list[Mapping[str, Any]]:
    kept = list(rows)
    for column, values in only.items():
        if column not in header:
            raise one_of("column", column, header)
        there = list(dict.fromkeys(str(row[column]) for row in rows))
        for value in values:
            if value not in there:
                raise one_of(f"value of {column}", value, there[:12])
        kept = [row for row in kept if str(row[column]) in values]
    if not kept:
        raise UserError("No row has all the values that --only asks for.")
    return kept


def _unusable(row: Mapping[str, Any]) -> bool:
    return row.get("status") in _UNUSABLE


def _child(row: Mapping[str, Any]) -> bool:
    """Whether it began with another's weights, and so was trained for longer."""
    return bool(row.get("parent")) and OURS <= row.keys()


def _number(row: Mapping[str, Any], column: str, empty: bool = False) -> float:
    value = row[column]
    if value is None or value == "":
        if empty:
            return math.nan
        raise UserError(f"{_place(row)} has no {column!r}.")
    try:
        return float(value)
    except (TypeError, ValueError):
        raise UserError(f"{_place(row)}: {column!r} is {value!r}, no number.") from None


def _place(row: Mapping[str, Any]) -> str:
    return f"Line {row['']}" if "" in row else "A row of the table"


def _checked(
    rows: Sequence[Mapping[str, Any]],
    column: str,
    what: str,
    low: float,
    high: float = math.inf,
    bottom: bool = False,
    top: bool = False,
) -> np.ndarray:
    """The numbers of a column, which must lie between two limits."""
    values = [_number(row, column) for row in rows]
    for row, value in zip(rows, values, strict=True):
        inside = low < value < high or (bottom and value == low)
        if not (inside or (top and value == high)):
            limits = f"> {low}" if math.isinf(high) else f"between {low} and {high}"
            percent = " (a part, not percent)" if high == 1 and value > 1 else ""
            raise UserError(
                f"{_place(row)}: {column!r} is {value:g}, but {what} is {limits}"
                f"{percent}."
            )
    return np.array(values, float)
