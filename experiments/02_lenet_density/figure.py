"""Test error against density, beside what was published, from the CSV files.

python experiments/02_lenet_density/figure.py OUT.png
"""

import csv
import sys
from collections import defaultdict
from pathlib import Path

from sparse_search.report import style
from sparse_search.report.plots import new_figure

sys.path.insert(0, str(Path(__file__).parents[1]))
from drawing import line, write

WEIGHTS = 266_200  # of LeNet-300-100
# Dettmers and Zettlemoyer 2019: accuracies in percent by density in percent.
PUBLISHED = {
    "SNFS, published": (style.BLUE, {1: 97.53, 2: 98.20, 5: 98.53, 10: 98.67}),
    "SET, published": (style.VERMILLION, {1: 95.80, 2: 97.74, 5: 98.15, 10: 98.39}),
}
SOME = {
    "gradual": ("gradual pruning", style.PURPLE, "v"),
    "snfs": ("SNFS", style.BLUE, "o"),
    "rigl": ("RigL", style.GREEN, "s"),
    "set": ("SET", style.VERMILLION, "^"),
    "snip": ("SNIP", style.ORANGE, "D"),
    "static": ("static", style.INK, "P"),
}


def errors(name):
    """Test errors in percent by method and density in percent, a number a seed."""
    found = defaultdict(lambda: defaultdict(list))
    with (Path(__file__).parent / f"{name}.csv").open() as file:
        for row in csv.DictReader(file):
            density = round(100 * int(row["nnz"]) / WEIGHTS)
            error = 100 * (1 - float(row["test_accuracy"]))
            found[row["method"]][density].append(error)
    return found


def draw():
    """28 epochs with many methods, and as many as published with two."""
    figure = new_figure(7.0, 2.9)
    left, right = figure.subplots(1, 2, sharey=True)
    short = errors("curves")
    for method, how in SOME.items():
        line(left, short[method], *how)
    for csv_name, what, dashes in (
        ("long", "", "solid"),
        ("uniform", ", uniform masks", "dotted"),
    ):
        long = errors(csv_name)
        for method in ("snfs", "set"):
            label, colour, marker = SOME[method]
            line(right, long[method], label + what, colour, marker, dashes=dashes)
    for label, (colour, accuracies) in PUBLISHED.items():
        given = [100 - accuracy for accuracy in accuracies.values()]
        right.plot(list(accuracies), given, "x--", color=colour, label=label)
    for axes, title in ((left, "28 epochs"), (right, "100 epochs")):
        axes.set_title(title)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xticks([1, 2, 5, 10, 20, 50], ["1", "2", "5", "10", "20", "50"])
        axes.set_yticks([1.5, 2, 3, 5, 10, 20], ["1.5", "2", "3", "5", "10", "20"])
        axes.minorticks_off()
        axes.grid(axis="y")
        axes.set_xlabel("density (%)")
        axes.legend()
    left.set_ylabel("test error (%)")
    return figure


if __name__ == "__main__":
    write(draw)
