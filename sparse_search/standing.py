"""Where a search stands, budget by budget, from its journals as they grow.

What is compared on the way is validation accuracy: the test set is for the report.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from sparse_search import records
from sparse_search.records import SMALL_DENSE, Record

_KEPT = (
    "point",
    "structure",
    "method",
    "density",
    "learning_rate",
    "seed",
    "nnz",
    "budget",
    "status",
    "parent",
    "valid_accuracy",
)


class Best(NamedTuple):
    """The point with the best validation accuracy, as a mean over its seeds so far."""

    structure: str
    accuracy: float
    seeds: int


class Budget(NamedTuple):
    """Where a search stands at one budget.

    Attributes:
        nnz: the budget.
        done: trials that have a result.
        failed: trials that have broken.
        total: these, and the trials that are asked for and have not ended.
        running: trials that have new rounds and have not ended.
        sparse: the best of the large and sparse.
        dense: the best of the small dense family.
    """

    nnz: int
    done: int
    failed: int
    total: int
    running: int
    sparse: Best | None
    dense: Best | None


class Standing:
    """What is known of a workdir's trials.

    Attributes:
        asked: what is being trained: budget and rounds by trial.
        reached: the last round of every trial.
        ended: the record of every trial that has one, without most of its columns.
    """

    def __init__(self, workdir: Path):
        """Reads what there is; the folder need not be there yet."""
        self._workdir = workdir
        self._read = {"rounds": 0, "trials": 0}
        self._heard: set[str] = set()
        self._asked_at: Any = None
        self.asked: dict[str, tuple[int, int]] = {}
        self.reached: dict[str, int] = {}
        self.ended: dict[str, Record] = {}
        self.look()
        self._heard.clear()

    def look(self) -> None:
        """Reads what is new."""
        self._look_at_asked()
        self._look_at("rounds", self._add_round)
        self._look_at("trials", self._add_trial)

    def _look_at(self, journal: str, add: Callable[[bytes], None]) -> None:
        path = self._workdir / f"{journal}.jsonl"
        lines, self._read[journal] = records.read_lines(path, self._read[journal])
        try:
            for line in lines:
                add(line)
        except (ValueError, TypeError, KeyError):
            list(records.read(path))  # says which line is no record
            raise

    def _add_round(self, line: bytes) -> None:
        found = records.ROUND_LINE.match(line)
        if found:
            name, number = found[1].decode(), int(found[2])
        else:
            record = json.loads(line)
            name, number = record["trial"], record["round"]
        self.reached[name] = max(number, self.reached.get(name, 0))
        self._heard.add(name)

    def _add_trial(self, line: bytes) -> None:
        record = json.loads(line)
        kept = {key: record.get(key) for key in _KEPT}
        self.ended[record["trial"]] = kept

    def _look_at_asked(self) -> None:
        file = self._workdir / "asked.json"
        if not file.exists():
            file = self._workdir / "plan.jsonl"
        if not file.exists():
            return
        written = file.name, file.stat().st_mtime_ns, file.stat().st_size
        if written == self._asked_at:
            return
        self._asked_at = written
        self.asked = records.read_asked(self._workdir)
        self._heard.clear()  # what has come to a pause is not running

    @property
    def waiting(self) -> dict[str, tuple[int, int]]:
        """Of what is asked, the trials that have not ended."""
        return {name: one for name, one in self.asked.items() if name not in self.ended}

    @property
    def begun(self) -> dict[str, int]:
        """The last round of every trial that is asked for and has not ended."""
        reached = self.reached
        return {name: reached[name] for name in self.waiting if name in reached}

    @property
    def total(self) -> int:
        """Trials that have ended or are asked for."""
        return len(self.ended.keys() | self.asked.keys())

    def counts(self) -> dict[str, int]:
        """The number of trials with each status, all of `records.STATUSES`."""
        found = Counter(record["status"] for record in self.ended.values())
        return {status: found[status] for status in records.STATUSES}

    def budgets(self) -> list[Budget]:
        """All budgets, from the fewest weights on."""
        waiting: dict[int, list[str]] = {}
        for name, (budget, _) in self.waiting.items():
            waiting.setdefault(budget, []).append(name)
        ended: dict[int, list[Record]] = {}
        for record in self.ended.values():
            ended.setdefault(record["budget"], []).append(record)
        rows = []
        for nnz in sorted(waiting.keys() | ended.keys()):
            names, here = waiting.get(nnz, []), ended.get(nnz, [])
            failed = sum(record["status"] == "failed" for record in here)
            rows.append(
                Budget(
                    nnz=nnz,
                    done=len(here) - failed,
                    failed=failed,
                    total=len(here) + len(names),
                    running=sum(name in self._heard for name in names),
                    sparse=_best(r for r in here if r["structure"] != SMALL_DENSE),
                    dense=_best(r for r in here if r["structure"] == SMALL_DENSE),
                )
            )
        return rows

    def classes(self) -> dict[int, str]:
        """The class of every budget so far, from validation accuracies.

        Few trials leave most of them undetermined. It takes a moment: 0.1 s for ten
        thousand trials, and a second to import SciPy.
        """
        from sparse_search.analysis.regions import first_classes
        from sparse_search.analysis.table import nearest

        rows = [
            {**record, "test_accuracy": record["valid_accuracy"]}
            for record in self.ended.values()
        ]
        if not rows:
            return {}
        import numpy as np

        found = first_classes(rows)
        known = np.array(sorted(found), float)
        budgets = {record["budget"] for record in self.ended.values()}
        at = {nnz: nearest(known, nnz) for nnz in sorted(budgets)}
        return {n: found[int(known[i])] for n, i in at.items() if i is not None}


def _best(ended: Iterable[Record]) -> Best | None:
    points: dict[str, list[Record]] = {}
    for record in ended:
        if record["valid_accuracy"] is not None:
            points.setdefault(record["point"], []).append(record)
    found = [
        Best(
            of[0]["structure"],
            sum(record["valid_accuracy"] for record in of) / len(of),
            len(of),
        )
        for of in points.values()
    ]
    return max(found, key=lambda best: best.accuracy, default=None)
