"""The region map: both effects, the classes, and large-sparse against small-dense."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from sparse_search.report import style
from sparse_search.report.plots import draw_message, new_figure
from sparse_search.report.scales import Scale, scale_of_map

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch


def draw_regions(region_map: dict[str, Any]) -> "Figure":
    """The figure of `regions.json`; a sentence instead when it has no budget."""
    budgets = region_map["budgets"]
    scale = scale_of_map(region_map)
    if not budgets:
        task = region_map["task"]
        return draw_message(f"No sparse trial of {task} has a test {scale.metric}.")
    rows = {"all methods": budgets}
    if len(region_map["by_method"]) > 1:
        rows |= {
            name: part["budgets"] for name, part in region_map["by_method"].items()
        }
    gaps = region_map["large_sparse_vs_small_dense"]
    heights = [1.75, 0.24 * len(rows) + 0.08, 1.1 if gaps else 0.01]
    figure = new_figure(3.5, sum(heights) + 1.15)
    effects, classes, gap = figure.subplots(
        3, 1, sharex=True, gridspec_kw={"height_ratios": heights}
    )
    _draw_effects(effects, budgets, scale)
    draw_classes(classes, rows)
    if gaps:
        draw_gap(gap, gaps, scale)
    else:
        gap.set_axis_off()
    parts = [region_map, *region_map["by_method"].values()][: len(rows)]
    for level, part in enumerate(parts):
        for boundary in part["boundaries"]:
            bottom = len(rows) - 1 - level + 0.06
            classes.vlines(
                boundary["nnz"], bottom, bottom + 0.88, color=style.INK, linewidth=1.2
            )
    edges = cell_edges([entry["nnz"] for entry in budgets])
    positions = [entry["nnz"] for entry in budgets]
    effects.set_xscale("log", base=2)
    effects.set_xlim(edges[0], edges[-1])
    _draw_boundaries(effects, region_map["boundaries"])
    ticks = style.thinned(positions, 8)
    for axes in (effects, classes, gap):
        axes.set_xticks(ticks, [style.number(tick) for tick in ticks])
        axes.minorticks_off()
    last = gap if gaps else classes
    last.tick_params(labelbottom=True)
    last.set_xlabel("non-zero weights (nnz)")
    figure.align_ylabels([effects, gap])
    figure.legend(handles=class_patches(rows), loc="outside lower center", ncols=2)
    return figure


def cell_edges(positions: Sequence[float]) -> list[float]:
    """Where the cells of neighbouring budgets meet: half-way on the log axis."""
    if len(positions) == 1:
        return [positions[0] / math.sqrt(2), positions[0] * math.sqrt(2)]
    inner = [math.sqrt(a * b) for a, b in pairwise(positions)]
    first = positions[0] ** 2 / inner[0]
    return [first, *inner, positions[-1] ** 2 / inner[-1]]


def _draw_effects(
    axes: "Axes", budgets: Sequence[dict[str, Any]], scale: Scale
) -> None:
    styles = (
        ("weight_effect", style.BLUE, "o", "weight effect, per doubling of nnz", 0.965),
        ("structure_sd", style.VERMILLION, "s", "structure effect, 1 SD", 1.035),
    )
    values, ends = [], []
    for key, colour, marker, label, shift in styles:
        known = [entry for entry in budgets if entry[key]["value"] is not None]
        if not known:
            continue
        # Side by side, so that overlapping intervals can be told apart.
        xs = [entry["nnz"] * shift for entry in known]
        ys = [scale.times * entry[key]["value"] for entry in known]
        for x, entry in zip(xs, known, strict=True):
            ends += _interval(axes, x, entry[key], colour, scale)
        axes.plot(xs, ys, color=colour, marker=marker, label=label, **style.EDGE)
        values += ys
    noise = [entry for entry in budgets if entry["seed_sd"] is not None]
    if noise:
        axes.plot(
            [entry["nnz"] for entry in noise],
            [scale.times * entry["seed_sd"] for entry in noise],
            color=style.GREY,
            linestyle="dotted",
            label="seed noise, 1 SD",
        )
    _effects_axis(axes, values, ends)
    axes.set_ylabel(f"effect ({scale.difference})")
    if values:
        axes.legend(
            loc="lower center",
            bbox_to_anchor=(0.5, 1.0),
            title="with 95 % intervals",
            alignment="left",
        )


def _interval(
    axes: "Axes", x: float, estimate: dict[str, Any], colour: str, scale: Scale
) -> list[float]:
    """Draws an interval, in the scale's unit, unless an end is unbounded or unknown."""
    if estimate["low"] is None or estimate["high"] is None:
        return []
    ends = [scale.times * estimate["low"], scale.times * estimate["high"]]
    axes.vlines(x, *ends, color=colour, linewidth=0.9, alpha=0.8)
    return ends


def _limits(values: Sequence[float], ends: Sequence[float]) -> tuple[float, float]:
    """The range of a panel: the estimates, and the intervals as far as is sensible.

    One collapsed seed among three makes an interval many times as long as all others,
    which would flatten them; it leaves the panel, and the table has its ends.
    """
    far = 1.6 * max((abs(value) for value in values), default=1.0) or 1.0
    shown = [0.0, *values, *(min(max(end, -far), far) for end in ends)]
    return min(shown), max(shown)


