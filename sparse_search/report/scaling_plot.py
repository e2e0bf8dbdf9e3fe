"""A scaling law in one figure: its fit and residuals, beside `scaling_panels`."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from sparse_search.analysis import scaling_study
from sparse_search.analysis.scaling import Form, predict
from sparse_search.analysis.scaling_checks import interval
from sparse_search.analysis.scaling_study import Study
from sparse_search.report import style
from sparse_search.report.plots import new_figure
from sparse_search.report.scaling_panels import (
    draw_multipliers,
    draw_optimum,
    nnz_axis,
    number,
    percent,
    plain_ticks,
    shown_form,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_POINTS = 40  # along a curve


def draw_scaling(found: Study) -> "Figure":
    """The figure of a study: two to four panels, as far as its rows tell."""
    panels: list[Callable[[Axes, Study], None]] = [_draw_fit, _draw_errors]
    if found.of_sparsity is not None:
        panels.insert(1, draw_multipliers)
    if found.content["optimal_sparsity"]:
        panels.append(draw_optimum)
    across = 2 if len(panels) != 3 else 3
    down = -(-len(panels) // across)
    figure = new_figure(7.0, 2.35 * down + 0.35)
    grid = figure.subplots(down, across, squeeze=False)
    for axes, draw, letter in zip(grid.flat, panels, "abcd", strict=False):
        draw(axes, found)
        axes.set_title(letter, loc="left", x=-0.13, fontweight="bold")
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


def _freedom(found: Study, form: Form) -> tuple[int, int]:
    return found.content["settings"], len(form.parameters)


def _draw_fit(axes: "Axes", found: Study) -> None:
    """Loss against nnz at the largest amount of data; other rows are moved there."""
    table, one = found.table, shown_form(found)
    form, theta = one.fit.form, one.fit.theta
    most = None if table.data is None else float(table.data.max())

    def at_most(
        thetas: np.ndarray, nnz: np.ndarray, sparsity: np.ndarray
    ) -> np.ndarray:
        data = None if most is None else np.full(len(nnz), most)
        return predict(form, thetas, nnz, sparsity, data)

    moved = at_most(theta, table.nnz, table.sparsity)[0] * np.exp(-one.error)
    there = np.full(len(moved), True) if table.data is None else table.data == most
    for level, rows, colour, marker in _groups(found):
        label = "all rows" if found.of_sparsity is None else percent(level)
        if level < 0.005 and found.of_sparsity is not None:
            label = "dense"
        xs = np.geomspace(table.nnz[rows].min(), table.nnz[rows].max(), _POINTS)
        levels = np.full(_POINTS, level)
        curve = at_most(theta, xs, levels)[0]
        resampled = at_most(one.resampled, xs, levels)
        _band(axes, xs, curve, resampled, _freedom(found, form), colour)
        axes.plot(xs, curve, color=colour)
        look: dict[str, Any] = {"linestyle": "none", "marker": marker, "color": colour}
        axes.plot(
            table.nnz[rows & there],
            moved[rows & there],
            label=label,
            **look,
            **style.EDGE,
        )
        others = rows & ~there
        axes.plot(
            table.nnz[others],
            moved[others],
            markerfacecolor="none",
            markersize=2.6,
            markeredgewidth=0.5,
            **look,
        )
    axes.set_yscale("log")
    plain_ticks(axes)
    nnz_axis(axes, found)
    where = ""
    if most is not None and form.has("b_D"):
        where = style.text(f" ({table.columns['data']} = {number(most)})")
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


def _draw_errors(axes: "Axes", found: Study) -> None:
    """What the form misses: filled by the fit, hollow where the row was held out."""
    one, nnz = shown_form(found), found.table.nnz
    for _, rows, colour, marker in _groups(found):
        look: dict[str, Any] = {"linestyle": "none", "marker": marker, "color": colour}
        if one.folds is not None:
            axes.plot(
                nnz[rows] * 1.06,
                100 * one.folds.error[rows],
                markerfacecolor="none",
                markersize=2.6,
                markeredgewidth=0.5,
                **look,
            )
        axes.plot(nnz[rows] / 1.06, 100 * one.error[rows], **look, **style.EDGE)
    axes.axhline(0, color=style.GREY, linewidth=0.6)
    axes.grid(axis="y")
    nnz_axis(axes, found)
    axes.set_ylabel("predicted − measured loss (%)")
    if one.folds is not None:
        from matplotlib.lines import Line2D

        look: dict[str, Any] = {"linestyle": "none", "marker": "o", "color": style.INK}
        handles = [
            Line2D([], [], label="in the fit", **look),
            Line2D([], [], label="held out", markerfacecolor="none", **look),
        ]
        axes.legend(
            handles=handles, ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1)
        )
