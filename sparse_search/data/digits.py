"""Scikit-learn's digits: real data that come with a package.

1797 images of 8×8 pixels with values 0 to 16, the test part of "Optical Recognition
of Handwritten Digits" (Alpaydin and Kaynak 1998, UCI Machine Learning Repository).
"""

import importlib.util
from pathlib import Path

import numpy as np

from sparse_search.data.dataset import Dataset, pixel_scale


def load(data_dir: str | Path | None = None) -> Dataset:
    """Loads digits: 1437 training and 360 test images of shape [8, 8], 10 classes.

    There is no official test split. Ours is fixed forever and needs no random
    numbers: the examples are put in order of their class, each class in the order of
    the file, and the first of every five is a test example. So every class has its
    share to within one example. Both parts keep the order of the file.

    Args:
        data_dir: not used, because the images come with scikit-learn.
    """
    del data_dir
    table = _table()
    images, labels = table[:, :-1].reshape(-1, 8, 8), table[:, -1]
    test = np.zeros(len(labels), bool)
    test[np.argsort(labels, kind="stable")[::5]] = True
    scale = pixel_scale(images[~test])
    return Dataset(
        name="digits",
        train_inputs=images[~test],
        train_labels=labels[~test],
        test_inputs=images[test],
        test_labels=labels[test],
        classes=10,
        scale=scale,
    )


def _table() -> np.ndarray:
    """Rows of 64 pixels and a class, as uint8.

    scikit-learn takes two seconds to import, half of what a command takes to start, so
    its file is read without that where it lies as in all releases so far.
    """
    spec = importlib.util.find_spec("sklearn")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        file = Path(folder) / "datasets" / "data" / "digits.csv.gz"
        if file.is_file():
            return np.loadtxt(file, np.uint8, delimiter=",")
    from sklearn.datasets import load_digits

    columns = [np.asarray(part) for part in load_digits(return_X_y=True)]
    return np.column_stack(columns).astype(np.uint8)
