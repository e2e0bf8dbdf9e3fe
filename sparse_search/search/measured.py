"""What was measured before training, journaled: what is stopped need not measure again.

A line of `measured.jsonl` holds where it was measured: with these versions, on this
machine as env.json describes it, by an executor and its workers.
"""

import hashlib
import json
from typing import Any

from sparse_search import records
from sparse_search.records import Record
from sparse_search.search.executors.processes import cores
from sparse_search.search.groups import Speed
from sparse_search.search.supervisor import Search
from sparse_search.search.worker import Job
from sparse_search.sparse import native


class Measured:
    """The layers and speeds that a workdir knows."""

    def __init__(self, search: Search):
        """Reads the journal of a search whose env.json is written."""
        self._path = search.workdir / "measured.jsonl"
        self._where = _where(search)
        self._known = {
            _key(record): record["found"] for record in records.read(self._path)
        }

    def of(self, job: Job) -> tuple[str, ...] | Speed | None:
        """What was found by a job, None where it was not done."""
        found = self._known.get(_key(self._question(job)))
        if found is None:
            return None
        return tuple(found) if job.kind == "represent" else Speed(*found)

    def keep(self, job: Job, found: Any) -> None:
        """Keep what a job has found."""
        question = self._question(job)
        with records.open_journal(self._path) as journal:
            journal.append(question | {"found": found})
        self._known[_key(question)] = found

    def _question(self, job: Job) -> Record:
        asked = {"kind": job.kind, "name": job.name, "trials": len(job.trials)}
        return asked | {"where": self._where}


def _where(search: Search) -> str:
    """A hash of all that decides how fast a search is, but for its trials."""
    config = search.config
    setting = {
        "environment": json.loads((search.workdir / "env.json").read_text()),
        "instructions": native.usable() and native.instruction_set(),
        "cores": len(cores()),
        "executor": type(search.executor).__name__,
        "workers": search.executor.workers,
        "devices": config.devices,
        "lanes": config.lanes,
    }
    return hashlib.sha256(json.dumps(setting).encode()).hexdigest()[:16]


def _key(record: Record) -> tuple[Any, ...]:
    return tuple(record[name] for name in ("kind", "name", "trials", "where"))
