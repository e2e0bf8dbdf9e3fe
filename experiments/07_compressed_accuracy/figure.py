"""Compressed minus masked, seed by seed, from `masked.csv` and `compressed.csv`.

python experiments/07_compressed_accuracy/figure.py OUT.png
"""

import csv
import sys
from pathlib import Path

import numpy as np

from sparse_search.analysis.stats import t_interval
from sparse_search.report import style
from sparse_search.report.plots import new_figure, render

METHODS = {"static": "static", "set": "SET", "rigl": "RigL"}
SPARSE = {26900: "90 % sparse", 2690: "99 % sparse"}


def accuracies(kind):
    """The test accuracy in percent of every method, number of weights and seed."""
    with (Path(__file__).parent / f"{kind}.csv").open() as file:
        return {
            (row["method"], int(row["nnz"]), int(row["seed"])): 100
            * float(row["test_accuracy"])
            for row in csv.DictReader(file)
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
            gaps = np.array([compressed[key] - masked[key] for key in keys])
            mean, low, high = t_interval(gaps)
            place = len(labels)
            axes.plot(gaps, [place] * len(gaps), "o", color=style.SKY, **style.EDGE)
            axes.hlines(place, low, high, color=style.INK)
            axes.plot(mean, place, "D", color=style.INK, **style.EDGE)
            labels.append(f"{name}, {sparse}")
    axes.axvline(0, color=style.GREY, linewidth=0.8)
    axes.set_yticks(range(len(labels)), labels)
    axes.invert_yaxis()
    axes.grid(axis="x")
    axes.set_xlabel("test accuracy, compressed − masked (points)")
    return figure


if __name__ == "__main__":
    Path(sys.argv[1]).write_bytes(render(draw)["png"])
