"""The maps of several tasks in one figure, the hardest at the bottom, and as tables.

    python experiments/05_region_maps/figure.py OUT.png TASK=ERROR=DIR ...

DIR is a workdir whose report was made, ERROR what `difficulty.py` prints, in percent.
"""

import json
import math
import sys
from pathlib import Path

from sparse_search.analysis.classes import WEIGHT
from sparse_search.report import region_plot, style
from sparse_search.report.plots import new_figure
from sparse_search.report.scales import scale_of_map

sys.path.insert(0, str(Path(__file__).parents[1]))
from drawing import write

POINTS = 230  # that a strip is wide


def draw(tasks):
    """A row a task: the classes of its budgets, and large-sparse minus small-dense."""
    figure = new_figure(7.0, 0.62 * len(tasks) + 1.05)
    grid = figure.subplots(
        len(tasks), 2, sharex="col", squeeze=False, gridspec_kw={"width_ratios": (5, 3)}
    )
    edges = [
        region_plot.cell_edges([entry["nnz"] for entry in found["budgets"]])
        for _, _, found in tasks
    ]
    low, high = min(e[0] for e in edges), max(e[-1] for e in edges)
    entries = {}
    for (left, right), (task, error, found), ends in zip(
        grid, tasks, edges, strict=True
    ):
        label = f"{task}\nlinear: {error} % wrong"
        wide = POINTS * math.log(ends[-1] / ends[0]) / math.log(high / low)
        region_plot.draw_classes(left, {task: found["budgets"]}, wide)
        left.set_yticks([0.5], [label])
        entries[task] = found["budgets"]
        for boundary in found["boundaries"]:
            left.vlines(boundary["nnz"], 0.06, 0.94, color=style.INK, linewidth=1.2)
        gaps = found["large_sparse_vs_small_dense"]
        region_plot.draw_gap(right, gaps, scale_of_map(found))
        right.set_ylabel("")  # the title says it for all
        for axes in (left, right):
            axes.set_xscale("log")
            axes.set_xlim(low / 1.03, high * 1.03)  # strips have an outline
            axes.minorticks_off()
    grid[0, 0].set_title("what decides (black bars: where both are equal)")
    grid[0, 1].set_title("large-sparse − small-dense (points)")
    for axes in grid[-1]:
        axes.set_xlabel("non-zero weights (nnz)")
    patches = region_plot.class_patches(entries)
    figure.legend(handles=patches, loc="outside lower center", ncols=len(patches))
    return figure


def rows(found):
    """A Markdown row a budget: what the figure shows, in points."""
    gaps = {gap["nnz"]: gap for gap in found["large_sparse_vs_small_dense"]}
    for entry in found["budgets"]:
        nnz = entry["nnz"]
        name = entry["class"] + (" (fragile)" if entry["fragile"] else "")
        effects = [points(entry[key]) for key in ("weight_effect", "structure_sd")]
        gap = points(gaps[nnz], "difference") if nnz in gaps else "no reference"
        yield f"| {nnz:,} | {name} | {effects[0]} | {effects[1]} | {gap} |"


def claim(task, error, found):
    """A Markdown row a task: the mean lead where weights decide and elsewhere."""
    classes = {entry["nnz"]: entry["class"] for entry in found["budgets"]}
    decide = [nnz for nnz, name in classes.items() if name == WEIGHT]
    gaps = [
        gap
        for gap in found["large_sparse_vs_small_dense"]
        if gap["nnz"] in decide and gap["low"] is not None
    ]
    ahead = sum(gap["low"] > 0 for gap in gaps)
    behind = sum(gap["high"] < 0 for gap in gaps)
    shown = " | ".join(
        points(lead, "difference") if lead else "untestable"
        for lead in found["claim"].values()
    )
    counts = f"{len(decide)} of {len(classes)} | {ahead}, {behind} of {len(gaps)}"
    return f"| {task} | {error} | {counts} | {shown} |"


def points(found, key="value"):
    """A difference of accuracies with its interval; "" where there is none."""
    if found[key] is None:
        return ""
    rounded = (round(100 * found[k], 1) + 0.0 for k in (key, "low", "high"))
    return "{:.1f} [{:.1f}, {:.1f}]".format(*rounded).replace("-", "−")


def main():
    """Write the figure and print the tables."""
    tasks = []
    for one in sys.argv[2:]:
        task, error, workdir = one.split("=", 2)
        found = json.loads((Path(workdir) / "report" / "regions.json").read_text())
        tasks.append((task, error, found))
    tasks.sort(key=lambda one: float(one[1]))
    write(lambda: draw(tasks))
    for task, _, found in tasks:
        print(task, *rows(found), sep="\n")
    print(*(claim(*one) for one in tasks), sep="\n")


if __name__ == "__main__":
    main()
