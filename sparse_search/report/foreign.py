"""Somebody else's table of trained networks, read as if it were a workdir.

A CSV file, a row a network: columns `nnz`, `structure`, `seed` and a metric, also
`method` and any other of `records.COLUMNS`. The structure `small_dense` is the
reference. A metric is named `accuracy`, `error` or `loss`, alone or as `test_…`; one of
validation (`valid_…`) is what choices are made on, where it is there. Shares may be in
percent. A column `source` says where numbers were published.
"""

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from sparse_search import records
from sparse_search.analysis.table import METRICS
from sparse_search.errors import UserError, nearest
from sparse_search.report.workdir import Workdir, row_order

_NEEDED = ("nnz", "structure", "seed")
_TEXT = ("point", "structure", "method", "allocation", "pattern", "status", "parent")
_ALIKE = {"acc": "accuracy", "err": "error"}


class Table(NamedTuple):
    """A table, read.

    Attributes:
        run: what a report reads from a workdir; the task is "" where none is said.
        metric: the one that is mapped, of `METRICS`.
        notes: what a reader must know of how it was read, sentences.
    """

    run: Workdir
    metric: str
    notes: list[str]


def read(path: Path, metric: str = "") -> Table:
    """Reads a table.

    Args:
        path: of the CSV file.
        metric: the column that is mapped; by default the only one there is, or
            accuracy, error and loss in this order.

    Raises:
        UserError: it is no such table; the sentence says where and why.
    """
    header, lines = _lines(path)
    for name in _NEEDED:
        if name not in header:
            raise UserError(
                f"{path} has no column {name!r}; its columns are "
                f"{', '.join(header)}.{nearest(name, header)}"
            )
    column = _column(path, header, metric)
    kind = _kind(column)
    assert kind
    valid = next(
        (name for name in header if name.startswith("valid") and _kind(name) == kind),
        None,
    )
    rows = [_row(path, number, line, column, valid) for number, line in lines]
    if not rows:
        raise UserError(f"{path} has a header and no rows; a row is a trained network.")
    _check_distinct(path, rows, [number for number, _ in lines])
    notes = []
    if METRICS[kind].share:
        notes += _shares(path, column, rows, kind)
    known = [r for r in rows if r[f"test_{kind}"] is not None]
    if not known:
        raise UserError(f"{path} has no number in its column {column!r}.")
    if valid is None:
        notes.append(
            "The table has no validation metric, so choices are made on the test "
            "metric of the other seeds."
        )
    tasks = {str(row["task"]) for row in rows if row.get("task")}
    if len(tasks) > 1:
        raise UserError(
            f"{path} mixes the tasks {', '.join(sorted(tasks))}; a report is of one "
            "task, so give each a file of its own."
        )
    run = Workdir(path, "table", "".join(tasks), sorted(rows, key=row_order), [], 0)
    return Table(run, kind, notes)


