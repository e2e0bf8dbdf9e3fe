"""The rows of a table, from a CSV file or from trials of ours."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sparse_search.analysis.csv_rows import read_csv
from sparse_search.analysis.scaling_table import OURS
from sparse_search.analysis.table import best, read_trials


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a CSV file; the key "" holds the number of a row's line.

    Raises:
        UserError: as `csv_rows.read_csv`.
    """
    sheet = read_csv(path)
    pairs = zip(sheet.numbers, sheet.rows, strict=True)
    return [{**row, "": number} for number, row in pairs]


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
