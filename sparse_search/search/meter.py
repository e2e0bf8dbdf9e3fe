"""Where a search stands and when it will end."""

import time
from collections.abc import Callable
from typing import NamedTuple

from sparse_search.search.groups import Planned
from sparse_search.search.supervisor import Search

_EVERY_SECONDS = 0.5


class Progress(NamedTuple):
    """Where a search stands.

    Attributes:
        phase: measuring layers or programs, or training.
        done: what is measured; in training, trials that are finished.
        total: all that is to be measured; in training, all trials.
        part: of the phase's expected time that is done, from 0 to 1.
        seconds_left: an estimate; None before there is one.
    """

    phase: str
    done: int
    total: int
    part: float
    seconds_left: float | None


Watcher = Callable[[Progress], None]
"""Is told where a search stands."""


class Countdown:
    """Counts what is measured before training, and estimates when that ends."""

    def __init__(self, phase: str, total: int, watch: Watcher):
        """Begins to count: what, how many, and who is told."""
        self._phase, self._total, self._watch = phase, total, watch
        self._done, self._began = 0, time.monotonic()
        self._last = self._began

    def one_less(self) -> None:
        """A measurement is done."""
        self._done += 1
        self._last = time.monotonic()
        self.look()

    def look(self) -> None:
        """Tell what is left."""
        left = None
        if self._done:
            each = (self._last - self._began) / self._done
            since = time.monotonic() - self._last
            left = max(each * (self._total - self._done) - since, 0.0)
        part = self._done / self._total
        self._watch(Progress(self._phase, self._done, self._total, part, left))


class Meter:
    """Watches the journals of a search in training, and estimates when it ends."""

    def __init__(
        self,
        this: Search,
        pending: list[tuple[Planned, int]],
        everything: set[str],
        watch: Watcher,
    ):
        """Begins to watch.

        Args:
            this: the search.
            pending: the chunks that are to be trained, and for how many rounds.
            everything: the names of all trials, finished or not.
            watch: is told of the progress.
        """
        self._journals, self._workers = this.journals, this.executor.workers
        self._everything, self._watch = everything, watch
        whole = this.config.steps // this.config.sparsity.rewire_every
        # What a trial's round adds to the expected seconds that are done.
        self._share: dict[str, float] = {}
        self._seconds_total = 0.0
        for planned, until in pending:
            for trial in planned.chunk.trials:
                share = planned.seconds / len(planned.chunk.trials) / whole
                self._share[trial.name] = share
                self._seconds_total += share * until
        self._seconds_before = self._done()
        self._began = time.monotonic()
        self._last = -_EVERY_SECONDS

    def _done(self) -> float:
        rounds = self._journals.rounds
        return sum(share * len(rounds(name)) for name, share in self._share.items())

    def look(self) -> None:
        """Tell what the journals say, once in a while."""
        if time.monotonic() - self._last < _EVERY_SECONDS:
            return
        self._last = time.monotonic()
        done = self._done()
        finished = len(self._journals.ended & self._everything)
        elapsed = time.monotonic() - self._began
        now = done - self._seconds_before
        left = max(self._seconds_total - done, 0.0)
        seconds_left = None
        if now > 0.02 * self._seconds_total:  # what was seen beats what was measured
            seconds_left = left * elapsed / now
        elif self._seconds_total:
            seconds_left = left / self._workers
        part = min(done / max(self._seconds_total, 1e-9), 1.0)
        self._watch(
            Progress("training", finished, len(self._everything), part, seconds_left)
        )
