"""What is done, running and failed in a workdir, from its journals alone."""

from collections import Counter
from pathlib import Path

from sparse_search import records
from sparse_search.errors import UserError
from sparse_search.progress import duration
from sparse_search.train.workdir import owner


def skipped(workdir: Path) -> list[str]:
    """Lines for people: what the space of a search leaves out, and why.

    Raises:
        UserError: the folder is no workdir of a search.
    """
    if records.read_config(workdir).get("command") != "search":
        raise UserError(f"{workdir} is no workdir of a search; nothing is skipped.")
    return records.describe_skipped(records.read_skipped(workdir))


def status(workdir: Path) -> list[str]:
    """Lines for people.

    Raises:
        UserError: the folder is no workdir.
    """
    command = records.read_config(workdir).get("command")
    plan = records.read_plan(workdir)
    trials = records.read_trials(workdir)
    rounds = records.read_rounds(workdir)
    holder = owner(workdir)
    names = {name: chunk for chunk in plan.values() for name in chunk["names"]}
    begun: dict[str, int] = {}
    for name, number in rounds:
        if name not in trials and name in names:
            begun[name] = max(begun.get(name, 0), number)
    counts = Counter(record["status"] for record in trials.values())
    waiting = len(names) - len(trials.keys() & names.keys()) - len(begun)
    lines = [
        f"{workdir} ({command}): " + (f"running, {holder}" if holder else "not running")
    ]
    lines.append(f"{len(trials)} of {len(names)} planned trials have ended")
    for state in records.STATUSES:
        if counts[state]:
            lines.append(f"  {state}: {counts[state]}")
    if begun:
        lines.append(f"{'running' if holder else 'begun'}: {len(begun)}")
        for name, number in begun.items():
            lines.append(f"  {name}: round {number} of {names[name]['rounds']}")
    if waiting:
        lines.append(f"waiting: {waiting}")
    if not plan:
        lines.append("Nothing is planned yet: it is still being measured.")
    lines.extend(
        f"  failed: {name}: {record.get('reason')}"
        for name, record in trials.items()
        if record["status"] == "failed"
    )
    left = _seconds_left(plan, trials, begun)
    if left:
        lines.append(
            f"The rest takes about {duration(left)} on this machine"
            + ("." if holder else f"; to go on, run the {command} command again.")
        )
    return lines


def _seconds_left(plan: dict, trials: dict, begun: dict[str, int]) -> float:
    """Expected seconds of what is not done, over the workers of the search."""
    seconds = 0.0
    workers = 1
    for chunk in plan.values():
        workers = chunk.get("workers", 1)
        share = chunk.get("seconds", 0.0) / len(chunk["names"])
        for name in chunk["names"]:
            if name not in trials:
                seconds += share * (1 - begun.get(name, 0) / chunk["rounds"])
    return seconds / workers
