"""The two protocols as panels, because they answer differently.

*Prune down* keeps one dense shape and lets its density fall; *widen at a fixed budget*
keeps the number of weights and lets the width grow (Golubeva et al. 2021). Both are
cut from the same trials.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sparse_search.report import style
from sparse_search.report.plots import (
    PANEL_LETTERS,
    draw_line,
    legend,
    legend_columns,
    log_axis,
    metric_axis,
    new_figure,
)
from sparse_search.report.scales import Scale
from sparse_search.report.series import Line, budgets_of, in_panel, panels

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def has_protocols(lines: Sequence[Line]) -> bool:
    """Whether there are several widths to draw the budgets over."""
    sparse = [line for line in lines if line.panel is not None]
    rows = [dot.row for line in sparse for dot in line.dots]
    return all(
        len({row[column] for row in rows if row[column]}) > 1
        for column in ("width", "density")
    )


def has_several_budgets(lines: Sequence[Line]) -> bool:
    """Whether a dense shape can be seen pruned down: else it is drawn widening only."""
    return len(budgets_of(lines)) > 1


def prune_lines(lines: Sequence[Line]) -> list[Line]:
    """The sparse `lines` over density instead of nnz."""
    return [
        line._replace(
            dots=sorted(
                (
                    dot._replace(x=dot.row["density"])
                    for dot in line.dots
                    if dot.row["density"]
                ),
                key=lambda dot: dot.x,
            )
        )
        for line in lines
        if line.panel is not None
    ]


def widen_lines(lines: Sequence[Line]) -> list[Line]:
    """The dots of the sparse `lines` over width: one line a panel, dash and budget."""
    found: dict[tuple, Line] = {}
    sparse = [line for line in lines if line.panel is not None]
    budgets = budgets_of(lines)
    for line in sparse:
        for dot in line.dots:
            if not dot.row["width"]:
                continue
            place = budgets.index(dot.x)
            label = f"{style.number(budgets[place])} weights"
            key = (line.panel, line.dash, place)
            new = Line(
                panel=line.panel,
                label=label,
                name=label,
                dots=[],
                colour=style.sequence(place, len(budgets)),
                marker=place % len(style.MARKERS),
                dash=line.dash,
            )
            found.setdefault(key, new).dots.append(dot._replace(x=dot.row["width"]))
    for line in found.values():
        line.dots.sort(key=lambda dot: dot.x)
    return [found[key] for key in sorted(found)] + _dense_over_width(lines, budgets)


def _dense_over_width(lines: Sequence[Line], budgets: Sequence[float]) -> list[Line]:
    """Where each budget's line begins: the dense network with as many weights."""
    return [
        line._replace(
            dots=sorted(
                (
                    dot._replace(x=dot.row["width"])
                    for dot in line.dots
                    if dot.row["width"] and _matches(dot.x, budgets)
                ),
                key=lambda dot: dot.x,
            )
        )
        for line in lines
        if line.panel is None
    ]


def _matches(nnz: float, budgets: Sequence[float]) -> bool:
    """Whether small dense was matched to one of the budgets, or lies beyond them."""
    return any(abs(math.log(nnz / budget)) < math.log(1.1) for budget in budgets)


def draw_protocols(lines: Sequence[Line], task: str, scale: Scale) -> "Figure":
    """Prune down in the upper panels, widen in the lower; one column a method.

    Of one budget, widen alone: it has nothing to prune.
    """
    names = panels([line for line in lines if line.panel is not None])
    most = 7 if len(names) < 3 else 5
    pruned, widened = prune_lines(lines), widen_lines(lines)
    inches = 3.5 if len(names) == 1 else 7.0
    labels = len({line.label for line in pruned})
    entries = -(-labels // legend_columns(pruned, inches))
    densities = [dot.x for line in pruned for dot in line.dots]
    widths = [dot.x for line in widened for dot in line.dots]
    parts = (
        (
            "Prune down: falling density",
            pruned,
            "density (nnz / size, %)",
            style.thinned(_round_densities(densities), most),
            lambda density: f"{100 * density:.3g}",
        ),
        (
            "Widen at a fixed budget",
            widened,
            "width (units)",
            style.thinned(_powers_of_two(widths), most),
            style.number,
        ),
    )
    shown = parts if has_several_budgets(lines) else parts[1:]
    figure = new_figure(inches, len(shown) * (2.7 + 0.135 * entries))
    halves = figure.subfigures(len(shown), 1, squeeze=False).flat
    for half, (title, members, label, ticks, form) in zip(halves, shown, strict=True):
        grid = half.subplots(1, len(names), sharex=True, sharey=True, squeeze=False)
        for axes, name in zip(grid.flat, names, strict=True):
            for line in in_panel(members, name):
                draw_line(axes, line, scale)
            metric_axis(axes, members, scale)
            log_axis(axes, ticks, form)
            axes.set_xlabel(label)
            if len(names) > 1:
                axes.set_title(style.text(style.short(name, PANEL_LETTERS)))
        half.suptitle(title, fontsize=8, fontweight="bold")
        grid[0, 0].set_ylabel(f"{style.text(task)} {scale.axis}")
        legend(half, members, inches)
    return figure


def _powers_of_two(widths: Sequence[float]) -> list[float]:
    """The powers of two within the range of the widths, at least the lowest one."""
    low, high = math.ceil(math.log2(min(widths))), math.floor(math.log2(max(widths)))
    return [2.0**power for power in range(low, max(low, high) + 1)]


def _round_densities(densities: Sequence[float]) -> list[float]:
    """1, 2 and 5 times powers of ten within the range."""
    ladder = [factor * 10.0**power for power in range(-7, 1) for factor in (1, 2, 5)]
    return [
        step for step in ladder if min(densities) * 0.9 <= step <= max(densities) * 1.1
    ]
