"""A metric against non-zero weights, drawn with matplotlib."""

import io
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sparse_search.report import style
from sparse_search.report.scales import Scale
from sparse_search.report.series import Line, budgets_of, in_panel, panels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

INTERVALS = "Bars: 95 % intervals over seeds (none with one seed)."
PANEL_LETTERS = 24
_LEGEND_LETTERS = 44
_LEAST_SPAN = 1.5  # of an axis of numbers of weights
# No dates and no versions: the same journal gives the same bytes.
_METADATA: dict[str, dict[str, None]] = {
    "png": {"Software": None},
    "svg": {"Date": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}


ON_PAGE = "page"
_MOST_BYTES = 300_000  # of an SVG on a page
_PAGE_DPI = 150


def render(draw: Callable[[], "Figure"]) -> dict[str, bytes]:
    """The figure that `draw` makes, as {"png": ..., "svg": ..., "pdf": ...}.

    Under `ON_PAGE` stands what a page embeds: the SVG, or a smaller PNG where thousands
    of points would make that large and slow.
    """
    files = {}
    with style.paper():
        figure = draw()
        # Laid out once: for every file anew takes a third of the time of a report.
        layout = figure.get_layout_engine()
        if figure.axes and layout is not None:
            layout.execute(figure)
        figure.set_layout_engine(None)
        for kind, metadata in _METADATA.items():
            buffer = io.BytesIO()
            figure.savefig(buffer, format=kind, metadata=metadata)
            files[kind] = buffer.getvalue()
        files[ON_PAGE] = files["svg"]
        if len(files["svg"]) > _MOST_BYTES:
            buffer = io.BytesIO()
            figure.savefig(
                buffer, format="png", dpi=_PAGE_DPI, metadata=_METADATA["png"]
            )
            files[ON_PAGE] = buffer.getvalue()
    return files


def files_of(pictures: Mapping[str, bytes]) -> dict[str, bytes]:
    """Of what `render` gives, what is written beside a page."""
    return {kind: data for kind, data in pictures.items() if kind != ON_PAGE}


def new_figure(width: float, height: float) -> "Figure":
    """An empty figure in inches, apart from pyplot's state and from any display."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def draw_curves(lines: Sequence[Line], task: str, scale: Scale) -> "Figure":
    """One panel a method, one line a structure; small dense, thick, in each panel."""
    if not lines:
        return draw_message(f"No trial of {task} has a test {scale.metric}.")
    names = panels(lines)
    across = min(len(names), 4)
    down = -(-len(names) // across)
    inches = 3.5 if across == 1 else 7.0
    labels = len({line.label for line in lines})
    entries = -(-labels // legend_columns(lines, inches))
    figure = new_figure(inches, 2.25 * down + 0.5 + 0.135 * entries)
    grid = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False)
    for axes, name in zip(grid.flat, names, strict=False):
        for line in in_panel(lines, name):
            draw_line(axes, line, scale)
        if len(names) > 1:
            axes.set_title(style.text(style.short(name, PANEL_LETTERS)))
        metric_axis(axes, lines, scale)
        log_axis(axes, nnz_ticks(lines, 7 if across < 3 else 5), style.number)
    for axes in grid.flat[len(names) :]:
        axes.set_axis_off()
    for axes in grid[-1]:
        axes.set_xlabel("non-zero weights (nnz)")
    for axes in grid[:, 0]:
        axes.set_ylabel(f"{style.text(task)} {scale.axis}")
    legend(figure, lines, inches)
    return figure


def draw_message(message: str) -> "Figure":
    """A sentence in place of a figure for which there is no data."""
    figure = new_figure(3.5, 1.0)
    figure.text(0.5, 0.5, style.text(message), ha="center", va="center", wrap=True)
    return figure


def draw_line(axes: "Axes", line: Line, scale: Scale) -> None:
    """One line with its markers and intervals."""
    known = [
        (dot.x, scale.height(dot.low), scale.height(dot.high))
        for dot in line.dots
        if dot.low is not None and dot.high is not None
    ]
    if known:
        axes.vlines(
            *zip(*known, strict=True),
            color=line.colour,
            linewidth=1.2 if line.thick else 0.7,
            alpha=0.75,
        )
    axes.plot(
        [dot.x for dot in line.dots],
        [scale.height(dot.value) for dot in line.dots],
        # A single point may not vanish below long lines.
        zorder=2 + 1 / max(len(line.dots), 1),
        **_look(line),
    )


def _look(line: Line) -> dict[str, Any]:
    return {
        "color": line.colour,
        "marker": style.MARKERS[line.marker],
        "linestyle": style.DASHES[line.dash],
        "linewidth": 2.0 if line.thick else 1.1,
        **style.EDGE,
    }


def metric_axis(axes: "Axes", lines: Sequence[Line], scale: Scale) -> None:
    """Labels the y axis, drawn by the scale's `height`, with round values.

    The means set its limits; an interval may leave the panel, since one collapsed seed
    among three makes an interval that would flatten everything else.
    """
    value_axis(axes, [dot.value for line in lines for dot in line.dots], scale)


def value_axis(axes: "Axes", values: Sequence[float], scale: Scale) -> None:
    """Labels the y axis for these values."""
    heights = [scale.height(value) for value in values]
    room = 0.1 * (max(heights) - min(heights)) + 0.02
    axes.set_ylim(min(heights) - room, max(heights) + room)
    ticks = scale.ticks(values)
    axes.set_yticks(
        [scale.height(tick) for tick in ticks], [scale.text(tick) for tick in ticks]
    )
    axes.grid(axis="y")


def nnz_ticks(lines: Sequence[Line], most: int) -> list[float]:
    """The budgets of `lines`, and what small dense has beyond, at most about `most`."""
    budgets = budgets_of(lines)
    dense = [dot.x for line in lines if line.thick for dot in line.dots]
    if budgets:
        # Within the budgets small dense is a little beside them.
        low, high = budgets[0] / 1.1, budgets[-1] * 1.1
        dense = [nnz for nnz in dense if not low < nnz < high]
    return style.thinned([*budgets, *dense], most)


def log_axis(
    axes: "Axes", ticks: Sequence[float], form: Callable[[float], str]
) -> None:
    """A log2 x axis with exactly these ticks, labelled by `form`."""
    axes.set_xscale("log", base=2)
    axes.set_xticks(ticks, [form(tick) for tick in ticks])
    axes.minorticks_off()
    low, high = axes.get_xlim()
    if high < _LEAST_SPAN * low:  # one budget, with small dense beside it
        middle = math.sqrt(low * high)
        axes.set_xlim(middle / _LEAST_SPAN, middle * _LEAST_SPAN)


def legend_columns(lines: Sequence[Line], inches: float) -> int:
    """How many legend entries fit beside each other: a letter is about 4 points."""
    longest = min(max(len(line.label) for line in lines), _LEGEND_LETTERS)
    return max(1, int((72 * inches + 13) / (4.0 * longest + 37)))


def legend(figure: "Figure | SubFigure", lines: Sequence[Line], inches: float) -> None:
    """One entry a label, below the panels, where it can cover no data."""
    from matplotlib.lines import Line2D

    shown: dict[str, Line] = {}
    for line in lines:
        shown.setdefault(line.label, line)
    figure.legend(
        [Line2D([], [], **_look(line)) for line in shown.values()],
        [style.text(style.short(label, _LEGEND_LETTERS)) for label in shown],
        loc="outside lower center",
        ncols=min(legend_columns(lines, inches), len(shown)),
        title="mean and 95 % interval over seeds",
    )
