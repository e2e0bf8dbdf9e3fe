"""Test accuracy of wide sparse and small dense networks, from `curves.csv`.

python experiments/06_wide_and_sparse/figure.py OUT.png
"""

import csv
import sys
from collections import defaultdict
from pathlib import Path

from sparse_search.report.plots import new_figure

sys.path.insert(0, str(Path(__file__).parents[1]))
from drawing import name_rows, row, write

NAMES = {"static": "65,536 wide, static", "set": "65,536 wide, SET", "dense": "dense"}


def draw():
    """A row a network and learning rate: every seed, the mean and its interval."""
    found = defaultdict(list)
    with (Path(__file__).parent / "curves.csv").open() as file:
        for trial in csv.DictReader(file):
            key = trial["method"], float(trial["learning_rate"])
            if trial["status"] == "done":
                found[key].append(100 * float(trial["test_accuracy"]))
    figure = new_figure(4.4, 2.2)
    axes = figure.subplots()
    rows = [key for name in NAMES for key in sorted(found) if key[0] == name]
    rows = [key for key in rows if len(found[key]) > 2]
    for place, key in enumerate(rows):
        row(axes, place, found[key])
    name_rows(axes, [f"{NAMES[method]}, rate {rate:g}" for method, rate in rows])
    axes.grid(axis="x")
    axes.set_xlabel("test accuracy (%), about 600,000 weights")
    return figure


if __name__ == "__main__":
    write(draw)
