"""The scale that a metric is drawn on, and the words and numbers for it.

Accuracies are drawn at -log10(1 - accuracy) and labelled as accuracies: up is better,
and near the ceiling, where the structures differ by tenths of a point, they are as far
apart as their errors are. An axis linear in accuracy would put the upper half of every
map into a few pixels. Errors and losses are drawn at their logarithms.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from sparse_search.report import style

# Nothing is drawn better than this: one error in 100,000.
_LEAST = 1e-5


class Scale(NamedTuple):
    """How a metric is drawn and written.

    Attributes:
        metric: its name in `analysis.table.METRICS`.
        axis: its name at an axis.
        height: where a value is drawn.
        ticks: round values that label an axis on which some values are drawn.
        text: a tick's label.
        value: a value in a sentence.
        unit: of differences, where the metric is known.
        difference: the unit where it is not.
        times: that a difference in the unit is multiplied by.
        spacing: of the axis, a sentence.
        other: the scale on which classes are given too.
    """

    metric: str
    axis: str
    height: Callable[[float], float]
    ticks: Callable[[Sequence[float]], list[float]]
    text: Callable[[float], str]
    value: Callable[[float], str]
    unit: str
    difference: str
    times: float
    spacing: str
    other: str


def _height(accuracy: float) -> float:
    """Where an accuracy is drawn on the axis."""
    return -math.log10(1 - min(max(accuracy, 0.0), 1 - _LEAST))


def _accuracy_ticks(values: Sequence[float]) -> list[float]:
    """Round accuracies that label an axis on which `values` are drawn."""
    heights = [_height(value) for value in values] or [0.0, 1.0]
    low, high = min(heights), max(heights)
    room = (high - low) * 0.06 + 0.01
    ladders = [
        [1 - step * 10.0**-power for power in range(6)] for step in (1, 0.5, 0.2)
    ]
    fine = [1 - n * 10.0**-power for power in range(1, 6) for n in range(9, 0, -1)]
    finer = [1 - n * 10.0**-power for power in range(2, 6) for n in range(99, 0, -1)]
    finest = [1 - n * 10.0**-3 for step in (5, 2) for n in range(1000 - step, 0, -step)]
    chosen: list[float] = []
    for candidates in (*ladders, fine, finer, finest):
        for value in candidates:
            place = _height(value)
            inside = low - room <= place <= high + room
            apart = (high - low + 2 * room) / 7
            if inside and all(abs(place - _height(v)) >= apart for v in chosen):
                chosen.append(value)
        # The fine ladders only help an axis on which the round numbers are too few.
        if len(chosen) >= 4:
            break
    return sorted(chosen)


def _percent(accuracy: float) -> str:
    """A tick label: 0.995 is 99.5."""
    return f"{100 * accuracy:.5g}"


def _log_height(value: float) -> float:
    """Where an error or a loss is drawn on the axis."""
    return math.log10(max(value, _LEAST))


def _error_ticks(values: Sequence[float]) -> list[float]:
    ticks = _accuracy_ticks([1 - value for value in values])
    return sorted(round(1 - tick, 12) for tick in ticks)


def _loss_ticks(values: Sequence[float]) -> list[float]:
    """Round losses, of the coarsest ladder that has enough of them."""
    low = max(min(values, default=0.1), _LEAST) * 0.97
    high = max(max(values, default=1.0), _LEAST) * 1.03
    powers = [10.0**power for power in range(-6, 5)]
    ladders = [
        [step * power for power in powers for step in steps]
        for steps in ((1,), (1, 3), (1, 2, 5))
    ]
    # On a narrow axis steps are equal, not ratios.
    for step in (part * power for power in reversed(powers) for part in (5, 2, 1)):
        first, last = math.ceil(low / step), math.floor(high / step)
        if 4 <= last - first + 1 <= 40:
            ladders.append([n * step for n in range(first, last + 1)])
    found: list[float] = []
    for ladder in ladders:
        found = [float(f"{tick:.6g}") for tick in ladder if low <= tick <= high]
        if len(found) >= 4:
            break
    return style.thinned(found, 7)


_BY_ERROR = (
    "The axis is spaced by the logarithm of the error, so that differences near the "
    "ceiling can be seen."
)


def _of_share(
    metric: str,
    height: Callable[[float], float],
    ticks: Callable[[Sequence[float]], list[float]],
    spacing: str,
) -> Scale:
    """The scale of what is between 0 and 1, and written in percent."""
    return Scale(
        metric=metric,
        axis=f"test {metric} (%)",
        height=height,
        ticks=ticks,
        text=_percent,
        value=lambda x: f"{100 * x:.2f} %",
        unit="points",
        difference=f"{metric} points",
        times=100,
        spacing=spacing,
        other="logit",
    )


_LOGARITHMIC = "The axis is logarithmic."
_SCALES = {
    "accuracy": _of_share("accuracy", _height, _accuracy_ticks, _BY_ERROR),
    "error": _of_share("error", _log_height, _error_ticks, _LOGARITHMIC),
    "loss": Scale(
        metric="loss",
        axis="test loss",
        height=_log_height,
        ticks=_loss_ticks,
        text=lambda x: f"{x:.4g}",
        value=lambda x: f"{x:.4g}",
        unit="loss",
        difference="loss",
        times=1,
        spacing=_LOGARITHMIC,
        other="log",
    ),
}


def scale_of(metric: str) -> Scale:
    """The scale of a metric of `analysis.table.METRICS`."""
    return _SCALES[metric]


def scale_of_map(region_map: Mapping[str, Any]) -> Scale:
    """The scale of the metric that a region map is of."""
    return scale_of(region_map["metric"].removeprefix("test_"))
