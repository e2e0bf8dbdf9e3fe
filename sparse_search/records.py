"""The result schema and the append-only journals that every report is rebuilt from.

A workdir has two journals: `trials.jsonl`, a line per finished trial, and
`rounds.jsonl`, a line per round of every trial. Lines are only ever appended. A
later line for the same trial (or the same trial and round) supersedes an earlier
one, and a last line that was torn by a crash is skipped when the journal is read and
cut off before it is written again. A third journal, `plan.jsonl`, holds a line per
chunk: which trials are trained side by side, written before their first step; a
fourth, `measured.jsonl`, what a search measured before it planned.

This module and everything above it in `analysis` and `report` run without JAX.
"""

import contextlib
import fcntl
import json
import os
import re
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
    "parent",
    "task",
    "stored_bytes",
)

SMALL_DENSE = "small_dense"
"""The structure of every small dense network: one family, valid at any nnz."""

COSTS = {
    "nnz": "nnz",
    "parameters": "parameters",
    "effective_parameters": "effective parameters",
    "train_flops": "training FLOPs",
    "stored_bytes": "stored bytes",
}
"""The columns that networks are compared at equal amounts of, in words."""

STATUSES = ("done", "collapsed", "diverged", "failed")

# A round's record is long, and begins with the trial and its round.
ROUND_LINE = re.compile(rb'\{"schema": \d+, "trial": "([^"\\]*)", "round": (\d+)[,}]')

Record = dict[str, Any]


class Journal:
    """An append-only file of JSON lines, shared by the processes of one command.

    Every line is written under a lock, whole, and flushed to the disk. What a process
    that was killed left of a line is cut off before the next one is written.
    """

    def __init__(self, path: Path):
        """Opens `path` for appending, creating it if needed."""
        self._file = open(path, "a+b", buffering=0)

    def append(self, *records: Record) -> None:
        """Writes records; on failure (a full disk) the file ends as before."""
        lines = [json.dumps({"schema": SCHEMA, **record}) + "\n" for record in records]
        file = self._file
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            end = self._end_of_last_line()
            try:
                data = "".join(lines).encode()
                while data:
                    data = data[file.write(data) :]
                os.fsync(file.fileno())
            except OSError:
                with contextlib.suppress(OSError):
                    file.truncate(end)
                raise
        finally:
            fcntl.flock(file, fcntl.LOCK_UN)

    def _end_of_last_line(self) -> int:
        file = self._file
        end = file.seek(0, os.SEEK_END)
        whole = end
        while whole:
            file.seek(whole - 1)
            if file.read(1) == b"\n":
                break
            whole -= 1
        if whole < end:
            file.truncate(whole)
        return whole

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


@contextlib.contextmanager
def open_journal(path: Path) -> Iterator[Journal]:
    """A journal to append to, closed at the end of the block."""
    journal = Journal(path)
    try:
        yield journal
    finally:
        journal.close()


def read_lines(path: Path, start: int = 0) -> tuple[list[bytes], int]:
    """The whole lines of a journal from a byte on, and the byte behind them.

    Lines are only ever appended, so that the next call can begin there.
    """
    if not path.exists():
        return [], start
    with open(path, "rb") as file:
        file.seek(start)
        data = file.read()
    end = data.rfind(b"\n") + 1
    return data[:end].splitlines(), start + end


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
            yield _record(path, number, line)


def _record(path: Path, number: int, line: bytes) -> Record:
    try:
        record = json.loads(line)
        schema = record["schema"]
    except (ValueError, TypeError, KeyError):
        raise UserError(
            f"{path}, line {number} is not a journal record; the file was changed by "
            "something else. Restore it, or delete that line to do it again."
        ) from None
    if schema > SCHEMA:
        raise UserError(
            f"{path} was written by a newer version (schema {schema}; this version "
            f"reads up to {SCHEMA}). Upgrade sparse_search."
        )
    return record


def read_config(workdir: Path) -> dict[str, Any]:
    """The content of a workdir's config.json: command, fingerprint and config.

    Raises:
        UserError: the folder is missing or no workdir.
    """
    if not workdir.is_dir():
        raise UserError(
            f"There is no workdir {workdir}; `sparse-search search --config=FILE "
            f"--workdir={workdir}` makes one."
        )
    file = workdir / "config.json"
    try:
        content = json.loads(file.read_text())
        if not isinstance(content["config"], dict):
            raise ValueError("it has no config")
    except FileNotFoundError:
        raise UserError(
            f"{workdir} is not a workdir: it has no config.json, which `sparse-search "
            "search` and `sparse-search train` write; give the folder that was passed "
            "as --workdir."
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{file} cannot be read ({error}); restore it, or repeat the command that "
            "made the workdir in a new folder."
        ) from None
    return content


def read_trials(workdir: Path) -> dict[str, Record]:
    """The last record of every finished trial, by trial name, in first-seen order."""
    return {record["trial"]: record for record in read(workdir / "trials.jsonl")}


def read_finished(workdir: Path) -> set[str]:
    """The names of trials that have a result; failed ones are to be tried again."""
    trials = read_trials(workdir)
    return {name for name, record in trials.items() if record["status"] != "failed"}


def read_rounds(workdir: Path) -> dict[tuple[str, int], Record]:
    """The last record of every (trial, round)."""
    return {
        (record["trial"], record["round"]): record
        for record in read(workdir / "rounds.jsonl")
    }


def read_plan(workdir: Path) -> dict[str, Record]:
    """The chunks of a workdir, by name."""
    return {record["chunk"]: record for record in read(workdir / "plan.jsonl")}


def read_skipped(workdir: Path) -> list[dict[str, str]]:
    """The name and the reason of every combination that a search leaves out."""
    file = workdir / "skipped.json"
    return json.loads(file.read_text()) if file.exists() else []


def read_asked(workdir: Path) -> dict[str, tuple[int, int]]:
    """What a command is training: the budget and the rounds of every trial, by name.

    Trials that ended before the strategy of a search last asked are not in it; of a
    single run, all that is planned.
    """
    file = workdir / "asked.json"
    if file.exists():
        asked = json.loads(file.read_text())
        return {name: (budget, rounds) for name, (budget, rounds) in asked.items()}
    return {
        name: (trial["budget"], chunk["rounds"])
        for chunk in read_plan(workdir).values()
        for name, trial in zip(chunk["names"], chunk["trials"], strict=True)
    }


class Tail:
    """The records of a journal, as they are appended."""

    def __init__(self, path: Path):
        """Begins at the start."""
        self._path = path
        self._bytes = self._lines = 0

    def new(self) -> list[Record]:
        """The whole lines since the last look.

        Raises:
            UserError: as `read`.
        """
        if not self._path.exists():
            return []
        with open(self._path, "rb") as file:
            file.seek(self._bytes)
            data = file.read()
        whole = data[: data.rfind(b"\n") + 1]
        lines = whole.splitlines()
        first = self._lines + 1
        self._bytes += len(whole)
        self._lines += len(lines)
        return [_record(self._path, n, line) for n, line in enumerate(lines, first)]
