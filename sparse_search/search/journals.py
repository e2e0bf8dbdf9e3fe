"""What the journals of a search say, read once and then as they grow."""

import math
from collections.abc import Collection
from pathlib import Path

from sparse_search import records
from sparse_search.search.strategies.base import History, Seen
from sparse_search.train.run import Chunk


class Journals:
    """The rounds and results of a search's trials.

    Attributes:
        ended: trials that have a result; what failed in an earlier search has none.
        failed: trials that failed while these journals were read.
    """

    def __init__(self, workdir: Path, rounds: int):
        """Reads what there is.

        Args:
            workdir: of the search.
            rounds: of a whole training.
        """
        self._whole = rounds
        self._rounds = records.Tail(workdir / "rounds.jsonl")
        self._trials = records.Tail(workdir / "trials.jsonl")
        self._losses: dict[str, dict[int, float]] = {}
        self._accuracy: dict[str, float | None] = {}
        self.ended: set[str] = set()
        self.failed: set[str] = set()
        self.look()
        self.failed = set()

    def look(self) -> set[str]:
        """Read what is new; returns the trials that have new rounds."""
        heard = set()
        for record in self._rounds.new():
            name, loss = record["trial"], record["valid_loss"]
            losses = self._losses.setdefault(name, {})
            losses[record["round"]] = math.inf if loss is None else loss
            heard.add(name)
        for record in self._trials.new():
            name, failed = record["trial"], record["status"] == "failed"
            (self.failed if failed else self.ended).add(name)
            (self.ended if failed else self.failed).discard(name)
            diverged = record["status"] == "diverged"
            self._accuracy[name] = None if diverged else record.get("valid_accuracy")
        return heard

    def rounds(self, trial: str) -> Collection[int]:
        """The rounds of a trial that are in the journal."""
        return self._losses.get(trial, {}).keys()

    def finished(self, chunk: Chunk, until: int | None) -> bool:
        """Whether all trials of a chunk have a result, or have come to a pause.

        Args:
            chunk: trials that are trained side by side.
            until: the rounds that they shall have been trained for; None: to the end.
        """
        pause = until is not None and until < self._whole
        return all(
            trial.name in self.ended or (pause and until in self.rounds(trial.name))
            for trial in chunk.trials
        )

    def history(self) -> History:
        """What a strategy is told.

        A training that was killed between its last round and its result is not at its
        end.
        """
        names = self._losses.keys() | self.ended | self.failed
        return {name: self._seen(name) for name in names}

    def _seen(self, name: str) -> Seen:
        found = self._losses.get(name, {})
        ended = name in self.ended
        whole = self._whole if ended else self._whole - 1
        losses = []
        while len(losses) < whole and len(losses) + 1 in found:
            losses.append(found[len(losses) + 1])
        accuracy = self._accuracy.get(name)
        return Seen(tuple(losses), accuracy, ended, name in self.failed)
