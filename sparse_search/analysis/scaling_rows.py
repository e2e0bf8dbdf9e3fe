"""The rows of a table, from a CSV file or from trials of ours."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sparse_search.analysis.scaling_table import OURS
from sparse_search.analysis.table import best, read_trials
from sparse_search.errors import UserError


def read_csv(path: Path) -> list[dict[str, Any]]:
    """The rows of a CSV file, whose first line names the columns.

    Commas, semicolons and tabs are understood; blank lines are skipped.

    Raises:
        UserError: it is missing, no text, empty, or a line has another number of cells.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise UserError(
            f"There is no file {path}; give a CSV file or a workdir."
        ) from None
    except UnicodeDecodeError:
        raise UserError(f"{path} is no text in UTF-8; give a CSV file.") from None
    first = text.lstrip("\r\n").partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    try:
        lines = csv.reader(io.StringIO(text), delimiter=delimiter, strict=True)
        numbered = [(lines.line_num, cells) for cells in lines if any(cells)]
    except csv.Error as error:
        raise UserError(f"{path} is no CSV file ({error}).") from None
    if len(numbered) < 2:
        raise UserError(f"{path} has no rows below a line that names the columns.")
    header = [name.strip() for name in numbered[0][1]]
    twice = {name for name in header if name and header.count(name) > 1}
    if twice:
        raise UserError(f"{path} has two columns named {min(twice)!r}; rename one.")
    for number, cells in numbered[1:]:
        if len(cells) != len(header):
            raise UserError(
                f"{path}, line {number} has {len(cells)} cells where the header has "
                f"{len(header)}; is a cell with a comma not in quotes?"
            )
    return [
        {"": number, **dict(zip(header, map(str.strip, cells), strict=True))}
        for number, cells in numbered[1:]
    ]


def at_best_learning_rates(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Of trials of ours, those at each structure's best learning rate at each budget.

    Of small dense networks depth is chosen too. The choice is by mean validation loss.
    Rows that are not of a report or a workdir of ours come back as they are.
    """
    plain = [dict(row) for row in rows]
    if not plain or not OURS <= plain[0].keys():
        return plain
    typed = [{key: _typed(value) for key, value in row.items()} for row in plain]
    trials = read_trials([row for row in typed if row["nnz"]], "loss")
    chosen = set()
    for points in (trials.sparse, trials.dense):
        places = list(zip(points.structures, points.budget.tolist(), strict=True))
        for place in set(places):
            among = np.array([i for i, other in enumerate(places) if other == place])
            chosen.add((place[0], points.names[best(points, among)]))
    return [row for row in typed if (row["structure"], str(row["point"])) in chosen]


def _typed(value: Any) -> Any:
    try:
        return None if value == "" else float(value)
    except (TypeError, ValueError):
        return value
