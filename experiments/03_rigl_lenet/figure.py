"""What is left of LeNet-300-100, beside what was published, from `trials.jsonl`.

python experiments/03_rigl_lenet/figure.py OUT.png
"""

import json
import sys
from pathlib import Path

import numpy as np

from sparse_search.analysis.stats import t_interval
from sparse_search.report import style
from sparse_search.report.plots import new_figure

sys.path.insert(0, str(Path(__file__).parents[1]))
from drawing import name_rows, write

# Evci et al. 2020, Table 2: 408-100-69, and the errors of two of its rows.
PUBLISHED = ((408,), (100,), (69,), (1.44, 1.48))
PANELS = ("inputs left", "first hidden layer", "second hidden layer", "test error, %")
METHODS = {"rigl": "RigL", "set": "SET", "static": "static"}
INITIAL = {
    "drawn for dense layers": "not rescaled",
    "scaled to the fan-in": "rescaled",
}


def measured():
    """Of every method and kind of initial weights: a row a seed, a column a panel."""
    text = (Path(__file__).parent / "trials.jsonl").read_text()
    for method, name in METHODS.items():
        for initial, label in INITIAL.items():
            trials = [
                trial
                for trial in map(json.loads, text.splitlines())
                if trial["method"] == method and trial["initial_weights"] == initial
            ]
            yield (
                f"{name}, {label}",
                np.array(
                    [
                        [*one["effective_neurons"], 100 * (1 - one["test_accuracy"])]
                        for one in trials
                    ]
                ),
            )


def draw():
    """A row a method, a panel a number: the mean and its interval."""
    figure = new_figure(7.0, 1.9)
    grid = figure.subplots(1, len(PANELS), sharey=True)
    rows = list(measured())
    for column, (axes, title) in enumerate(zip(grid, PANELS, strict=True)):
        given = PUBLISHED[column]
        axes.plot(given, [0] * len(given), "D", color=style.VERMILLION, **style.EDGE)
        for place, (_, seeds) in enumerate(rows, 1):
            mean, low, high = t_interval(seeds[:, column])
            axes.hlines(place, low, high, color=style.INK)
            axes.plot(mean, place, "o", color=style.INK, **style.EDGE)
        axes.axvline(given[0], color=style.VERMILLION, linestyle="dotted")
        axes.set_title(title)
        axes.margins(x=0.12)
        axes.grid(axis="x")
    name_rows(grid[0], ["RigL, published", *(name for name, _ in rows)])
    return figure


if __name__ == "__main__":
    write(draw)
