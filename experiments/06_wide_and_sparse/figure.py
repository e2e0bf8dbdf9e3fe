"""Test accuracy of wide sparse and small dense networks, from `curves.csv`.

python experiments/06_wide_and_sparse/figure.py OUT.png
"""

import csv
import sys
from collections import defaultdict
from pathlib import Path

from sparse_search.analysis.stats import t_interval
from sparse_search.report import style
from sparse_search.report.plots import new_figure, render

NAMES = {"static": "65,536 wide, static", "set": "65,536 wide, SET", "dense": "dense"}


def draw():
    """A row a network and learning rate: every seed, the mean and its interval."""
    found = defaultdict(list)
    with (Path(__file__).parent / "curves.csv").open() as file:
        for row in csv.DictReader(file):
            key = row["method"], float(row["learning_rate"])
            if row["status"] == "done":
                found[key].append(100 * float(row["test_accuracy"]))
    figure = new_figure(4.4, 2.2)
    axes = figure.subplots()
    rows = [key for name in NAMES for key in sorted(found) if key[0] == name]
    rows = [key for key in rows if len(found[key]) > 2]
    for place, key in enumerate(rows):
        mean, low, high = t_interval(found[key])
        axes.plot(found[key], [place] * 3, "o", color=style.SKY, **style.EDGE)
        axes.hlines(place, low, high, color=style.INK)
        axes.plot(mean, place, "D", color=style.INK, **style.EDGE)
    axes.set_yticks(
        range(len(rows)), [f"{NAMES[m]}, rate {rate:g}" for m, rate in rows]
    )
    axes.invert_yaxis()
    axes.grid(axis="x")
    axes.set_xlabel("test accuracy (%), about 600,000 weights")
    return figure


if __name__ == "__main__":
    Path(sys.argv[1]).write_bytes(render(draw)["png"])