def _effects_axis(axes: "Axes", values: Sequence[float], ends: Sequence[float]) -> None:
    """A scale for effects, which span decades but may be 0 or negative.

    It is linear up to about a tenth of the largest and logarithmic above, as its ticks
    say.
    """
    low, high = _limits(values, ends)
    ladder = [step * 10.0**power for power in range(-4, 3) for step in (1, 2, 5)]
    threshold = max(step for step in ladder if step <= max(high / 8, ladder[0]))
    axes.set_yscale("symlog", linthresh=threshold, linscale=0.6)
    above = [step for step in ladder if threshold <= step <= high * 1.1]
    # Below 0 only what is needed to read how far an interval reaches.
    below = [-step for step in above[::2] if step <= -low]
    ticks = [*below, 0.0, *above]
    axes.set_yticks(ticks, [f"{tick:g}".replace("-", "−") for tick in ticks])
    axes.minorticks_off()
    axes.set_ylim(low * 1.2 if low < 0 else -0.15 * threshold, high * 1.2)
    axes.axhline(0, color=style.GREY, linewidth=0.6)
    axes.grid(axis="y")


def draw_classes(
    axes: "Axes", rows: dict[str, Sequence[dict[str, Any]]], wide: float = 195
) -> None:
    """Strips of the classes by budget, the first of all of them, `wide` points wide."""
    positions = [entry["nnz"] for entry in next(iter(rows.values()))]
    edges = cell_edges(positions)
    cells = dict(zip(positions, pairwise(edges), strict=True))
    scale = wide / math.log(edges[-1] / edges[0])
    for level, budgets in enumerate(rows.values()):
        y = len(rows) - 1 - level
        for entry in budgets:
            # A method may lack a budget, but has none that the whole map lacks.
            left, right = cells[entry["nnz"]]
            points = scale * math.log(right / left)
            colour = style.CLASS_COLOURS[entry["class"]]
            axes.fill_between(
                [left, right],
                y + 0.06,
                y + 0.94,
                facecolor=colour,
                edgecolor="#8C8C8C",
                linewidth=min(0.5, points / 12),
                hatch="////" if entry["fragile"] else None,
            )
            if points < 6:
                continue  # a name would cover its neighbours
            axes.text(
                math.sqrt(left * right),
                y + 0.48,
                _class_name(entry["class"], points),
                ha="center",
                va="center",
                fontsize=6.0 if points > 14 else 4.5,
                fontweight="bold" if level == 0 else "normal",
                bbox={"facecolor": colour, "edgecolor": "none", "pad": 0.8},
                zorder=3,
            )
    axes.set_ylim(0, len(rows))
    axes.set_yticks(
        [len(rows) - 0.5 - level for level in range(len(rows))],
        [style.text(style.short(name, 14)) for name in rows],
    )
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _class_name(name: str, points: float) -> str:
    """As much of a class's name as fits into a cell so many points wide."""
    if name == "undetermined":
        return "?"
    return name.removesuffix("-dominated") if points > 34 else name[:3]


def draw_gap(axes: "Axes", gaps: Sequence[dict[str, Any]], scale: Scale) -> None:
    """Large-sparse minus small-dense by budget, with the intervals that are known."""
    xs = [entry["nnz"] for entry in gaps]
    values = [scale.times * entry["difference"] for entry in gaps]
    ends = []
    for entry in gaps:
        ends += _interval(axes, entry["nnz"], entry, style.INK, scale)
    axes.plot(xs, values, color=style.INK, marker="D", **style.EDGE)
    low, high = _limits(values, ends)
    room = 0.08 * (high - low) or 0.1
    axes.set_ylim(low - room, high + room)
    axes.axhline(0, color=style.GREY, linewidth=0.6)
    axes.grid(axis="y")
    axes.set_ylabel(f"large-sparse −\nsmall-dense ({scale.unit})", fontsize=7)


def _draw_boundaries(axes: "Axes", boundaries: Sequence[dict[str, Any]]) -> None:
    for boundary in boundaries:
        axes.axvline(
            boundary["nnz"], color=style.INK, linewidth=0.9, linestyle="dashed"
        )
        if boundary["low"] is None and boundary["high"] is None:
            continue
        # An end that is unbounded reaches the edge of the axis.
        left, right = axes.get_xlim()
        axes.axvspan(
            boundary["low"] or left,
            boundary["high"] or right,
            color=style.INK,
            alpha=0.07,
            linewidth=0,
        )


def class_patches(rows: dict[str, Sequence[dict[str, Any]]]) -> list["Patch"]:
    """Legend entries for the classes in these rows."""
    from matplotlib.patches import Patch

    entries = [entry for budgets in rows.values() for entry in budgets]
    present = {entry["class"] for entry in entries}
    handles = [
        Patch(facecolor=colour, edgecolor="#8C8C8C", linewidth=0.5, label=name)
        for name, colour in style.CLASS_COLOURS.items()
        if name in present
    ]
    if any(entry["fragile"] for entry in entries):
        handles.append(
            Patch(
                facecolor="white",
                edgecolor="#8C8C8C",
                linewidth=0.5,
                hatch="////",
                label="fragile",
            )
        )
    return handles
