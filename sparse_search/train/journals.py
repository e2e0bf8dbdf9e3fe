"""The two journals of a workdir, fed with what training emits."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from sparse_search import records
from sparse_search.records import Journal, Record

Kind = Literal["round", "trial"]


class Journals:
    """Writes records of rounds and trials, each of them once."""

    def __init__(self, workdir: Path):
        """Opens both journals and remembers what they hold."""
        self.trials = records.read_trials(workdir)
        self._rounds = set(records.read_rounds(workdir))
        self._files = {
            "trial": Journal(workdir / "trials.jsonl"),
            "round": Journal(workdir / "rounds.jsonl"),
        }

    def write(self, kind: str, record: Record) -> None:
        """Append a record, unless a resumed run tells it for the second time."""
        name = record["trial"]
        if kind == "round":
            place = (name, record["round"])
            if place in self._rounds:
                return
            self._rounds.add(place)
        elif name in self.trials:
            return
        else:
            self.trials[name] = record
        self._files[kind].append(record)

    def close(self) -> None:
        """Closes both files."""
        for file in self._files.values():
            file.close()


@contextmanager
def open_journals(workdir: Path) -> Iterator[Journals]:
    """The journals of a workdir that is owned by this process."""
    journals = Journals(workdir)
    try:
        yield journals
    finally:
        journals.close()
