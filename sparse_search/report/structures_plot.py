"""The best networks: degrees at the end, densities and turnover on the way."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from sparse_search.report import style
from sparse_search.report.plots import new_figure
from sparse_search.report.structures import Structure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw_structures(
    found: Sequence[Structure], rounds: dict[str, list[Any]], task: str
) -> "Figure":
    """Degrees at the end, and densities and turnover on the way, a column a method."""
    columns = len(found)
    figure = new_figure(3.5 if columns == 1 else 7.0, 5.4)
    grid = figure.subplots(4, columns, sharey="row", squeeze=False)
    for column, one in zip(grid.T, found, strict=True):
        column[0].set_title(style.text(style.short(one.method, 24)))
        for axes, of in zip(column[:2], ("fan_in", "fan_out"), strict=True):
            _draw_degrees(axes, one, of)
        _draw_rounds(column[2], column[3], one, rounds.get(one.trials[0], []))
    words = ("fan-in of a neuron", "fan-out of an input")
    for row, name in enumerate(words):
        grid[row, 0].set_ylabel("part with more")
        for axes in grid[row]:
            axes.set_xlabel(name)
    grid[2, 0].set_ylabel("density (%)")
    grid[3, 0].set_ylabel("turnover,\neffective (%)")
    for row in (2, 3):
        for axes in grid[row]:
            axes.set_xlabel("gradient steps")
    grid[0, 0].set_ylim(-0.02, 1.02)
    grid[1, 0].set_ylim(-0.02, 1.02)
    grid[3, 0].set_ylim(-3, 103)
    _density_axis(grid[2, 0])
    handles, labels = grid[2, 0].get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="outside lower center", ncols=4)
    figure.suptitle(f"{style.text(task)}, {found[0].nnz:,} weights", fontsize=8)
    return figure


def _look(place: int, count: int) -> dict[str, Any]:
    return {
        "color": style.sequence(place, count),
        "linestyle": style.DASHES[place % len(style.DASHES)],
    }


def _draw_degrees(axes: "Axes", one: Structure, of: str) -> None:
    """The part of neurons that have more than so many connections, all seeds."""
    for place, _ in enumerate(one.layers):
        degrees = np.concatenate([getattr(seed[place], of) for seed in one.seeds])
        values = np.arange(0, max(int(degrees.max()), 1) + 1)
        more = (degrees[:, None] > values).mean(axis=0)
        axes.step(values, more, where="post", **_look(place, len(one.layers)))
    axes.set_xscale("symlog", linthresh=4, base=2)
    axes.set_xlim(left=0)
    ticks = [t for t in (0, 2, 4, 16, 64, 256, 1024, 4096) if t <= axes.get_xlim()[1]]
    axes.set_xticks(ticks, [f"{tick}" for tick in ticks])
    axes.minorticks_off()


def _draw_rounds(
    densities: "Axes", turnovers: "Axes", one: Structure, rounds: list[Any]
) -> None:
    for place, layer in enumerate(one.layers):
        known = [r for r in rounds if layer in r["layers"]]
        steps = [record["step"] for record in known]
        of = [record["layers"][layer] for record in known]
        look = _look(place, len(one.layers))
        label = f"layer {place + 1}"
        densities.plot(steps, [100 * x["density"] for x in of], label=label, **look)
        turnovers.plot(steps, [100 * x["turnover"] for x in of], **look)
    known = [r for r in rounds if r.get("effective_parameters") is not None]
    if known and one.parameters:
        turnovers.plot(
            [record["step"] for record in known],
            [100 * record["effective_parameters"] / one.parameters for record in known],
            color=style.INK,
            linewidth=0.8,
        )
        densities.plot([], [], color=style.INK, linewidth=0.8, label="effective")


def _density_axis(axes: "Axes") -> None:
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    low, high = low / 1.1, min(high * 1.1, 130)
    axes.set_ylim(low, high)
    ladder = [f * 10.0**p for p in range(-5, 3) for f in (1, 2, 5)]
    ticks = style.thinned([t for t in ladder if low <= t <= high], 4)
    axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
