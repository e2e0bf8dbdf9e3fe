"""Trials to groups and lanes: what is compiled once and trained side by side.

A group holds the trials of one compile key. Its number of lanes is measured, or
pinned by the config, and its trials are cut into chunks of that many. The plan is
journaled before the first step, since rounding depends on the lanes: whatever is
resumed, retried or repeated later runs in the chunk that the plan names.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from sparse_search import records
from sparse_search.config import Config
from sparse_search.train.run import Chunk, plan_record, planned_chunk
from sparse_search.train.trials import Trial


class Speed(NamedTuple):
    """What was measured of a group.

    Attributes:
        lanes: the number that trains the group soonest.
        seconds: a gradient step of all these lanes takes.
    """

    lanes: int
    seconds: float


class Planned(NamedTuple):
    """A chunk and the seconds it is expected to take."""

    chunk: Chunk
    seconds: float


def by_group(trials: Iterable[Trial]) -> dict[str, list[Trial]]:
    """Trials by compile key, in order."""
    groups: dict[str, list[Trial]] = {}
    for trial in trials:
        groups.setdefault(trial.group, []).append(trial)
    return groups


def shape_of(trial: Trial) -> str:
    """Groups of one shape are equally fast: what speed is measured for."""
    kind = "dense" if trial.method == "dense" else "sparse"
    return f"{kind}-w{trial.width}-d{trial.depth}{trial.capacities}"


def read_plan(workdir: Path) -> dict[str, Planned]:
    """The chunks that a workdir's plan holds, by name."""
    return {
        name: Planned(planned_chunk(record), record["seconds"])
        for name, record in records.read_plan(workdir).items()
    }


def extend_plan(
    workdir: Path,
    config: Config,
    plan: Mapping[str, Planned],
    new: Sequence[Trial],
    speeds: Mapping[str, Speed],
    workers: int,
) -> dict[str, Planned]:
    """Put trials that no chunk has into chunks, and journal them.

    Args:
        workdir: of the search.
        config: of the search, with the number of devices that there are.
        plan: the chunks that there are.
        new: the trials that are in none of them.
        speeds: by `shape_of`, for all shapes of these trials.
        workers: how many train at the same time, for estimates.

    Returns:
        The new chunks, by name.
    """
    if not new:
        return {}
    begun: dict[str, list[Planned]] = {}
    for planned in plan.values():
        begun.setdefault(planned.chunk.trials[0].group, []).append(planned)
    made: dict[str, Planned] = {}
    with records.open_journal(workdir / "plan.jsonl") as journal:
        for group, members in by_group(new).items():
            speed = speeds[shape_of(members[0])]
            # A group that has chunks goes on as they do: one compilation.
            before = begun.get(group, [])
            lanes, devices = speed.lanes, config.devices
            if before:
                lanes, devices = before[0].chunk.lanes, before[0].chunk.devices
            seconds = speed.seconds * config.steps * lanes / speed.lanes
            starts = range(0, len(members), lanes)
            for number, start in enumerate(starts, len(before)):
                chunk = Chunk(
                    f"{group}-{number:03d}",
                    tuple(members[start : start + lanes]),
                    lanes,
                    devices,
                )
                journal.append(
                    plan_record(config, chunk, seconds=seconds, workers=workers)
                )
                made[chunk.name] = Planned(chunk, seconds)
    return made


def bundles(pending: Sequence[Planned], workers: int) -> list[list[Planned]]:
    """Chunks that one worker trains in a row, the longest bundles first.

    A bundle is of one group, so that its programs compile in one worker; it is cut
    where it is so long that the others would wait for it at the end.
    """
    longest = sum(planned.seconds for planned in pending) / (4 * workers)
    groups: dict[str, list[Planned]] = {}
    for planned in pending:
        groups.setdefault(planned.chunk.trials[0].group, []).append(planned)
    made: list[list[Planned]] = []
    for members in groups.values():
        bundle: list[Planned] = []
        for planned in members:
            length = sum(other.seconds for other in bundle) + planned.seconds
            if bundle and workers > 1 and length > longest:
                made.append(bundle)
                bundle = []
            bundle.append(planned)
        made.append(bundle)
    return sorted(made, key=lambda b: -sum(planned.seconds for planned in b))
