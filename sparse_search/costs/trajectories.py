"""How many weights the built-in methods train with, round by round.

Ahead of time, from the schedule: what a method stores in every layer during each round,
and what its passes compute with of that. The same rules tell the cost of a training
whose stored weights were recorded. Rounding is that of the algorithms, in float32.

- Methods that keep the number of every layer store what is asked for. So does `snfs`,
  as in RigL's table, and `dsr`; both move weights between layers, which only a record
  tells.
- `gradual` and `granet` fall on a cubic; `gap`, `ac_dc`, `lottery` and `magnitude` take
  turns. Compared over all layers (scopes global, lamp) the total follows the same rule.
- `top_kast` computes its forward pass with few of the weights that it stores, and makes
  gradients for some more; `sr_ste` makes them for all. `str` counts as dense until it
  is projected: its zeros come and go at every step.
- `srigl` may store a little less than what is asked for, and patterns too.
- What a method computes before the first step, such as SNIP's gradient of one batch, is
  left out.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from sparse_search.costs.flops import Growth, Phase

Counts = tuple[int, ...]


class Schedule(NamedTuple):
    """When masks change.

    Attributes:
        every: ΔT, the gradients of a round.
        until: the step from which masks stay.
        due: of each round, whether its last gradient feeds a rewire.
    """

    every: int
    until: int
    due: tuple[bool, ...]

    def step(self, number: int) -> int:
        """Gradients before the one that ends a round, which are numbered from 0."""
        return (number + 1) * self.every - 1

    def is_last(self, number: int) -> bool:
        """Whether no rewire comes after that round's."""
        return self.step(number) >= self.until - self.every


class _Layers(NamedTuple):
    sizes: Counts
    counts: Counts
    options: Mapping[str, Any]


def phases(
    method: str,
    growth: Growth,
    sizes: Sequence[int],
    counts: Sequence[int],
    schedule: Schedule,
    options: Mapping[str, Any],
) -> list[Phase] | None:
    """The steps of a training ahead of time; None where a method is not built in.

    Args:
        method: its name.
        growth: what its rewires need.
        sizes: of the sparse layers, in the order of their names.
        counts: the nnz of these layers that is asked for.
        schedule: when masks change.
        options: arguments of the method that are not its own defaults.
    """
    rule = STORED.get(method)
    if rule is None:
        return None
    layers = _Layers(tuple(sizes), tuple(counts), options)
    found: list[Phase] = []
    stored = rule(layers, schedule, -1, layers.counts)
    for number, due in enumerate(schedule.due):
        found += of_round(method, growth, layers, stored, schedule.every, due)
        if due:
            stored = rule(layers, schedule, number, stored)
    return found


def of_round(
    method: str,
    growth: Growth,
    layers: tuple[Counts, Counts, Mapping[str, Any]],
    stored: Counts,
    steps: int,
    due: bool,
) -> list[Phase]:
    """The steps of one round.

    Args:
        method: its name, built in or not.
        growth: what its rewires need.
        layers: sizes of the sparse layers, counts that are asked for, options.
        stored: the nnz of every sparse layer in this round.
        steps: ΔT.
        due: whether it ends in a rewire.
    """
    sizes, counts, options = layers
    forward = gradient = stored
    if method == "top_kast":
        part = np.float32(options.get("backward", 2.0))
        wide = (
            min(max(int(np.round(part * n)), n), s)
            for n, s in zip(counts, sizes, strict=True)
        )
        # After the last rewire no more is stored than the forward pass needs.
        gradient = tuple(map(min, wide, stored))
        forward = counts
    elif method == "sr_ste":
        forward = counts
    dense = {"gradient": int(due), "momentum": steps}.get(growth, 0)
    if method == "rigl" and growth == "momentum":
        # The gradients that it adds up before a rewire; the others are not looked at.
        dense = min(int(options.get("batches", 1)), steps) if due else 0
    made = [Phase(steps - dense, forward, gradient), Phase(dense, forward, sizes)]
    return [phase for phase in made if phase.steps]


def _asked(layers: _Layers, schedule: Schedule, number: int, before: Counts) -> Counts:
    return layers.counts


def _until_last(
    layers: _Layers, schedule: Schedule, number: int, before: Counts
) -> Counts:
    """All weights, and what is asked for from the last rewire on."""
    ended = number >= 0 and schedule.is_last(number)
    return layers.counts if ended else layers.sizes


