"""Somebody else's table of trained networks, read as if it were a workdir.

A CSV file, a row a network: columns `nnz`, `structure`, `seed` and a metric, also
`method` and any other of `records.COLUMNS`. The structure `small_dense` is the
reference. A metric is named `accuracy`, `error` or `loss`, alone or as `test_…`; one of
validation (`valid_…`, `validation_…`, `val_…`) is what choices are made on, where it is
there. Shares may be in percent. A column `source` says where numbers were published.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from sparse_search import records
from sparse_search.analysis.csv_rows import Sheet, read_csv
from sparse_search.analysis.table import METRICS
from sparse_search.errors import UserError, nearest
from sparse_search.report.workdir import Workdir, row_order

_NEEDED = ("nnz", "structure", "seed")
_TEXT = ("point", "structure", "method", "allocation", "pattern", "status", "parent")
_ON_VALIDATION = ("valid_", "validation_", "val_")
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
    sheet = read_csv(path, small_letters=True)
    header = sheet.header
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
        (n for n in header if n.startswith(_ON_VALIDATION) and _kind(n) == kind), None
    )
    lines = list(zip(sheet.numbers, sheet.rows, strict=True))
    rows = [_row(path, number, line, column, valid) for number, line in lines]
    _check_distinct(path, rows, sheet.numbers)
    notes = []
    if METRICS[kind].share:
        columns = {f"test_{kind}": column}
        columns |= {f"valid_{kind}": valid} if valid else {}
        notes += _shares(path, sheet, rows, columns, kind)
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


def _kind(column: str) -> str | None:
    """The metric that a column holds, of `METRICS`; None where it is something else."""
    name = column
    for prefix in ("test_", *_ON_VALIDATION):
        name = name.removeprefix(prefix)
    name = _ALIKE.get(name, name)
    return name if name in METRICS else None


def _column(path: Path, header: Sequence[str], metric: str) -> str:
    """The column that is mapped."""
    of_test = [n for n in header if _kind(n) and not n.startswith(_ON_VALIDATION)]
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
        others = [name for name in header if _kind(name)]
        if others:
            raise UserError(
                f"{path} has no metric on test data, only {', '.join(others)}; rename "
                f"that to {_kind(others[0])!r} if it is what shall be mapped."
            )
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
        value = float(cell.removesuffix("%")) / (100 if cell.endswith("%") else 1)
        whole = cell.isdecimal() or name in ("nnz", "seed")
    except ValueError:
        raise UserError(
            f"{path}, line {number}: {name} is {cell!r}, which is no number"
            f"{_hint(cell)}."
        ) from None
    if not math.isfinite(value):
        return None
    return int(value) if whole and value == int(value) else value


def _hint(cell: str) -> str:
    """What a number that cannot be read was probably meant to be."""
    if cell.replace(",", "").replace(".", "").removesuffix("%").isdecimal():
        return "; write decimals with a point, and thousands without a mark"
    return ""


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


def _with_signs(path: Path, sheet: Sheet, column: str) -> bool:
    """Whether a column's cells end in percent signs."""
    signs: dict[bool, int] = {}
    for number, row in zip(sheet.numbers, sheet.rows, strict=True):
        if any(letter.isdecimal() for letter in row[column]):
            signs.setdefault(row[column].endswith("%"), number)
    if len(signs) > 1:
        raise UserError(
            f"{path}, line {signs[False]}: {column} has no percent sign, and on line "
            f"{signs[True]} it has one; write all in the same way."
        )
    return True in signs


def _shares(
    path: Path,
    sheet: Sheet,
    rows: Sequence[records.Record],
    columns: Mapping[str, str],
    kind: str,
) -> list[str]:
    """Bring shares that are in percent to between 0 and 1, in place.

    Args:
        path: of the file.
        sheet: its text.
        rows: what it holds; cells with a percent sign are shares already.
        columns: name in the rows -> name in the file.
        kind: the metric.

    Returns:
        What a reader must know, a sentence if anything.
    """
    signed = [ours for ours, name in columns.items() if _with_signs(path, sheet, name)]
    plain = [ours for ours in columns if ours not in signed]
    percent = bool(signed)
    for names, most in ((signed, 1), (plain, 100)):
        values = [row[n] for row in rows for n in names if row[n] is not None]
        if not values or (min(values) >= 0 and max(values) <= 1):
            continue
        if min(values) < 0 or max(values) > most:
            raise UserError(
                f"{path}: the column {columns[names[0]]!r} goes from "
                f"{min(values) * 100 / most:g} to {max(values) * 100 / most:g}; {kind} "
                "is between 0 and 1, or 0 and 100 in percent."
            )
        if sorted(values)[len(values) // 2] <= 1:
            raise UserError(
                f"{path}: {columns[names[0]]!r} goes from {min(values):g} to "
                f"{max(values):g}, most of it below 1: if it is in percent, write the "
                "signs, and otherwise no more than 1."
            )
        percent = True
        for row in rows:
            row |= {n: row[n] / 100 for n in names if row[n] is not None}
    return [f"The table's {kind} is read as percent."] if percent else []
