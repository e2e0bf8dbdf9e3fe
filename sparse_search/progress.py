"""Progress for people: a live table on a terminal, plain lines elsewhere."""

import math
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sparse_search.records import Record
from sparse_search.standing import Best, Standing

_LINE_SECONDS = 10.0
_BEST_SECONDS = 60.0
_DRAW_SECONDS = 0.5
_CLASS_SECONDS = 5.0


def duration(seconds: float) -> str:
    """Seconds in words: 45 s, 12 min, 3.5 h."""
    if seconds < 90:
        return f"{max(seconds, 1):.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def plural(number: int, what: str) -> str:
    """A number of things: 1 trial, 2 trials."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def percent(best: Best | None) -> str:
    """An accuracy; "" where there is none."""
    return f"{100 * best.accuracy:.1f} %" if best else ""


class RoundLines:
    """A line per round of a single run, at most one a second."""

    def __init__(self, steps: int, quiet: bool):
        """Takes the run's steps, for the estimate."""
        self._steps, self._quiet = steps, quiet
        self._first: tuple[float, int] | None = None
        self._last = 0.0

    def __call__(self, record: Record) -> None:
        """Print a round's record."""
        now, step = time.monotonic(), record["step"]
        if self._first is None:
            self._first = now, step
        if self._quiet or (now - self._last < 1 and step < self._steps):
            return
        self._last = now
        began, begun = self._first
        left = ""
        if step > begun and step < self._steps:
            seconds = (now - began) / (step - begun) * (self._steps - step)
            left = f", {duration(seconds)} left"
        said = {part: _said(record, part) for part in ("train", "valid")}
        print(
            f"step {step}/{self._steps}: train {said['train']}; validation "
            f"{said['valid']}; {record['grown']} connections rewired{left}",
            flush=True,
        )


def _said(record: Record, part: str) -> str:
    loss, accuracy = record[f"{part}_loss"], record[f"{part}_accuracy"]
    if loss is None:
        return "diverged"
    return f"loss {loss:.4f}, accuracy {accuracy:.4f}"


class SearchProgress:
    """Where a search stands: a live table on a terminal, lines elsewhere.

    Both are drawn from the journals of the workdir; the search tells what it is doing.
    """

    def __init__(self, quiet: bool, workdir: Path):
        """Draws nothing when quiet."""
        self._quiet, self._workdir = quiet, workdir
        self._standing: Standing | None = None
        self._live: Any = None
        self._classes: dict[int, str] = {}
        self._drawn = self._told = self._classified = -math.inf
        self._pause = 0.0

    def __enter__(self) -> "SearchProgress":
        """Begins to draw."""
        if not self._quiet and sys.stderr.isatty():
            from rich.console import Console
            from rich.live import Live

            self._live = Live(console=Console(stderr=True), transient=True)
            self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Ends to draw."""
        if self._live:
            self._live.stop()

    def __call__(self, progress: Any) -> None:
        """Show a `search.meter.Progress`."""
        now = time.monotonic()
        every = _DRAW_SECONDS if self._live else _LINE_SECONDS
        if self._quiet or now - self._drawn < every:
            return
        self._drawn = now
        if self._standing is None:
            self._standing = Standing(self._workdir)
        self._standing.look()
        if self._live:
            self._classify(now)
            self._live.update(live_table(progress, self._standing, self._classes))
            return
        said = f"{progress.phase}: {summary(progress, self._standing)}"
        print(said, file=sys.stderr, flush=True)
        best = best_line(self._standing)
        if best and now - self._told >= _BEST_SECONDS:
            self._told = now
            print(best, file=sys.stderr, flush=True)

    def _classify(self, now: float) -> None:
        """Once in a while, and so that it takes little of the time."""
        if now - self._classified < self._pause or self._standing is None:
            return
        self._classes = self._standing.classes()
        self._classified = time.monotonic()
        self._pause = max(_CLASS_SECONDS, 50 * (self._classified - now))


def summary(progress: Any, standing: Standing) -> str:
    """How much is done of a phase, and how long the rest takes."""
    if progress.phase != "training":
        said = f"{progress.done:,} of {progress.total:,} done"
    else:
        failed = standing.counts()["failed"]
        ended = len(standing.ended) - failed
        said = f"{ended:,} of {plural(standing.total, 'trial')} done"
        if failed:
            said += f", {failed:,} failed"
    if progress.seconds_left is not None:
        said += f", about {duration(progress.seconds_left)} left"
    return said


def best_line(standing: Standing) -> str:
    """The best on validation at every budget that has one; "" where none has."""
    found = [
        f"{at.nnz:,}: {percent(at.sparse)} ({at.sparse.structure})"
        for at in standing.budgets()
        if at.sparse
    ]
    return "best on validation so far, by weights: " + "; ".join(found) if found else ""


def live_table(progress: Any, standing: Standing, classes: Mapping[int, str]) -> Any:
    """A line and, below it, a row a budget, for rich.

    Args:
        progress: a `search.meter.Progress`.
        standing: what is known of the trials.
        classes: of budgets, so far.
    """
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    line = Table.grid(padding=(0, 2))
    line.add_row(
        progress.phase,
        ProgressBar(total=1.0, completed=progress.part, width=30),
        summary(progress, standing),
    )
    budgets = standing.budgets()
    reference = any(at.dense for at in budgets)
    table = Table(box=None, padding=(0, 2), pad_edge=False, header_style="bold")
    table.add_column("weights", justify="right", no_wrap=True)
    table.add_column("done", justify="right", no_wrap=True)
    table.add_column("running", justify="right", no_wrap=True)
    table.add_column("best on validation", no_wrap=True, overflow="ellipsis")
    if reference:
        table.add_column("small dense", justify="right", no_wrap=True)
    table.add_column("so far", no_wrap=True)
    for at in budgets:
        best = f"{percent(at.sparse)}  {at.sparse.structure}" if at.sparse else ""
        table.add_row(
            f"{at.nnz:,}",
            f"{at.done:,}/{at.total:,}",
            f"{at.running:,}" if at.running else "",
            Text(best),
            *([percent(at.dense)] if reference else []),
            classes.get(at.nnz, ""),
            style="dim" if at.done + at.failed == at.total else "",
        )
    return Group(line, table)