def _cubic(first: Counts) -> Callable[[_Layers, Schedule, int, Counts], Counts]:
    def rule(
        layers: _Layers, schedule: Schedule, number: int, before: Counts
    ) -> Counts:
        if number < 0:
            return first
        ends = np.float32(max(schedule.until, 1))
        progress = np.float32(schedule.step(number) + schedule.every) / ends
        left = np.float32(1) - np.clip(progress, np.float32(0), np.float32(1))
        cube = left * left * left

        def after(start: int, last: int, now: int) -> int:
            extra = max(int(np.round(cube * np.float32(start - last))), 0)
            return max(min(last + extra, now), last)

        return tuple(map(after, first, layers.counts, before))

    return rule


def _gradual(
    layers: _Layers, schedule: Schedule, number: int, before: Counts
) -> Counts:
    return _cubic(layers.sizes)(layers, schedule, number, before)


def _granet(layers: _Layers, schedule: Schedule, number: int, before: Counts) -> Counts:
    density = layers.options.get("initial_density", 0.5)

    def begin(size: int, count: int) -> int:
        if density >= 1:
            return size
        least = math.ceil(np.float32(density) * np.float32(size))
        return min(max(least, count), size)

    first = tuple(map(begin, layers.sizes, layers.counts))
    return _cubic(first)(layers, schedule, number, before)


def _gap(layers: _Layers, schedule: Schedule, number: int, before: Counts) -> Counts:
    many = len(layers.sizes)
    partitions = min(layers.options.get("partitions", 4), many)
    turns = partitions * layers.options.get("cycles", 2)
    ends, phase = max(schedule.until, 1), 0
    if number >= 0:
        if schedule.is_last(number):
            return layers.counts
        most = min(max(ends // schedule.every, 1), turns)
        phase = (schedule.step(number) + 1) * most // ends
    return tuple(
        size if phase % partitions == place * partitions // many else count
        for place, (size, count) in enumerate(
            zip(layers.sizes, layers.counts, strict=True)
        )
    )


def _ac_dc(layers: _Layers, schedule: Schedule, number: int, before: Counts) -> Counts:
    if number < 0:
        return layers.sizes
    ends = max(schedule.until, 1)
    most = min(max(ends // schedule.every, 2), layers.options.get("phases", 10))
    phase = (schedule.step(number) + 1) * most // ends
    sparse = phase % 2 == 1 or schedule.is_last(number)
    return layers.counts if sparse else layers.sizes


def _lottery(
    layers: _Layers, schedule: Schedule, number: int, before: Counts
) -> Counts:
    prunings = layers.options.get("prunings", 3)
    if number < 0:
        return layers.sizes
    following = (schedule.step(number) + schedule.every) * prunings
    done = min(following // max(schedule.until, 1), prunings)
    if schedule.is_last(number):
        done = prunings
    share = np.float32(done) / np.float32(prunings)

    def left(count: int, size: int) -> int:
        if done >= prunings:
            return count
        part = (np.float32(count) / np.float32(size)) ** share
        return min(max(int(np.round(np.float32(size) * part)), count), size)

    return tuple(map(left, layers.counts, layers.sizes))


def _mest(layers: _Layers, schedule: Schedule, number: int, before: Counts) -> Counts:
    soft = layers.options.get("soft_bound", 0.0)
    if not soft or (number >= 0 and schedule.is_last(number)):
        return layers.counts

    def more(count: int, size: int) -> int:
        return min(int(np.round(np.float32(1 + soft) * np.float32(count))), size)

    return tuple(map(more, layers.counts, layers.sizes))


def _dense(layers: _Layers, schedule: Schedule, number: int, before: Counts) -> Counts:
    return layers.sizes


_CONSTANT = ("static", "set", "rigl", "snfs", "dsr", "srigl", "cht", "chts")
_BEFORE = ("random", "snip", "grasp", "synflow")

STORED: dict[str, Callable[[_Layers, Schedule, int, Counts], Counts]] = {
    "dense": _dense,
    **dict.fromkeys((*_CONSTANT, *_BEFORE), _asked),
    **dict.fromkeys(("top_kast", "sr_ste", "str", "magnitude"), _until_last),
    "mest": _mest,
    "granet": _granet,
    "gradual": _gradual,
    "gap": _gap,
    "ac_dc": _ac_dc,
    "lottery": _lottery,
}
"""`(layers, schedule, the round that ended or -1, before) -> stored`, by method."""

GROWTH: dict[str, Growth] = {
    **dict.fromkeys(STORED, "random"),
    **dict.fromkeys(("dense", "static", *_BEFORE), "none"),
    **dict.fromkeys(("rigl", "granet", "srigl"), "gradient"),
    "snfs": "momentum",
}
"""What the rewires of each method need, with its default options."""

SCHEDULED = ("granet", "gradual", "gap", "ac_dc", "lottery", "magnitude", "str")
"""Those whose number of weights depends on how far training is."""
