"""What the figures of several experiments have in common."""

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sparse_search.analysis.stats import t_interval
from sparse_search.report import style
from sparse_search.report.plots import render

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def line(
    axes: "Axes",
    seeds: Mapping[int, Sequence[float]],
    label: str,
    colour: str,
    marker: str,
    beside: float = 1.0,
    dashes: str = "solid",
) -> None:
    """The means of the seeds at every place, with intervals where there are three.

    Drawn at `beside` times the true place, so that intervals can be told apart.
    """
    places = sorted(seeds)
    limits = [t_interval(seeds[place]) for place in places]
    for place, (_, low, high) in zip(places, limits, strict=True):
        if len(seeds[place]) > 2:
            axes.vlines(beside * place, low, high, color=colour)
    means = [mean for mean, _, _ in limits]
    how = {"marker": marker, "linestyle": dashes, "color": colour, "label": label}
    axes.plot([beside * place for place in places], means, **how, **style.EDGE)


def row(axes: "Axes", place: int, seeds: Sequence[float]) -> None:
    """Every seed, their mean and its interval, beside each other."""
    mean, low, high = t_interval(seeds)
    axes.plot(seeds, [place] * len(seeds), "o", color=style.SKY, **style.EDGE)
    axes.hlines(place, low, high, color=style.INK)
    axes.plot(mean, place, "D", color=style.INK, **style.EDGE)


def name_rows(axes: "Axes", names: Sequence[str]) -> None:
    """Names at the places 0, 1, … of rows, the first on top."""
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()


def write(draw: Callable[[], "Figure"]) -> None:
    """The figure, as the PNG that the command names."""
    Path(sys.argv[1]).write_bytes(render(draw)["png"])
