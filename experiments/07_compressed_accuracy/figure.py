"""Compressed minus masked, seed by seed, from `masked.csv` and `compressed.csv`.

python experiments/07_compressed_accuracy/figure.py OUT.png
"""

import csv
import sys
from pathlib import Path

from sparse_search.report import style
from sparse_search.report.plots import new_figure

sys.path.insert(0, str(Path(__file__).parents[1]))
from drawing import name_rows, row, write

METHODS = {"static": "static", "set": "SET", "rigl": "RigL"}
SPARSE = {26900: "90 % sparse", 2690: "99 % sparse"}


def accuracies(kind):
    """The test accuracy in percent of every method, number of weights and seed."""
    with (Path(__file__).parent / f"{kind}.csv").open() as file:
        return {
            (trial["method"], int(trial["nnz"]), int(trial["seed"])): 100
            * float(trial["test_accuracy"])
            for trial in csv.DictReader(file)
        }


def draw():
    """A row a method and number of weights: every seed, the mean and its interval."""
    figure = new_figure(3.6, 1.9)
    axes = figure.subplots()
    masked, compressed = accuracies("masked"), accuracies("compressed")
    labels = []
    for nnz, sparse in SPARSE.items():
        for method, name in METHODS.items():
            keys = [key for key in masked if key[:2] == (method, nnz)]
            gaps = [compressed[key] - masked[key] for key in keys]
            row(axes, len(labels), gaps)
            labels.append(f"{name}, {sparse}")
    axes.axvline(0, color=style.GREY, linewidth=0.8)
    name_rows(axes, labels)
    axes.grid(axis="x")
    axes.set_xlabel("test accuracy, compressed − masked (points)")
    return figure


if __name__ == "__main__":
    write(draw)
