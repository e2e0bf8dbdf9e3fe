"""The plane of width and nnz, coloured by the metric, under the strips of classes."""

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from sparse_search.analysis.table import METRICS
from sparse_search.report import style
from sparse_search.report.plane import Panel, Plane
from sparse_search.report.plots import PANEL_LETTERS, new_figure
from sparse_search.report.region_plot import cell_edges, class_patches, draw_classes
from sparse_search.report.scales import scale_of_map

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_DENSITIES = [f * 10.0**p for p in range(-7, 0) for f in (1, 2, 5)] + [1.0]
_LOST: dict[str, Any] = {"linestyle": "", "marker": "x", "color": style.GREY}
_MANY = 2000  # cells, above which they are drawn as an image
_HATCHES = {"some runs at chance level": "////", "all runs": "xxxx"}


def draw_plane(plane: Plane, region_map: dict[str, Any]) -> "Figure":
    """The figure: panels of one colour scale, above each its classes by budget."""
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    scale = scale_of_map(region_map)
    across = min(plane.methods if len(plane.panels) > 4 else len(plane.panels), 4)
    down = -(-len(plane.panels) // across)
    inches = 3.5 if across == 1 else 7.0
    strips = [_strips(panel, region_map) for panel in plane.panels]
    deep = 0.15 * max(len(rows) for rows in strips)
    figure = new_figure(inches, (1.75 + deep) * down + 0.75)
    grid = figure.subplots(
        2 * down,
        across,
        squeeze=False,
        sharex=True,
        gridspec_kw={"height_ratios": [deep, 1.4] * down},
    )
    heights = [_heights(panel, scale.height) for panel in plane.panels]
    low, high = _limits(plane, heights)
    # Light is better, also in grey print.
    rises = METRICS[scale.metric].rises
    colours = colormaps["viridis" if rises else "viridis_r"]
    norm = Normalize(low, high)
    columns = 72 * (0.72 * inches / across)
    for place, (panel, rows) in enumerate(zip(plane.panels, strips, strict=True)):
        strip, axes = grid[2 * (place // across) : 2 * (place // across) + 2].T[
            place % across
        ]
        draw_classes(strip, rows, columns)
        strip.set_title(style.text(style.short(panel.title, PANEL_LETTERS)))
        strip.tick_params(labelbottom=False)
        _draw_cells(axes, plane, panel, heights[place], colours, norm)
        _draw_densities(axes, plane, panel)
        ticks = style.thinned(list(plane.nnz), 6 if across < 3 else 5)
        axes.set_xticks(ticks, [style.number(tick) for tick in ticks])
        ticks = style.thinned(list(plane.widths), 7)
        axes.set_yticks(ticks, [style.number(tick) for tick in ticks])
        axes.minorticks_off()
        axes.tick_params(labelbottom=True)
        if place % across:
            strip.set_yticks([])
            axes.tick_params(labelleft=False)
        else:
            axes.set_ylabel("width (units)")
        if place + across >= len(plane.panels):
            axes.set_xlabel("non-zero weights (nnz)")
    for place in range(len(plane.panels), down * across):
        for axes in grid[2 * (place // across) :, place % across]:
            axes.set_axis_off()
    values = [h for panel in heights for h in panel.flat if math.isfinite(h)]
    bar = figure.colorbar(
        ScalarMappable(norm, colours),
        ax=list(grid.flat),
        fraction=0.05,
        pad=0.02,
        aspect=14 * down,
        extend=_extend(min(values), max(values), low, high),
    )
    means = [m for p in plane.panels for m in p.mean.flat if math.isfinite(m)]
    ticks = [t for t in scale.ticks(means) if low <= scale.height(t) <= high]
    bar.set_ticks(
        [scale.height(t) for t in ticks], labels=[scale.text(t) for t in ticks]
    )
    bar.minorticks_off()
    bar.set_label(scale.axis)
    bar.outline.set_linewidth(0.4)  # type: ignore[operator]
    every = {f"{i} {name}": r for i, s in enumerate(strips) for name, r in s.items()}
    handles = class_patches(every) + _hatched(plane)
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=min(len(handles), 2 if across == 1 else 5),
    )
    return figure


def _strips(panel: Panel, region_map: dict[str, Any]) -> dict[str, Any]:
    rows = {"all": region_map["budgets"]}
    if len(region_map["by_method"]) > 1:
        rows["own"] = region_map["by_method"][panel.method]["budgets"]
    return rows


def _heights(panel: Panel, height: Any) -> np.ndarray:
    return np.array(
        [[height(v) if math.isfinite(v) else v for v in row] for row in panel.mean]
    )


def _limits(plane: Plane, heights: list[np.ndarray]) -> tuple[float, float]:
    """The range of the colours: of cells without a collapsed run, if there are any."""
    fine = [
        h[np.isfinite(h) & (panel.collapsed == 0)]
        for h, panel in zip(heights, plane.panels, strict=True)
    ]
    values = np.concatenate(fine)
    if len(values) == 0:
        values = np.concatenate([h[np.isfinite(h)] for h in heights])
    low, high = float(values.min()), float(values.max())
    return (low, high) if high > low else (low - 0.05, high + 0.05)


def _extend(least: float, most: float, low: float, high: float) -> str:
    """Which ends of the colour bar some cells lie beyond."""
    below, above = least < low, most > high
    return (
        "both" if below and above else "min" if below else "max" if above else "neither"
    )


def _draw_cells(
    axes: "Axes",
    plane: Plane,
    panel: Panel,
    heights: np.ndarray,
    colours: Any,
    norm: Any,
) -> None:
    from matplotlib.collections import PatchCollection
    from matplotlib.patches import Rectangle

    xs, ys = cell_edges(list(plane.nnz)), cell_edges(list(plane.widths))
    axes.set_xscale("log", base=2)
    axes.set_yscale("log", base=2)
    many = heights.size > _MANY
    axes.pcolormesh(
        xs,
        ys,
        np.ma.masked_invalid(heights),
        cmap=colours,
        norm=norm,
        edgecolors="none" if many else "white",
        linewidth=0 if many else 0.3,
        rasterized=many,
    )
    boxes, sides = list(pairwise(xs)), list(pairwise(ys))
    for hatch, where in zip(_HATCHES.values(), _chance(panel), strict=True):
        patches = [
            Rectangle((boxes[b][0], sides[w][0]), *(np.ptp(boxes[b]), np.ptp(sides[w])))
            for w, b in np.argwhere(where)
        ]
        if patches:
            axes.add_collection(
                PatchCollection(patches, facecolor="none", hatch=hatch, linewidth=0)
            )
    at = np.argwhere(panel.lost)
    axes.plot(plane.nnz[at[:, 1]], plane.widths[at[:, 0]], **_LOST)
    axes.set_xlim(xs[0], xs[-1])
    axes.set_ylim(ys[0], ys[-1])


def _draw_densities(axes: "Axes", plane: Plane, panel: Panel) -> None:
    """Lines of equal density: nnz = density × size, log-linear between widths."""
    from matplotlib.patheffects import withStroke

    known = np.isfinite(panel.sizes)
    if known.sum() < 2:
        return
    left, right = np.log2(axes.get_xlim())
    bottom, top = np.log2(axes.get_ylim())
    widths, sizes = np.log2(plane.widths[known]), np.log2(panel.sizes[known])
    # To the edges of the outermost cells the lines go on as steep as before.
    steep = np.diff(sizes) / np.diff(widths)
    ys = np.array([bottom, *widths, top])
    xs = np.array(
        [
            sizes[0] + steep[0] * (bottom - widths[0]),
            *sizes,
            sizes[-1] + steep[-1] * (top - widths[-1]),
        ]
    )
    fine = np.linspace(bottom, top, 65)
    shown: list[float] = []
    for density in sorted(_DENSITIES, reverse=True):
        along = np.interp(fine, ys, xs) + math.log2(density)
        inside = np.flatnonzero((along > left) & (along < right))
        crowded = any(abs(along[0] - x) < 0.12 * (right - left) for x in shown)
        if len(inside) < 12 or crowded:
            continue
        shown.append(float(along[0]))
        axes.plot(
            2.0 ** (xs + math.log2(density)),
            2.0**ys,
            color=style.INK,
            linewidth=0.5,
            path_effects=[withStroke(linewidth=1.3, foreground="white", alpha=0.75)],
        )
        middle = inside[int(0.55 * len(inside))]
        axes.text(
            2.0 ** along[middle],
            2.0 ** fine[middle],
            f"{100 * density:g} %",
            fontsize=5,
            ha="center",
            va="center",
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.5},
        )


def _chance(panel: Panel) -> tuple[np.ndarray, np.ndarray]:
    """(W, B) twice: where some runs ended at chance level, and where all did."""
    every = panel.collapsed == 1
    return (panel.collapsed > 0) & ~every, every


def _hatched(plane: Plane) -> list[Any]:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    marks = [_chance(panel) for panel in plane.panels]
    present = [any(mark[i].any() for mark in marks) for i in range(len(_HATCHES))]
    handles: list[Any] = [
        Patch(facecolor="#440154", hatch=hatch, linewidth=0, label=name)
        for (name, hatch), there in zip(_HATCHES.items(), present, strict=True)
        if there
    ]
    if any(panel.lost.any() for panel in plane.panels):
        handles.append(Line2D([], [], label="no run ended with a metric", **_LOST))
    return handles
