"""How hard is a task? The test error of a linear classifier, known before any map.

    python experiments/05_region_maps/difficulty.py TASK [--data-dir=DIR]

Multinomial logistic regression of scikit-learn with its default penalty, on all
training examples, inputs centred and divided by their root mean square. Of text, where
it sees the last character alone, it is the most frequent next one.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression

from sparse_search import build
from sparse_search.config import freeze

sys.path.insert(0, str(Path(__file__).parent))
from config import OTHERS, TASKS, get_config


def of_numbers(data) -> float:
    """The part of the test examples that logistic regression gets wrong."""
    train, test = (
        np.reshape(inputs, (len(inputs), -1)).astype(np.float32)
        for inputs in (data.train_inputs, data.test_inputs)
    )
    mean = train.mean(axis=0)
    scale = np.sqrt(np.mean((train - mean) ** 2))
    model = LogisticRegression(max_iter=1000)
    model.fit((train - mean) / scale, data.train_labels)
    return 1 - model.score((test - mean) / scale, data.test_labels)


def of_text(data) -> float:
    """The part of the characters that do not follow the one before them most often."""
    pairs = np.zeros((data.classes, data.classes), np.int64)
    np.add.at(pairs, (data.train_inputs, data.train_labels), 1)
    return np.mean(pairs.argmax(axis=1)[data.test_inputs] != data.test_labels)


def main() -> None:
    """Print a task's error in percent."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("task", choices=(*TASKS, *OTHERS))
    parser.add_argument("--data-dir", default="")
    options = parser.parse_args()
    data = build.dataset(freeze(get_config(options.task)).data, options.data_dir)
    wrong = of_text(data) if data.scale is None else of_numbers(data)
    count = data.test_labels.size
    print(f"{options.task}: {100 * wrong:.1f} % of {count:,} test examples")


if __name__ == "__main__":
    main()
