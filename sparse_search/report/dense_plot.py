"""Large-sparse against small-dense: all structures, and the best at equal costs."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sparse_search.records import COSTS
from sparse_search.report import style
from sparse_search.report.plots import new_figure
from sparse_search.report.scales import Scale, scale_of_map

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LOOKS = dict(zip(COSTS, zip(style.CATEGORIES, "Dos^v", strict=False), strict=False))


def has_dense(region_map: dict[str, Any]) -> bool:
    """Whether small dense networks were trained to compare sparse ones with."""
    return any(row["small_dense"] for row in region_map["population"]) or any(
        part["rows"] for part in region_map["at_equal_cost"].values()
    )


def draw_small_dense(region_map: dict[str, Any]) -> "Figure":
    """Three panels over nnz: errors of all structures, the share ahead, differences.

    Args:
        region_map: with at least one budget in its `population`.
    """
    rows = region_map["population"]
    figure = new_figure(3.5, 5.6)
    errors, share, costs = figure.subplots(
        3, 1, sharex=True, gridspec_kw={"height_ratios": [2.0, 0.9, 1.5]}
    )
    xs = [row["nnz"] for row in rows]
    step = min((b / a for a, b in zip(xs, xs[1:], strict=False)), default=2.0)
    step = min(step, 4.0)
    scale = scale_of_map(region_map)
    _draw_errors(errors, rows, step, scale)
    _draw_share(share, rows)
    _draw_costs(costs, region_map, step, scale)
    costs.set_xscale("log", base=2)
    costs.set_xlim(xs[0] / step**0.6, xs[-1] * step**0.6)
    ticks = style.thinned(xs, 8)
    for axes in (errors, share, costs):
        axes.set_xticks(ticks, [style.number(tick) for tick in ticks])
        axes.minorticks_off()
        axes.grid(axis="y")
    costs.set_xlabel("budget of the sparse structures (nnz)")
    figure.align_ylabels([errors, share, costs])
    return figure


def _draw_errors(
    axes: "Axes", rows: Sequence[dict[str, Any]], step: float, scale: Scale
) -> None:
    """A dot a structure, boxes of the quartiles, a bar at the best (on validation)."""
    looks = (
        ("sparse", -0.2, style.BLUE, "o", "large-sparse structures"),
        ("small_dense", 0.2, style.INK, "D", "small dense shapes"),
    )
    for name, shift, colour, marker, label in looks:
        sides = [(row["nnz"], row[name]) for row in rows if row[name]]
        for nnz, side in sides:
            at = nnz * step**shift
            values = [scale.times * error for error in side["errors"]]
            # Side by side in the order of their errors: the same for the same journal.
            places = [((7 * i) % 10) / 45 for i in range(len(values))]
            middle = sum(places) / len(places)
            axes.plot(
                [at * step ** (place - middle) for place in places],
                values,
                linestyle="",
                marker=marker,
                markersize=2.2,
                color=colour,
                alpha=0.6,
                markeredgewidth=0,
                zorder=3,
            )
            _box(axes, at, side, colour, step, scale.times)
        if sides:
            axes.plot([], [], linestyle="", marker=marker, color=colour, label=label)
    axes.plot([], [], color=style.VERMILLION, linewidth=1.6, label="best on validation")
    axes.set_yscale("log")
    errors = [e for row in rows for n, *_ in looks if row[n] for e in row[n]["errors"]]
    ladder = [f * 10.0**p for p in range(-3, 3) for f in (1, 2, 5)]
    low = 0.85 * scale.times * max(min(errors), 1e-5)
    high = 1.15 * scale.times * max(errors)
    ticks = [tick for tick in ladder if low <= tick <= high]
    axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_ylim(low, high)
    axes.set_ylabel("test loss" if scale.times == 1 else "test error (%)")
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)


def _box(
    axes: "Axes",
    at: float,
    side: dict[str, Any],
    colour: str,
    step: float,
    times: float,
) -> None:
    left, right = at / step**0.14, at * step**0.14
    low, high = side["lower_quartile"]["value"], side["upper_quartile"]["value"]
    if low is not None and high is not None:
        axes.fill_between(
            [left, right],
            times * low,
            times * high,
            facecolor="none",
            edgecolor=colour,
            linewidth=0.6,
        )
        middle = times * side["median"]["value"]
        axes.hlines(middle, left, right, colour, linewidth=1.2)
    best = side["best"]
    if best["value"] is not None:
        value = times * best["value"]
        axes.hlines(value, left, right, style.VERMILLION, linewidth=1.6)
    if best["low"] is not None:
        ends = [times * max(best[end], 1e-5) for end in ("low", "high")]
        axes.vlines(at, *ends, color=style.VERMILLION, linewidth=0.7)


def _draw_share(axes: "Axes", rows: Sequence[dict[str, Any]]) -> None:
    known = [row for row in rows if row["better"]]
    for row in known:
        if row["better"]["low"] is not None:
            ends = 100 * row["better"]["low"], 100 * row["better"]["high"]
            axes.vlines(row["nnz"], *ends, color=style.BLUE, linewidth=0.9)
    axes.plot(
        [row["nnz"] for row in known],
        [100 * row["better"]["value"] for row in known],
        color=style.BLUE,
        marker="o",
        **style.EDGE,
    )
    axes.set_ylim(-6, 106)
    axes.set_yticks([0, 50, 100])
    axes.set_ylabel("structures ahead of\nbest small dense (%)", fontsize=7)


def _draw_costs(
    axes: "Axes", region_map: dict[str, Any], step: float, scale: Scale
) -> None:
    """The best structure's differences, one marker a cost, side by side."""
    tables = {"nnz": region_map["large_sparse_vs_small_dense"]}
    tables |= {cost: part["rows"] for cost, part in region_map["at_equal_cost"].items()}
    tables = {cost: rows for cost, rows in tables.items() if rows}
    values = [
        scale.times * row["difference"]
        for rows in tables.values()
        for row in rows
        if row["difference"] is not None
    ]
    far = 1.6 * max((abs(value) for value in values), default=1.0) or 1.0
    for place, (cost, rows) in enumerate(tables.items()):
        colour, marker = _LOOKS[cost]
        shift = step ** (0.15 * (place - (len(tables) - 1) / 2))
        for row in rows:
            _difference(axes, row, row["nnz"] * shift, colour, marker, far, scale.times)
        axes.plot([], [], color=colour, marker=marker, linestyle="", label=COSTS[cost])
    axes.axhline(0, color=style.GREY, linewidth=0.6)
    # As in the region map: an interval far longer than all others leaves the panel.
    ends = [
        min(max(scale.times * row[end], -far), far)
        for rows in tables.values()
        for row in rows
        for end in ("low", "high")
        if row[end] is not None
    ]
    _signed_axis(axes, min([0.0, *values, *ends]), max([0.0, *values, *ends]))
    axes.set_ylabel(f"large-sparse −\nsmall-dense ({scale.unit})", fontsize=7)
    if tables:
        axes.legend(
            loc="upper center",
            bbox_to_anchor=(0.5, -0.34),
            ncols=3,
            title="best structure, with 95 % intervals, at equal",
            columnspacing=1.2,
            handletextpad=0.4,
        )


