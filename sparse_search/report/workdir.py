"""What a report reads from a workdir: the command, the task and the journals."""

from collections import Counter
from pathlib import Path
from typing import NamedTuple

from sparse_search import records
from sparse_search.errors import UserError


class Workdir(NamedTuple):
    """One workdir, read.

    Attributes:
        path: the folder.
        command: "search" or "train".
        task: the data set, e.g. "digits".
        trials: the last record of every finished trial, sorted by `row_order`.
        rounds: of a single run, the last record of every round, in order.
        left: how many trials are being trained, or will be, and have not ended.
    """

    path: Path
    command: str
    task: str
    trials: list[records.Record]
    rounds: list[records.Record]
    left: int

    @property
    def so_far(self) -> str:
        """How many trials have ended, in words."""
        ended = len(self.trials)
        number = f"{ended:,} of {ended + self.left:,}" if self.left else f"{ended:,}"
        return f"{number} trial{'' if ended + self.left == 1 else 's'}"

    @property
    def name(self) -> str:
        """The folder's own name, or that of the file without its suffix."""
        name = self.path.stem if self.command == "table" else self.path.resolve().name
        return name or str(self.path)

    @property
    def counts(self) -> dict[str, int]:
        """The number of trials with each status, all of `records.STATUSES`."""
        found = Counter(row["status"] for row in self.trials)
        return {status: found[status] for status in records.STATUSES}


def row_order(row: records.Record) -> tuple:
    """The key that rows are sorted by: structure, point, seed, then the trial."""
    seed = row["seed"]
    return (
        str(row["structure"]),
        str(row["point"]),
        seed is None,
        seed or 0,
        row["trial"],
    )


def read(path: Path) -> Workdir:
    """Reads the workdir at `path`.

    Raises:
        UserError: `path` is missing, is no workdir, or has no finished trial.
    """
    config = records.read_config(path)
    trials = sorted(records.read_trials(path).values(), key=row_order)
    if not trials:
        raise UserError(
            f"{path} has no finished trial yet ({path / 'trials.jsonl'} is missing or "
            "empty); wait for the first, or repeat the command that made it, which "
            "continues where it stopped."
        )
    tasks = sorted({str(row.get("task")) for row in trials})
    if len(tasks) > 1:
        raise UserError(
            f"{path} mixes the tasks {', '.join(tasks)}; a report is of one task, so "
            "give each task a workdir of its own."
        )
    command = str(config.get("command", "search"))
    # A search has a line for every round of thousands of trials, and shows none.
    rounds = records.read_rounds(path) if command == "train" else {}
    left = records.read_asked(path).keys() - {row["trial"] for row in trials}
    return Workdir(
        path,
        command,
        tasks[0],
        trials,
        [rounds[key] for key in sorted(rounds)],
        len(left),
    )
