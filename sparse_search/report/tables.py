"""The tables of a report as text that is the same for the same journal."""

import csv
import io
import json
import math
from collections.abc import Iterable
from typing import Any

from sparse_search import records


def curves_csv(rows: Iterable[records.Record], first: tuple[str, ...] = ()) -> bytes:
    """One line a trial with exactly `records.COLUMNS`, after the columns in `first`.

    Floats are written so that reading them gives the same bits; a missing number is
    an empty cell.
    """
    columns = (*first, *records.COLUMNS)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow([_cell(row.get(column)) for column in columns])
    return text.getvalue().encode()


def _cell(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return repr(value) if isinstance(value, float) else str(value)


def regions_json(region_map: dict[str, Any]) -> bytes:
    """The region map as strict JSON: what has no finite value is null."""
    text = json.dumps(strict(region_map), indent=2, allow_nan=False)
    return (text + "\n").encode()


def strict(value: Any) -> Any:
    """`value` with every NaN and infinity replaced by None, at any depth."""
    if isinstance(value, dict):
        return {str(key): strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [strict(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
