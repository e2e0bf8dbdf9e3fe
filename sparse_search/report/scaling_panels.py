"""The panels of multipliers and of optimal sparsity, and axes of all panels."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from sparse_search.analysis import scaling_study
from sparse_search.analysis.scaling_checks import interval
from sparse_search.analysis.scaling_optimum import COSTS, optimal_sparsity
from sparse_search.analysis.scaling_study import Fitted, Study
from sparse_search.report import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_GRID = 24  # along each side of the map of optimal sparsities
_RESAMPLES = 60
_LINES = (0.25, 0.5, 0.75, 0.875, 0.9375, 0.97, 0.985, 0.9925)


def shown_form(found: Study) -> Fitted:
    """The form that is drawn."""
    return found.of_sparsity or found.forms[found.best]


def draw_multipliers(axes: "Axes", found: Study) -> None:
    """What a weight of a sparse network is worth, in weights of a dense one."""
    table = found.table
    looks = {
        "sparse": (style.BLUE, "o", -0.015),
        "effective": (style.VERMILLION, "s", 0.015),
    }
    lowest = float(table.sparsity.min())
    for name, (colour, marker, shift) in looks.items():
        if name not in found.forms:
            continue
        one = found.forms[name]
        if name == "sparse":
            xs = np.linspace(_place(lowest), _place(table.sparsity.max()), 25)
            entries = [
                scaling_study.multiplier(table, one, float(-np.expm1(-x))) for x in xs
            ]
            axes.plot(xs, [entry["value"] for entry in entries], color=colour)
        told = found.content["forms"][name]["multipliers"]
        at = np.array([_place(entry["sparsity"]) for entry in told]) + shift
        values = [entry["value"] for entry in told]
        for x, entry in zip(at, told, strict=True):
            if entry["low"] is not None:
                axes.vlines(x, entry["low"], entry["high"], color=colour, linewidth=0.9)
        axes.plot(
            at,
            values,
            linestyle="none",
            marker=marker,
            color=colour,
            label=f"{name} form",
            **style.EDGE,
        )
    axes.axhline(1, color=style.GREY, linewidth=0.6)
    ticks, span = [lowest], _place(table.sparsity.max()) - _place(lowest)
    for sparsity in scaling_study.asked(table):
        if _place(sparsity) - _place(ticks[-1]) > 0.08 * span:
            ticks.append(sparsity)
    axes.set_xticks([_place(s) for s in ticks], [f"{100 * s:.4g}" for s in ticks])
    axes.set_xlabel("sparsity (%)")
    dense = "dense" if lowest < 0.005 else f"{100 * lowest:.3g} % sparse"
    axes.set_ylabel(f"{dense} nnz of equal loss / nnz")
    axes.grid(axis="y")
    axes.legend(title="with 95 % intervals", alignment="left")


def _place(sparsity: float) -> float:
    """Where a sparsity is drawn: by the logarithm of its density."""
    return -float(np.log1p(-sparsity))


def draw_optimum(axes: "Axes", found: Study) -> None:
    """Lines of equal optimal sparsity over nnz and training compute."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    table, one = found.table, shown_form(found)
    assert table.data is not None
    limits = (float(table.sparsity.min()), float(table.sparsity.max()))
    xs = np.geomspace(table.nnz.min(), table.nnz.max(), _GRID)
    ys = np.geomspace(table.data.min(), table.data.max() / (1 - limits[1]), _GRID)
    nnz, data = (part.reshape(-1) for part in np.meshgrid(xs, ys))
    theta = np.concatenate([one.fit.theta[None], one.resampled[:_RESAMPLES]])
    axes.set(xscale="log", yscale="log")  # before the lines, so that labels fit them
    shown = [s for s in _LINES if limits[0] < s < limits[1]][-3:]
    middle = shown[len(shown) // 2] if shown else None
    for cost, dash in zip(COSTS, ("solid", "dashed"), strict=True):
        thetas = theta if cost == "every entry" else theta[:1]
        best = optimal_sparsity(one.fit.form, thetas, nnz, data, cost, limits)
        best = best.reshape(-1, _GRID, _GRID)
        if cost == "every entry" and middle is not None:
            _shade(axes, xs, ys, best, middle, found)
        for i, level in enumerate(shown):
            if best[0].min() < level < best[0].max():
                colour = style.sequence(i, len(shown) + 1)
                lines = axes.contour(
                    xs, ys, best[0], [level], colors=[colour], linestyles=[dash]
                )
                axes.clabel(lines, fmt={level: percent(level)}, fontsize=5.5)
    axes.plot(
        table.nnz,
        table.data / (1 - table.sparsity),
        linestyle="none",
        marker=".",
        color=style.GREY,
        markersize=2.5,
    )
    plain_ticks(axes)
    nnz_axis(axes, found)
    data_name = style.text(style.short(table.columns["data"], 16))
    axes.set_ylabel(f"compute, in {data_name}\nof a dense network of that nnz")
    line: dict[str, Any] = {"color": style.INK}
    rows: dict[str, Any] = {"linestyle": "none", "marker": ".", "color": style.GREY}
    handles: list[Any] = [
        Line2D([], [], label="best, if zeros cost too", **line),
        Line2D([], [], label="best, if pruned gradually", linestyle="dashed", **line),
        Line2D([], [], label="rows, if zeros cost too", **rows),
    ]
    if middle is not None:
        label = f"95 % interval of {percent(middle)}"
        handles.append(Patch(facecolor=style.GREY, alpha=0.25, label=label))
    axes.legend(
        handles=handles,
        ncols=2,
        loc="lower center",
        bbox_to_anchor=(0.5, 1),
        columnspacing=1.0,
        handlelength=1.8,
    )


def _shade(
    axes: "Axes",
    xs: np.ndarray,
    ys: np.ndarray,
    best: np.ndarray,
    level: float,
    found: Study,
) -> None:
    """Where the interval of the optimum, (1 + B, y, x), contains a sparsity."""
    freedom = (found.content["settings"], len(shown_form(found).fit.form.parameters))
    flat = best.reshape(len(best), -1)
    ends = [interval(column[0], column[1:], freedom) for column in flat.T]
    if ends[0]["low"] is None:
        return
    inside = [min(end["high"] - level, level - end["low"]) for end in ends]
    inside = np.reshape(inside, best.shape[1:])
    axes.contourf(xs, ys, inside, [0, np.inf], colors=[style.GREY], alpha=0.25)


def nnz_axis(axes: "Axes", found: Study) -> None:
    """A log2 x axis of nnz, labelled at some that the rows have."""
    ticks = style.thinned(found.table.nnz.tolist(), 5)
    axes.set_xscale("log", base=2)
    axes.set_xticks(ticks, [number(tick) for tick in ticks])
    axes.minorticks_off()
    axes.set_xlabel("non-zero weights (nnz)")


def plain_ticks(axes: "Axes") -> None:
    """A few round numbers on a logarithmic axis, of less than a decade or of many."""
    low, high = axes.get_ylim()
    power = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    ladders: Sequence[Sequence[float]] = ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 5, 7))
    ladders = (*ladders, [n / 10 for n in range(10, 100)])
    ticks: list[float] = []
    for ladder in ladders:
        ticks = [
            n * 10.0**p for p in power for n in ladder if low <= n * 10.0**p <= high
        ]
        if len(ticks) > 3:
            break
    ticks = style.thinned(ticks, 6)
    axes.set_yticks(ticks, [number(tick) for tick in ticks])
    axes.minorticks_off()
    axes.grid(axis="y")


def number(value: float) -> str:
    """A tick label, of numbers below 1 too."""
    return style.number(value) if value >= 1 else f"{value:.3g}"


def percent(sparsity: float) -> str:
    """0.875 is 87.5 %."""
    return f"{100 * sparsity:.4g} %"
