"""The result schema and the append-only journals that every report is rebuilt from.

A workdir has two journals: `trials.jsonl`, a line per finished trial, and
`rounds.jsonl`, a line per round of every trial. Lines are only ever appended. A
later line for the same trial (or the same trial and round) supersedes an earlier
one, and a last line that was torn by a crash is cut off when the journal is opened
for writing and skipped when it is read.

This module and everything above it in `analysis` and `report` run without JAX.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sparse_search.errors import UserError

SCHEMA = 1

# One row a trial, in this order, in `report/curves.csv`.
COLUMNS = (
    "point",
    "structure",
    "method",
    "width",
    "depth",
    "density",
    "allocation",
    "pattern",
    "learning_rate",
    "seed",
    "nnz",
    "parameters",
    "effective_parameters",
    "steps",
    "train_loss",
    "train_accuracy",
    "valid_loss",
    "valid_accuracy",
    "test_loss",
    "test_accuracy",
    "train_flops",
    "inference_flops",
    "wall_seconds",
    "status",
)

SMALL_DENSE = "small_dense"
"""The structure of every small dense network: one family, valid at any nnz."""

STATUSES = ("done", "collapsed", "diverged", "failed")

Record = dict[str, Any]


class Journal:
    """An append-only file of JSON lines, each flushed to the disk as it is written.

    Opening cuts off a torn last line. A line is written by one `write` call, so that
    a reader sees whole lines or a torn last one, never a mixture.
    """

    def __init__(self, path: Path):
        """Opens `path` for appending, creating it if needed."""
        self._path = path
        self._file = open(path, "ab", buffering=0)
        self._cut_torn_line()

    def _cut_torn_line(self) -> None:
        data = self._path.read_bytes()
        if data and not data.endswith(b"\n"):
            os.truncate(self._path, data.rfind(b"\n") + 1)

    def append(self, record: Record) -> None:
        """Writes one record; on failure (a full disk) the file ends as before."""
        line = json.dumps({"schema": SCHEMA, **record}, allow_nan=True) + "\n"
        data = line.encode()
        end = os.fstat(self._file.fileno()).st_size
        try:
            while data:
                data = data[self._file.write(data) :]
            os.fsync(self._file.fileno())
        except OSError:
            os.truncate(self._path, end)
            raise

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


def read(path: Path) -> Iterator[Record]:
    """Yields the records of a journal in the order they were written.

    A torn last line is skipped; a missing file has no records.

    Raises:
        UserError: a line is not JSON, or comes from a newer schema.
    """
    if not path.exists():
        return
    with open(path, "rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                return
            try:
                record = json.loads(line)
                schema = record["schema"]
            except (ValueError, TypeError, KeyError):
                raise UserError(
                    f"{path}, line {number} is not a journal record; the file was "
                    "changed by something else. Restore it, or delete that line to "
                    "run its trial again."
                ) from None
            if schema > SCHEMA:
                raise UserError(
                    f"{path} was written by a newer version (schema {schema}; this "
                    f"version reads up to {SCHEMA}). Upgrade sparse_search."
                )
            yield record


def read_trials(workdir: Path) -> dict[str, Record]:
    """The last record of every finished trial, by trial name, in first-seen order."""
    return {record["trial"]: record for record in read(workdir / "trials.jsonl")}


def read_rounds(workdir: Path) -> dict[tuple[str, int], Record]:
    """The last record of every (trial, round)."""
    return {
        (record["trial"], record["round"]): record
        for record in read(workdir / "rounds.jsonl")
    }
