"""Somebody's CSV file as rows of text, each with the number of its line."""

import csv
import io
from pathlib import Path
from typing import NamedTuple

from sparse_search.errors import UserError

_DELIMITERS = ",;\t"


class Sheet(NamedTuple):
    """A CSV file, read.

    Attributes:
        header: the names of the columns, without spaces around them.
        rows: a dict a row, in order; blank lines are left out.
        numbers: the number of the line that each row ends on.
    """

    header: list[str]
    rows: list[dict[str, str]]
    numbers: list[int]


def read_csv(path: Path, small_letters: bool = False) -> Sheet:
    """The rows of a CSV file, whose first line names the columns.

    Commas, semicolons and tabs are understood, and a mark of the byte order.

    Args:
        path: of the file.
        small_letters: whether names of columns differ by their letters' size only by
            accident, and are returned in small letters.

    Raises:
        UserError: it is missing, no text, empty, has a single column or one
            twice, or a line has another number of cells.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no UTF-8 text"
        raise UserError(f"{path} cannot be read: {reason}; give a CSV file.") from None
    if not text.strip():
        raise UserError(f"{path} is empty; a table begins with a line of column names.")
    first = text.lstrip().splitlines()[0]
    delimiter = max(_DELIMITERS, key=first.count)
    reader = csv.reader(
        io.StringIO(text, newline=""),
        delimiter=delimiter,
        skipinitialspace=delimiter != "\t",
        strict=True,
    )
    try:
        lines = [
            (reader.line_num, [cell.strip() for cell in cells]) for cells in reader
        ]
    except csv.Error as error:
        raise UserError(
            f"{path}, line {reader.line_num}, is no CSV ({error})."
        ) from None
    named, *lines = [line for line in lines if any(line[1])] or [(1, [""])]
    header = named[1]
    if len(header) == 1 and header[0]:
        raise UserError(
            f"{path} has a single column, {header[0]!r}; its first line names the "
            "columns, divided by commas, semicolons or tabs."
        )
    if small_letters:
        header = [name.lower() for name in header]
    twice = [name for name in header if name and header.count(name) > 1]
    if twice:
        raise UserError(f"{path} has the column {twice[0]!r} twice; rename one.")
    if not lines:
        raise UserError(f"{path} has a header and no rows; a row is a trained network.")
    for number, cells in lines:
        if len(cells) != len(header):
            hint = ""
            if delimiter == "," and len(cells) > len(header):
                hint = "; is a cell with a comma not in quotes?"
            raise UserError(
                f"{path}, line {number}: {len(cells)} cells for {len(header)} "
                f"columns{hint or '.'}"
            )
    return Sheet(
        header,
        [dict(zip(header, cells, strict=True)) for _, cells in lines],
        [number for number, _ in lines],
    )
