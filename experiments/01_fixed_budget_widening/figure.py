"""Test accuracy over width at 3,970 weights, from `curves.csv`.

python experiments/01_fixed_budget_widening/figure.py OUT.png
"""

import csv
import sys
from collections import defaultdict
from pathlib import Path

from sparse_search.report import style
from sparse_search.report.plots import new_figure

sys.path.insert(0, str(Path(__file__).parents[1]))
from drawing import line, write

BEST = 96.3  # Golubeva et al. 2021, about, near widths 80 to 160
METHODS = {
    "rigl": ("RigL", style.GREEN, "s", 1.05),
    "set": ("SET", style.VERMILLION, "^", 0.95),
    "static": ("static", style.INK, "o", 1.0),
    "dense": ("dense", style.BLUE, "D", 1.0),
}


def draw():
    """A line a method: means and intervals; a little beside each other."""
    found = defaultdict(lambda: defaultdict(list))
    with (Path(__file__).parent / "curves.csv").open() as file:
        for row in csv.DictReader(file):
            accuracy = 100 * float(row["test_accuracy"])
            found[row["method"]][int(row["width"])].append(accuracy)
    figure = new_figure(4.6, 2.8)
    axes = figure.subplots()
    axes.hlines(
        BEST,
        80,
        160,
        color=style.GREY,
        linewidth=3,
        label="best of static masks, published",
    )
    for method, how in METHODS.items():
        line(axes, found[method], *how)
    axes.set_xscale("log")
    ticks = [5, *sorted(found["static"])]
    axes.set_xticks(ticks, [f"{width:,}" for width in ticks])
    axes.minorticks_off()
    axes.grid(axis="y")
    axes.set_xlabel("hidden neurons (3,970 weights)")
    axes.set_ylabel("test accuracy (%)")
    axes.legend(loc="lower center")
    return figure


if __name__ == "__main__":
    write(draw)