def _lines(path: Path) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
    """The names of the columns, and every row with the number of its line."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no UTF-8 text"
        raise UserError(f"{path} cannot be read: {reason}.") from None
    if not text.strip():
        raise UserError(f"{path} is empty; a table begins with a line of column names.")
    first = text.lstrip().splitlines()[0]
    delimiter = max(",;\t", key=first.count)
    reader = csv.reader(text.splitlines(), delimiter=delimiter, skipinitialspace=True)
    header = [name.strip().lower() for name in next(reader)]
    twice = sorted({name for name in header if name and header.count(name) > 1})
    if twice:
        raise UserError(f"{path} has the column {twice[0]!r} twice.")
    lines = []
    for cells in reader:
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(header):
            raise UserError(
                f"{path}, line {reader.line_num}: {len(cells)} cells for "
                f"{len(header)} columns."
            )
        values = [cell.strip() for cell in cells]
        lines.append((reader.line_num, dict(zip(header, values, strict=True))))
    return header, lines


def _kind(column: str) -> str | None:
    """The metric that a column holds, of `METRICS`; None where it is something else."""
    name = column
    for prefix in ("test_", "valid_", "validation_", "val_"):
        name = name.removeprefix(prefix)
    name = _ALIKE.get(name, name)
    return name if name in METRICS else None


def _column(path: Path, header: Sequence[str], metric: str) -> str:
    """The column that is mapped."""
    of_test = [name for name in header if _kind(name) and not name.startswith("val")]
    if metric:
        wanted = metric.lower()
        for name in (wanted, f"test_{wanted}"):
            if name in of_test:
                return name
        raise UserError(
            f"{path} has no metric {metric!r}; it has "
            f"{', '.join(of_test) or 'none'}.{nearest(wanted, of_test)}"
        )
    if not of_test:
        raise UserError(
            f"{path} has no metric; name a column {', '.join(METRICS)}, or the same "
            f"with 'test_' before it. Its columns are {', '.join(header)}."
        )
    order = list(METRICS)
    return min(of_test, key=lambda name: order.index(str(_kind(name))))


def _row(
    path: Path,
    number: int,
    line: Mapping[str, str],
    column: str,
    valid: str | None,
) -> records.Record:
    """A row with all columns of a record."""
    row: dict[str, Any] = dict.fromkeys(records.COLUMNS)
    for name, cell in line.items():
        if name in _TEXT or name in ("task", "source"):
            row[name] = cell or None
        elif name in records.COLUMNS or name in ("budget", column, valid):
            row[name] = _value(path, number, name, cell)
    kind = _kind(column)
    row[f"test_{kind}"] = row[column]
    row[f"valid_{kind}"] = row[valid] if valid else None
    for name in _NEEDED:
        if row[name] is None:
            raise UserError(f"{path}, line {number}: there is no {name}.")
    if not row["nnz"] > 0:
        raise UserError(
            f"{path}, line {number}: nnz is {line['nnz']}, and must be above 0."
        )
    row["method"] = row["method"] or str(row["structure"])
    rate = row["learning_rate"]
    parts = [str(row["structure"]), f"n{row['nnz']:g}"]
    parts += [] if rate is None else [f"lr{rate:g}"]
    row["point"] = row["point"] or "-".join(parts)
    row["trial"] = f"{row['point']}-s{row['seed']:g}"
    if row["status"] not in records.STATUSES:
        row["status"] = "done" if row[f"test_{kind}"] is not None else "diverged"
    return row


def _value(path: Path, number: int, name: str, cell: str) -> float | int | None:
    """A number; None for an empty cell and for what is not finite."""
    if cell.lower() in ("", "na", "nan", "none", "null", "-"):
        return None
    try:
        value = float(cell.removesuffix("%"))
        whole = cell.isdecimal() or name in ("nnz", "seed")
    except ValueError:
        raise UserError(
            f"{path}, line {number}: {name} is {cell!r}, which is no number."
        ) from None
    if not math.isfinite(value):
        return None
    return int(value) if whole and value == int(value) else value


def _check_distinct(
    path: Path, rows: Sequence[records.Record], numbers: Sequence[int]
) -> None:
    """Two rows of one structure, nnz and seed must differ in something we know."""
    seen: dict[tuple, int] = {}
    for row, number in zip(rows, numbers, strict=True):
        key = (row["structure"], row["point"], row["seed"])
        if key in seen:
            raise UserError(
                f"{path}, lines {seen[key]} and {number}: both are "
                f"{row['structure']} with {row['nnz']:,} weights and seed "
                f"{row['seed']}; if they differ in something else, name it in a column "
                "'point'."
            )
        seen[key] = number


def _shares(
    path: Path, column: str, rows: Sequence[records.Record], kind: str
) -> list[str]:
    """Bring shares that are in percent to between 0 and 1, in place."""
    columns = (f"test_{kind}", f"valid_{kind}")
    values = [row[c] for row in rows for c in columns if row[c] is not None]
    if not values or (min(values) >= 0 and max(values) <= 1):
        return []
    if min(values) < 0 or max(values) > 100:
        raise UserError(
            f"{path}: the column {column!r} goes from {min(values):g} to "
            f"{max(values):g}; {kind} is between 0 and 1, or 0 and 100 in percent."
        )
    for row in rows:
        for name in columns:
            if row[name] is not None:
                row[name] /= 100
    return [f"The table's {kind} is read as percent."]
