"""What was measured before training, journaled: what is stopped need not measure again.

A line of `measured.jsonl` holds for a device, for a number of trials and for what the
config pins of them.
"""

from pathlib import Path
from typing import Any

import jax

from sparse_search import records
from sparse_search.config import Config
from sparse_search.records import Record
from sparse_search.search.groups import Speed
from sparse_search.search.worker import Job


class Measured:
    """The layers and speeds that a workdir knows."""

    def __init__(self, workdir: Path, config: Config):
        """Reads the journal of a search, with the number of devices that there are."""
        self._path = workdir / "measured.jsonl"
        self._pinned = {
            "device": jax.devices()[0].device_kind,
            "devices": config.devices,
            "lanes": config.lanes,
        }
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
        return asked | self._pinned


def _key(record: Record) -> tuple[Any, ...]:
    names = ("kind", "name", "trials", "device", "devices", "lanes")
    return tuple(record[name] for name in names)
