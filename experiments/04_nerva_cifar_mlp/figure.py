"""Accuracy against the number of weights, beside Nerva's, from `trials.jsonl`.

python experiments/04_nerva_cifar_mlp/figure.py OUT.png
"""

import json
import sys
from collections import defaultdict
from pathlib import Path

from sparse_search.report import style
from sparse_search.report.plots import new_figure

sys.path.insert(0, str(Path(__file__).parents[1]))
from drawing import line, write

# Wesselink et al. 2024: test accuracy in percent by number of weights.
PUBLISHED = {3675: 32.9, 18_376: 53.2, 36_751: 56.2, 367_514: 62.0, 3_675_136: 64.2}
# What `trials.jsonl` calls a set-up, its label, colour, marker, and where it is drawn:
# beside the true number of weights, so that intervals can be told apart.
SET_UPS = (
    ("published", "as in the scripts", style.INK, "o", 1.0),
    ("published, plain Xavier", "initial weights of the logs", style.BLUE, "s", 1.09),
    ("as networks here are by default", "by default", style.GREEN, "^", 0.92),
    ("published, masked", "as in the scripts, masked", style.ORANGE, "v", 1.18),
)


def measured():
    """Test accuracies in percent by set-up and number of weights."""
    found = defaultdict(lambda: defaultdict(list))
    text = (Path(__file__).parent / "trials.jsonl").read_text()
    for trial in map(json.loads, text.splitlines()):
        accuracy = 100 * trial["test_accuracy"]
        found[trial["set_up"]][trial["nnz"]].append(accuracy)
    return found


def draw():
    """A line a set-up: means, with intervals where there are three seeds."""
    figure = new_figure(4.6, 3.0)
    axes = figure.subplots()
    found = measured()
    axes.plot(
        list(PUBLISHED),
        list(PUBLISHED.values()),
        "D--",
        color=style.VERMILLION,
        label="published",
        **style.EDGE,
    )
    for name, *how in SET_UPS:
        line(axes, found[name], *how, dashes="none")
    axes.set_xscale("log")
    axes.set_xlabel("non-zero weights (nnz)")
    axes.set_ylabel("test accuracy (%)")
    axes.grid(axis="y")
    axes.legend(loc="lower right")
    return figure


if __name__ == "__main__":
    write(draw)
