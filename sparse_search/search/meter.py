"""Where a search stands and when it will end, read from its journals."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from sparse_search import records
from sparse_search.search.groups import Planned


class Progress(NamedTuple):
    """Where a search stands.

    Attributes:
        phase: measuring or training.
        done: trials that are finished.
        total: all trials.
        part: of the expected training time that is done, from 0 to 1.
        seconds_left: an estimate; None before there is one.
    """

    phase: str
    done: int
    total: int
    part: float
    seconds_left: float | None


Watcher = Callable[[Progress], None]
"""Is told where a search stands."""


class Meter:
    """Watches the journals of a search, and estimates when it ends."""

    def __init__(
        self,
        workdir: Path,
        pending: list[tuple[Planned, int]],
        everything: set[str],
        workers: int,
        watch: Watcher,
    ):
        """Begins to watch.

        Args:
            workdir: of the search.
            pending: the chunks that are to be trained, and for how many rounds.
            everything: the names of all trials, finished or not.
            workers: how many train at the same time.
            watch: is told of the progress.
        """
        self._rounds = records.Tail(workdir / "rounds.jsonl")
        self._trials = records.Tail(workdir / "trials.jsonl")
        self._total = len(everything)
        self._finished = everything & records.read_trials(workdir).keys()
        self._workers, self._watch = workers, watch
        # What a trial's round adds to the expected seconds that are done.
        rounds = max(r["rounds"] for r in records.read_plan(workdir).values())
        self._share: dict[str, float] = {}
        self._seconds_total = 0.0
        until: dict[str, int] = {}
        for planned, number in pending:
            for trial in planned.chunk.trials:
                share = planned.seconds / len(planned.chunk.trials) / rounds
                self._share[trial.name] = share
                self._seconds_total += share * number
                until[trial.name] = number
        self._seconds_done = sum(
            self._share[name]
            for name, number in records.read_rounds(workdir)
            if number <= until.get(name, 0)
        )
        self._seconds_before = self._seconds_done
        self._began = time.monotonic()

    def look(self) -> None:
        """Read what is new, and tell."""
        for record in self._rounds.new():
            self._seconds_done += self._share.get(record["trial"], 0.0)
        for record in self._trials.new():
            self._finished.add(record["trial"])
        elapsed = time.monotonic() - self._began
        now = self._seconds_done - self._seconds_before
        left = max(self._seconds_total - self._seconds_done, 0.0)
        seconds_left = None
        if now > 0.02 * self._seconds_total:  # what was seen beats what was measured
            seconds_left = left * elapsed / now
        elif self._seconds_total:
            seconds_left = left / self._workers
        part = min(self._seconds_done / max(self._seconds_total, 1e-9), 1.0)
        self._watch(
            Progress("training", len(self._finished), self._total, part, seconds_left)
        )
