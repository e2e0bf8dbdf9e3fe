"""What is done, running and failed in a workdir, from its journals alone."""

from collections.abc import Iterable
from pathlib import Path

from sparse_search import records
from sparse_search.errors import UserError
from sparse_search.progress import duration, percent, plural
from sparse_search.standing import Standing
from sparse_search.train.workdir import owner

_MOST = 10  # lines of a kind


def skipped(workdir: Path) -> list[str]:
    """Lines for people: what the space of a search leaves out, and why.

    Raises:
        UserError: the folder is no workdir of a search.
    """
    if records.read_config(workdir).get("command") != "search":
        raise UserError(f"{workdir} is no workdir of a search; nothing is skipped.")
    found = records.read_skipped(workdir)
    return describe_skipped([(one["name"], one["reason"]) for one in found])


def describe_skipped(
    skipped: Iterable[tuple[str, str]], most: int | None = None
) -> list[str]:
    """Lines for people.

    Args:
        skipped: names of combinations, and why they are left out.
        most: so many of them; None for all.
    """
    found = list(skipped)
    if not found:
        return ["No combination is skipped."]
    verb = "is" if len(found) == 1 else "are"
    lines = [f"{plural(len(found), 'combination')} {verb} skipped:"]
    lines += [f"  {name}: {reason}" for name, reason in found[:most]]
    return lines + _and_more(len(found), most)


def _and_more(number: int, most: int | None = _MOST) -> list[str]:
    return [f"  … and {number - most:,} more"] if most and number > most else []


def status(workdir: Path) -> list[str]:
    """Lines for people.

    Raises:
        UserError: the folder is no workdir.
    """
    command = records.read_config(workdir).get("command")
    standing = Standing(workdir)
    plan = records.read_plan(workdir)
    holder = owner(workdir)
    begun, waiting = standing.begun, standing.waiting
    lines = [
        f"{workdir} ({command}): " + (f"running, {holder}" if holder else "not running")
    ]
    ended, total = len(standing.ended), standing.total
    lines.append(f"{ended:,} of {plural(total, 'trial')} have ended")
    for state, number in standing.counts().items():
        if number:
            lines.append(f"  {state}: {number:,}")
    if begun:
        lines.append(f"{'running' if holder else 'begun'}: {len(begun):,}")
        for name in list(begun)[:_MOST]:
            lines.append(f"  {name}: round {begun[name]} of {waiting[name][1]}")
        lines += _and_more(len(begun))
    if len(waiting) > len(begun):
        lines.append(f"waiting: {len(waiting) - len(begun):,}")
    if not plan:
        lines.append("Nothing is planned yet: it is still being measured.")
    lines += _failed(workdir, standing)
    if command == "search":
        lines += _budgets(standing)
    left = _seconds_left(plan, standing)
    if left:
        lines.append(
            f"The rest takes about {duration(left)} on this machine"
            + ("." if holder else f"; to go on, run the {command} command again.")
        )
    return lines


def _failed(workdir: Path, standing: Standing) -> list[str]:
    names = [name for name, r in standing.ended.items() if r["status"] == "failed"]
    if not names:
        return []
    trials = records.read_trials(workdir)
    lines = [f"  failed: {name}: {trials[name].get('reason')}" for name in names]
    return lines[:_MOST] + _and_more(len(names))


def _budgets(standing: Standing) -> list[str]:
    """A line a budget: the best so far, and the class, both on validation data."""
    if not standing.ended:
        return []
    classes = standing.classes()
    rows = [["weights", "ended", "best on validation", "", "small dense", "so far"]]
    for at in standing.budgets():
        rows.append(
            [
                f"{at.nnz:,}",
                f"{at.done + at.failed:,}/{at.total:,}",
                percent(at.sparse),
                at.sparse.structure if at.sparse else "",
                percent(at.dense),
                classes.get(at.nnz, ""),
            ]
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if place < 2 else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    undetermined = [n for n, found in classes.items() if found == "undetermined"]
    if undetermined:
        at = ", ".join(f"{nnz:,}" for nnz in undetermined)
        lines.append(f"Undetermined so far: {at} weights.")
    return lines


def _seconds_left(plan: dict, standing: Standing) -> float:
    """Expected seconds of what is not done, over the workers of the search."""
    seconds = 0.0
    workers = 1
    waiting = standing.waiting
    for chunk in plan.values():
        workers = chunk.get("workers", 1)
        share = chunk.get("seconds", 0.0) / len(chunk["names"]) / chunk["rounds"]
        for name in chunk["names"]:
            if name in waiting:
                left = waiting[name][1] - standing.reached.get(name, 0)
                seconds += share * max(left, 0)
    return seconds / workers
