"""Figures for the page as plotly.js reads them: {"data": ..., "layout": ...}.

They are plain dictionaries, because the figure objects of plotly's Python package take
seconds to import and would not change a byte of what is written.
"""

import html
from collections.abc import Sequence
from typing import Any

from sparse_search import records
from sparse_search.report import style
from sparse_search.report.plots import PANEL_LETTERS, nnz_ticks
from sparse_search.report.scales import Scale
from sparse_search.report.series import Dot, Line, in_panel, panels

_FONT = {"family": "system-ui, sans-serif", "size": 13, "color": "#1a1a1a"}
_GRID = {"gridcolor": "#E4E4E4", "zeroline": False, "linecolor": "#1a1a1a"}


def curves_figure(lines: Sequence[Line], task: str, scale: Scale) -> dict[str, Any]:
    """A metric against nnz with a hover text a point; a click hides a layout."""
    names = panels(lines)
    values = [dot.value for line in lines for dot in line.dots]
    heights = [scale.height(value) for value in values]
    room = 0.1 * (max(heights) - min(heights)) + 0.02
    ticks = scale.ticks(values)
    budgets = nnz_ticks(lines, 5)
    data, shown = [], set()
    # The legend stands under the panels in as many rows as it needs on a narrow page.
    labels = {line.label for line in lines}
    pixels = sum(7 * len(label) + 55 for label in labels)
    legend = 22 * -(-pixels // 640)
    layout: dict[str, Any] = {
        "font": _FONT,
        "height": 440 + legend,
        "margin": {"l": 60, "r": 10, "t": 64, "b": 65 + legend},
        "hovermode": "closest",
        "hoverlabel": {"align": "left"},
        "legend": {
            "orientation": "h",
            "yref": "container",
            "y": 0,
            "yanchor": "bottom",
        },
        "plot_bgcolor": "white",
        "annotations": [],
    }
    for place, name in enumerate(names):
        axis = "" if place == 0 else str(place + 1)
        gap = 0.03
        width = (1 - gap * (len(names) - 1)) / len(names)
        left = place * (width + gap)
        layout[f"xaxis{axis}"] = {
            **_GRID,
            "type": "log",
            "domain": [left, left + width],
            "anchor": f"y{axis}",
            "title": {"text": "non-zero weights (nnz)"},
            "tickvals": budgets,
            "ticktext": [style.number(tick) for tick in budgets],
            "showgrid": False,
            "showline": True,
        }
        layout[f"yaxis{axis}"] = {
            **_GRID,
            "anchor": f"x{axis}",
            "range": [min(heights) - room, max(heights) + room],
            "tickvals": [scale.height(tick) for tick in ticks],
            "ticktext": [scale.text(tick) for tick in ticks],
            "showticklabels": place == 0,
        }
        if place:
            layout[f"yaxis{axis}"]["matches"] = "y"
            layout[f"xaxis{axis}"]["matches"] = "x"
        else:
            title = f"{_text(task)} {scale.axis}"
            layout["yaxis"]["title"] = {"text": title}
        if name and len(names) > 1:
            layout["annotations"].append(
                {
                    "text": f"<b>{_text(style.short(name, PANEL_LETTERS))}</b>",
                    "x": left + width / 2,
                    "y": 1.02,
                    "xref": "paper",
                    "yref": "paper",
                    "yanchor": "bottom",
                    "showarrow": False,
                }
            )
        for line in in_panel(lines, name):
            data.append(_trace(line, axis, line.label not in shown, scale))
            shown.add(line.label)
    return {"data": data, "layout": layout}


def _text(name: str) -> str:
    """A name as plotly shows it: no tags, and no $, which would ask for MathJax."""
    return html.escape(name, quote=False).replace("$", "&#36;")


def _trace(line: Line, axis: str, in_legend: bool, scale: Scale) -> dict[str, Any]:
    middle = [scale.height(dot.value) for dot in line.dots]
    # A null is no bar.
    up = [None if d.high is None else scale.height(d.high) for d in line.dots]
    down = [None if d.low is None else scale.height(d.low) for d in line.dots]
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": _text(line.label),
        "legendgroup": line.label,
        "showlegend": in_legend,
        "xaxis": f"x{axis}",
        "yaxis": f"y{axis}",
        "x": [dot.x for dot in line.dots],
        "y": [round(y, 5) for y in middle],
        "error_y": {
            "type": "data",
            "symmetric": False,
            "array": _apart(up, middle),
            "arrayminus": _apart(down, middle),
            "width": 0,
            "thickness": 2 if line.thick else 1,
        },
        "line": {
            "color": line.colour,
            "width": 4 if line.thick else 1.8,
            "dash": style.PLOTLY_DASHES[line.dash],
        },
        "marker": {"symbol": style.PLOTLY_MARKERS[line.marker], "size": 7},
        "text": [_hover(line, dot, scale) for dot in line.dots],
        "hovertemplate": "%{text}<extra></extra>",
    }


def _apart(ends: Sequence[float | None], middle: Sequence[float]) -> list[float | None]:
    return [
        None if end is None else round(abs(end - at), 5)
        for end, at in zip(ends, middle, strict=True)
    ]


def _hover(line: Line, dot: Dot, scale: Scale) -> str:
    interval = ""
    if dot.low is not None and dot.high is not None:
        interval = f" [{scale.value(dot.low)}, {scale.value(dot.high)}]"
    density = dot.row["density"]
    dense = "" if density is None else f", density {100 * density:.3g} %"
    return (
        f"<b>{_text(line.name)}</b><br>{dot.x:,.0f} weights{dense}<br>"
        f"test {scale.metric} {scale.value(dot.value)}{interval}<br>"
        f"{dot.seeds} seed{'s' if dot.seeds != 1 else ''}"
    )


def rounds_figure(rounds: Sequence[records.Record], task: str) -> dict[str, Any]:
    """Training and validation accuracy over the steps of a single run."""
    data = []
    looks = (("train", style.BLUE, "dash"), ("valid", style.VERMILLION, "solid"))
    for part, colour, dash in looks:
        known = [row for row in rounds if row.get(f"{part}_accuracy") is not None]
        data.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": {"train": "training", "valid": "validation"}[part],
                "x": [row["step"] for row in known],
                "y": [100 * row[f"{part}_accuracy"] for row in known],
                "line": {"color": colour, "dash": dash},
                "hovertemplate": "step %{x}: %{y:.2f} %",
            }
        )
    layout = {
        "font": _FONT,
        "height": 420,
        "margin": {"l": 60, "r": 10, "t": 40, "b": 60},
        "legend": {"orientation": "h", "y": -0.2, "yanchor": "top"},
        "plot_bgcolor": "white",
        "xaxis": {**_GRID, "title": {"text": "gradient steps"}, "showline": True},
        "yaxis": {**_GRID, "title": {"text": f"{_text(task)} accuracy (%)"}},
    }
    return {"data": data, "layout": layout}