def _difference(
    axes: "Axes",
    row: dict[str, Any],
    x: float,
    colour: str,
    marker: str,
    far: float,
    times: float,
) -> None:
    """A difference with its interval; a bound is an arrow that begins at it."""
    low, high = row["low"], row["high"]
    if row["difference"] is not None:
        axes.plot(
            x, times * row["difference"], color=colour, marker=marker, **style.EDGE
        )
        if low is not None and high is not None:
            axes.vlines(x, times * low, times * high, color=colour, linewidth=0.9)
    elif (bound := high if low is None else low) is not None and (
        abs(times * bound) <= far
    ):
        axes.annotate(
            "",
            xy=(x, times * bound),
            xytext=(0, 9 if low is not None else -9),
            textcoords="offset points",
            arrowprops={
                "arrowstyle": "<|-,head_length=0.25,head_width=0.12",
                "color": colour,
                "linewidth": 0.9,
                "shrinkA": 0,
                "shrinkB": 0,
            },
        )


def _signed_axis(axes: "Axes", low: float, high: float) -> None:
    """Linear up to about a twentieth and logarithmic beyond, as its ticks say."""
    most = max(abs(low), abs(high))
    ladder = [step * 10.0**power for power in range(-4, 3) for step in (1, 2, 5)]
    threshold = max(step for step in ladder if step <= max(most / 20, ladder[0]))
    axes.set_yscale("symlog", linthresh=threshold, linscale=0.7)
    above = [step for step in ladder if threshold <= step][::2]
    ticks = [-step for step in reversed(above)] + [0.0] + above
    room = 1.25
    ticks = [tick for tick in ticks if room * low <= tick <= room * high]
    axes.set_yticks(ticks, [f"{tick:g}".replace("-", "−") for tick in ticks])
    axes.set_ylim(min(room * low, -0.6 * threshold), max(room * high, 0.6 * threshold))
