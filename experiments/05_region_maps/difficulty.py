"""How hard is a task? The test error of a linear classifier, known before any map.

    python experiments/05_region_maps/difficulty.py TASK [--data-dir=DIR]

Multinomial logistic regression of scikit-learn with its default penalty, on all
training examples, inputs centred and divided by their root mean square.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression

from sparse_search import build
from sparse_search.config import freeze

sys.path.insert(0, str(Path(__file__).parent))
from config import TASKS, get_config


def main() -> None:
    """Print a task's error in percent."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("task", choices=TASKS)
    parser.add_argument("--data-dir", default="")
    options = parser.parse_args()
    data = build.dataset(freeze(get_config(options.task)).data, options.data_dir)
    train, test = (
        np.reshape(inputs, (len(inputs), -1)).astype(np.float32)
        for inputs in (data.train_inputs, data.test_inputs)
    )
    mean = train.mean(axis=0)
    scale = np.sqrt(np.mean((train - mean) ** 2))
    model = LogisticRegression(max_iter=1000)
    model.fit((train - mean) / scale, data.train_labels)
    right = model.score((test - mean) / scale, data.test_labels)
    print(f"{options.task}: {100 * (1 - right):.1f} % of {len(test):,} test examples")


if __name__ == "__main__":
    main()
