"""A scaling law in one figure: fit, multipliers, residuals and optimal sparsity."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from sparse_search.analysis import scaling_study
from sparse_search.analysis.scaling import Form, predict
from sparse_search.analysis.scaling_checks import interval
from sparse_search.analysis.scaling_optimum import COSTS, optimal_sparsity
from sparse_search.analysis.scaling_study import Fitted, Study
from sparse_search.report import style
from sparse_search.report.plots import new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_POINTS = 40  # along a curve
_GRID = 24  # along each side of the map of optimal sparsities
_RESAMPLES = 60


def draw_scaling(found: Study) -> "Figure":
    """The figure of a study: two to four panels, as far as its rows tell."""
    panels: list[Callable[[Axes, Study], None]] = [_draw_fit, _draw_errors]
    if found.of_sparsity is not None:
        panels.insert(1, _draw_multipliers)
    if found.content["optimal_sparsity"]:
        panels.append(_draw_optimum)
    across = 2 if len(panels) != 3 else 3
    down = -(-len(panels) // across)
    figure = new_figure(7.0, 2.35 * down + 0.35)
    grid = figure.subplots(down, across, squeeze=False)
    for axes, draw, letter in zip(grid.flat, panels, "abcd", strict=True):
        draw(axes, found)
        axes.set_title(letter, loc="left", fontweight="bold")
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower center", ncols=min(len(labels), 7)
    )
    return figure


def _groups(found: Study) -> list[tuple[float, np.ndarray, str, str]]:
    """(sparsity, which rows, colour, marker): each row at the nearest of a few."""
    sparsity = found.table.sparsity
    shown = [float(sparsity.min())]
    if found.of_sparsity is not None:
        shown += scaling_study.asked(found.table)
    apart = np.abs(np.log1p(-sparsity)[:, None] - np.log1p(-np.array(shown)))
    near = apart.argmin(axis=1)
    return [
        (
            level,
            near == i,
            style.sequence(i, len(shown)),
            style.MARKERS[i % len(style.MARKERS)],
        )
        for i, level in enumerate(shown)
    ]


def _shown(found: Study) -> Fitted:
    """The form that is drawn."""
    return found.of_sparsity or found.forms[found.best]


def _freedom(found: Study, form: Form) -> tuple[int, int]:
    return found.content["settings"], len(form.parameters)


def _draw_fit(axes: "Axes", found: Study) -> None:
    """Loss against nnz at the largest amount of data; other rows are moved there."""
    table, one = found.table, _shown(found)
    form, theta = one.fit.form, one.fit.theta
    most = None if table.data is None else float(table.data.max())

    def at_most(thetas: np.ndarray, nnz: np.ndarray, sparsity: np.ndarray) -> np.ndarray:
        data = None if most is None else np.full(len(nnz), most)
        return predict(form, thetas, nnz, sparsity, data)

    moved = at_most(theta, table.nnz, table.sparsity)[0] * np.exp(-one.error)
    there = np.full(len(moved), True) if table.data is None else table.data == most
    for level, rows, colour, marker in _groups(found):
        label = "all rows" if found.of_sparsity is None else _percent(level)
        if level == 0 and found.of_sparsity is not None:
            label = "dense"
        xs = np.geomspace(table.nnz[rows].min(), table.nnz[rows].max(), _POINTS)
        levels = np.full(_POINTS, level)
        curve = at_most(theta, xs, levels)[0]
        resampled = at_most(one.resampled, xs, levels)
        _band(axes, xs, curve, resampled, _freedom(found, form), colour)
        axes.plot(xs, curve, color=colour)
        look = {"linestyle": "none", "marker": marker, "color": colour}
        axes.plot(
            table.nnz[rows & there], moved[rows & there], label=label, **look, **style.EDGE
        )
        others = rows & ~there
        axes.plot(
            table.nnz[others], moved[others], markerfacecolor="none", markersize=2.6,
            markeredgewidth=0.5, **look,
        )
    axes.set_yscale("log")
    _plain_ticks(axes)
    _nnz_axis(axes, found)
    where = "" if most is None or "b_D" not in form else f" at data {_number(most)}"
    axes.set_ylabel(f"loss{where}")


def _band(
    axes: "Axes",
    xs: np.ndarray,
    curve: np.ndarray,
    resampled: np.ndarray,
    freedom: tuple[int, int],
    colour: str,
) -> None:
    ends = [interval(curve[i], resampled[:, i], freedom) for i in range(len(xs))]
    if ends[0]["low"] is None:
        return
    low, high = ([end[side] for end in ends] for side in ("low", "high"))
    axes.fill_between(xs, low, high, color=colour, alpha=0.18, linewidth=0)


def _draw_multipliers(axes: "Axes", found: Study) -> None:
    """What a weight of a sparse network is worth, in weights of a dense one."""
    table = found.table
    looks = {"sparse": (style.BLUE, "o", -0.015), "effective": (style.VERMILLION, "s", 0.015)}
    lowest = float(table.sparsity.min())
    for name, (colour, marker, shift) in looks.items():
        if name not in found.forms:
            continue
        one = found.forms[name]
        if name == "sparse":
            xs = np.linspace(*-np.log1p(-np.array([lowest, table.sparsity.max()])), 25)
            entries = [
                scaling_study.multiplier(table, one, float(-np.expm1(-x))) for x in xs
            ]
            axes.plot(xs, [entry["value"] for entry in entries], color=colour)
        told = found.content["forms"][name]["multipliers"]
        at = np.array([-np.log1p(-entry["sparsity"]) for entry in told]) + shift
        values = [entry["value"] for entry in told]
        for x, entry in zip(at, told, strict=True):
            if entry["low"] is not None:
                axes.vlines(x, entry["low"], entry["high"], color=colour, linewidth=0.9)
        axes.plot(
            at, values, linestyle="none", marker=marker, color=colour,
            label=f"{name} form", **style.EDGE,
        )
    axes.axhline(1, color=style.GREY, linewidth=0.6)
    ticks = [lowest, *scaling_study.asked(table)]
    axes.set_xticks([-np.log1p(-s) for s in ticks], [f"{100 * s:.4g}" for s in ticks])
    axes.set_xlabel("sparsity (%)")
    dense = "dense" if lowest == 0 else f"{100 * lowest:.3g} % sparse"
    axes.set_ylabel(f"{dense} nnz of equal loss / nnz")
    axes.grid(axis="y")
    axes.legend(title="with 95 % intervals", alignment="left")


def _draw_errors(axes: "Axes", found: Study) -> None:
    """What the form misses: filled by the fit, hollow where the row was held out."""
    one, nnz = _shown(found), found.table.nnz
    for _, rows, colour, marker in _groups(found):
        look = {"linestyle": "none", "marker": marker, "color": colour}
        if one.folds is not None:
            axes.plot(
                nnz[rows] * 1.06, 100 * one.folds.error[rows], markerfacecolor="none",
                markersize=2.6, markeredgewidth=0.5, **look,
            )
        axes.plot(nnz[rows] / 1.06, 100 * one.error[rows], **look, **style.EDGE)
    axes.axhline(0, color=style.GREY, linewidth=0.6)
    axes.grid(axis="y")
    _nnz_axis(axes, found)
    axes.set_ylabel("predicted − measured loss (%)")
    if one.folds is not None:
        from matplotlib.lines import Line2D

        look = {"linestyle": "none", "marker": "o", "color": style.INK}
        handles = [
            Line2D([], [], label="in the fit", **look),
            Line2D([], [], label="held out", markerfacecolor="none", **look),
        ]
        axes.legend(handles=handles, ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1))


def _draw_optimum(axes: "Axes", found: Study) -> None:
    """Lines of equal optimal sparsity over nnz and training compute."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    table, one = found.table, _shown(found)
    assert table.data is not None
    limits = (float(table.sparsity.min()), float(table.sparsity.max()))
    xs = np.geomspace(table.nnz.min(), table.nnz.max(), _GRID)
    ys = np.geomspace(table.data.min(), table.data.max() / (1 - limits[1]), _GRID)
    nnz, data = (part.reshape(-1) for part in np.meshgrid(xs, ys))
    theta = np.concatenate([one.fit.theta[None], one.resampled[:_RESAMPLES]])
    shown = [s for s in (0.25, 0.5, 0.75, 0.875, 0.9, 0.95, 0.98) if s < limits[1]]
    shown = [s for s in shown if s > limits[0]][-4:]
    middle = shown[len(shown) // 2] if shown else None
    for cost, dash in zip(COSTS, ("solid", "dashed"), strict=True):
        thetas = theta if cost == "every entry" else theta[:1]
        best = optimal_sparsity(one.fit.form, thetas, nnz, data, cost, limits)
        best = best.reshape(-1, _GRID, _GRID)
        if cost == "every entry" and middle is not None:
            low, high = np.percentile(best, [2.5, 97.5], axis=0)
            inside = ((low <= middle) & (middle <= high)).astype(float)
            axes.contourf(xs, ys, inside, [0.5, 1.5], colors=[style.GREY], alpha=0.25)
        for i, level in enumerate(shown):
            if best[0].min() < level < best[0].max():
                colour = style.sequence(i, len(shown) + 1)
                lines = axes.contour(
                    xs, ys, best[0], [level], colors=[colour], linestyles=[dash]
                )
                axes.clabel(lines, fmt={level: _percent(level)}, fontsize=5.5)
    axes.plot(
        table.nnz, table.data / (1 - table.sparsity), linestyle="none", marker=".",
        color=style.GREY, markersize=2.5,
    )
    axes.set_yscale("log")
    _plain_ticks(axes)
    _nnz_axis(axes, found)
    axes.set_ylabel("compute, as data of\na dense network of that nnz")
    line: dict = {"color": style.INK}
    handles = [
        Line2D([], [], label="zeros cost as well", **line),
        Line2D([], [], label="gradual pruning", linestyle="dashed", **line),
    ]
    if middle is not None:
        text = f"95 % of {_percent(middle)}"
        handles.append(Patch(facecolor=style.GREY, alpha=0.25, label=text))
    axes.legend(
        handles=handles, ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1),
        columnspacing=1.0, handlelength=1.6, title="optimal sparsity",
    )


def _nnz_axis(axes: "Axes", found: Study) -> None:
    ticks = style.thinned(found.table.nnz.tolist(), 5)
    axes.set_xscale("log", base=2)
    axes.set_xticks(ticks, [_number(tick) for tick in ticks])
    axes.minorticks_off()
    axes.set_xlabel("non-zero weights (nnz)")


def _plain_ticks(axes: "Axes") -> None:
    """A few round numbers on a logarithmic axis, of less than a decade or of many."""
    low, high = axes.get_ylim()
    power = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    ladders: Sequence[Sequence[float]] = ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 5, 7))
    ladders = (*ladders, [n / 10 for n in range(10, 100)])
    ticks: list[float] = []
    for ladder in ladders:
        ticks = [n * 10.0**p for p in power for n in ladder if low <= n * 10.0**p <= high]
        if len(ticks) > 3:
            break
    ticks = style.thinned(ticks, 6)
    axes.set_yticks(ticks, [_number(tick) for tick in ticks])
    axes.minorticks_off()
    axes.grid(axis="y")


def _number(value: float) -> str:
    return style.number(value) if value >= 1 else f"{value:.3g}"


def _percent(sparsity: float) -> str:
    return f"{100 * sparsity:.4g} %"
