"""Pareto fronts: the test metric against each cost, the members joined by a line."""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sparse_search.analysis.pareto import COSTS, Point
from sparse_search.report import style
from sparse_search.report.plots import new_figure, value_axis
from sparse_search.report.scales import Scale

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MANY = 2000  # points, above which they are drawn as an image
_LETTERS = 24
_LADDER = [step * 10.0**power for power in range(-1, 22) for step in (1, 2, 5)]
_COLUMNS = (
    "cost",
    "structure",
    "point",
    "nnz",
    "cost_value",
    "mean",
    "reached",
    "low",
    "high",
)


def has_fronts(fronts: Mapping[str, Sequence[Point]]) -> bool:
    """Whether any cost differs between points."""
    return any(len({p.cost for p in points}) > 1 for points in fronts.values())


def draw_pareto(
    fronts: Mapping[str, Sequence[Point]],
    task: str,
    scale: Scale,
    words: Mapping[str, str] = COSTS,
) -> "Figure":
    """A panel a cost; sparse points by method, small dense in black.

    Args:
        fronts: what `pareto.fronts` gives.
        task: what was trained on.
        scale: of the metric.
        words: for every cost.
    """
    every = [p for points in fronts.values() for p in points]
    looks = _looks(every)
    across = len(fronts) if len(fronts) < 4 else 2
    down = -(-len(fronts) // across)
    inches = 3.5 if across == 1 else 7.0
    columns = 3 if across == 1 else 6
    rows = -(-(len(looks) + 2) // columns)
    figure = new_figure(inches, 2.2 * down + 0.25 + 0.14 * rows)
    grid = figure.subplots(down, across, sharey=True, squeeze=False)
    # One collapsed run would flatten all others; the table of trials has it.
    shown = [p.mean for p in every if p.whole] or [p.mean for p in every]
    for axes, (cost, points) in zip(grid.flat, fronts.items(), strict=False):
        _draw_points(axes, points, looks, scale)
        _draw_front(axes, points, looks, scale)
        value_axis(axes, shown, scale)
        axes.set_xscale("log")
        low, high = axes.get_xlim()
        ticks = [tick for tick in _LADDER if low <= tick <= high]
        ticks = ticks if len(ticks) < 7 else style.thinned(ticks, 5)
        axes.set_xticks(ticks, [style.number(tick) for tick in ticks])
        axes.minorticks_off()
        axes.set_xlabel(words[cost])
    for axes in grid.flat[len(fronts) :]:
        axes.set_axis_off()
    for axes in grid[:, 0]:
        axes.set_ylabel(f"{style.text(task)} {scale.axis}")
    _legend(figure, looks, columns, every)
    return figure


def _looks(points: Sequence[Point]) -> dict[str, dict[str, Any]]:
    """Colour and marker of each method, small dense last and so on top."""
    methods = sorted({p.method for p in points if not p.dense})
    looks: dict[str, dict[str, Any]] = {
        method: {
            "color": style.CATEGORIES[i % len(style.CATEGORIES)],
            "marker": style.MARKERS[i % len(style.MARKERS)],
        }
        for i, method in enumerate(methods)
    }
    if any(p.dense for p in points):
        looks["small dense"] = {"color": style.INK, "marker": "h"}
    return looks


def _look_of(point: Point) -> str:
    return "small dense" if point.dense else point.method


def _draw_points(
    axes: "Axes",
    points: Sequence[Point],
    looks: Mapping[str, dict[str, Any]],
    scale: Scale,
) -> None:
    for name, look in looks.items():
        for whole in (True, False):
            some = [p for p in points if _look_of(p) == name and p.whole == whole]
            axes.plot(
                [p.cost for p in some],
                [scale.height(p.mean) for p in some],
                linestyle="",
                markersize=2.4,
                alpha=0.55,
                markeredgewidth=0 if whole else 0.5,
                markerfacecolor=look["color"] if whole else "none",
                rasterized=len(points) > _MANY,
                **look,
            )


def _draw_front(
    axes: "Axes",
    points: Sequence[Point],
    looks: Mapping[str, dict[str, Any]],
    scale: Scale,
) -> None:
    members = [p for p in points if p.member]
    axes.plot(
        [p.cost for p in members],
        [scale.height(p.mean) for p in members],
        color=style.GREY,
        linewidth=0.9,
        zorder=2.5,
    )
    for p in members:
        look = looks[_look_of(p)]
        if p.low is not None and p.high is not None:
            ends = scale.height(p.low), scale.height(p.high)
            axes.vlines(p.cost, *ends, color=look["color"], linewidth=0.9, zorder=2.6)
        axes.plot(
            [p.cost],
            [scale.height(p.mean)],
            markersize=3.6,
            markeredgecolor=style.INK,
            markeredgewidth=0.5,
            zorder=3,
            **look,
        )


def _legend(
    figure: "Figure",
    looks: Mapping[str, dict[str, Any]],
    columns: int,
    points: Sequence[Point],
) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D(
            [], [], linestyle="", label=style.text(style.short(name, _LETTERS)), **look
        )
        for name, look in looks.items()
    ]
    handles.append(
        Line2D(
            [],
            [],
            color=style.GREY,
            linewidth=0.9,
            label="front, 95 % intervals of the choice",
        )
    )
    if not all(p.whole for p in points):
        look: dict[str, Any] = {"linestyle": "", "marker": "o", "color": style.GREY}
        handles.append(
            Line2D([], [], markerfacecolor="none", label="some runs lost", **look)
        )
    figure.legend(
        handles=handles, loc="outside lower center", ncols=min(len(handles), columns)
    )


def pareto_csv(fronts: Mapping[str, Sequence[Point]]) -> bytes:
    """The members of all fronts; a missing number is an empty cell."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow((*_COLUMNS, "seeds"))
    for cost, points in fronts.items():
        for p in points:
            if p.member:
                ends = [
                    "" if e is None else repr(e) for e in (p.reached, p.low, p.high)
                ]
                amount = int(p.cost) if p.cost == math.floor(p.cost) else repr(p.cost)
                row = [cost, p.structure, p.name, p.nnz, amount, repr(p.mean), *ends]
                writer.writerow([*row, p.seeds])
    return text.getvalue().encode()
