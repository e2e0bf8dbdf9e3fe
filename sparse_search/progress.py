"""Progress for people: a bar on a terminal, plain lines elsewhere."""

import sys
import time
from typing import Any

from sparse_search.records import Record

_LINE_SECONDS = 10.0


def duration(seconds: float) -> str:
    """Seconds in words: 45 s, 12 min, 3.5 h."""
    if seconds < 90:
        return f"{max(seconds, 1):.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


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
    """Where a search stands: a live bar on a terminal, a line every 10 s elsewhere."""

    def __init__(self, quiet: bool):
        """Draws nothing when quiet."""
        self._quiet = quiet
        self._bar: Any = None
        self._task: Any = None
        self._last = -_LINE_SECONDS

    def __enter__(self) -> "SearchProgress":
        """Begins to draw."""
        if not self._quiet and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn

            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.fields[said]}"),
                console=Console(stderr=True),
                transient=True,
            )
            self._task = self._bar.add_task("starting", total=1.0, said="")
            self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Ends to draw."""
        if self._bar:
            self._bar.stop()

    def __call__(self, progress: Any) -> None:
        """Show a `search.driver.Progress`."""
        said = f"{progress.done} of {progress.total} trials done"
        if progress.seconds_left is not None:
            said += f", about {duration(progress.seconds_left)} left"
        if self._bar:
            self._bar.update(
                self._task,
                completed=progress.part,
                description=progress.phase,
                said=said,
            )
            return
        now = time.monotonic()
        if not self._quiet and now - self._last >= _LINE_SECONDS:
            self._last = now
            print(f"{progress.phase}: {said}", file=sys.stderr, flush=True)
