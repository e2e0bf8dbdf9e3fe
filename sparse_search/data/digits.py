"""Scikit-learn's digits: real data that come with a package.

1797 images of 8×8 pixels with values 0 to 16, the test part of "Optical Recognition
of Handwritten Digits" (Alpaydin and Kaynak 1998, UCI Machine Learning Repository).
"""

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
    # scikit-learn takes a second to import; no other data set should pay for it.
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    images = np.asarray(pixels).astype(np.uint8).reshape(-1, 8, 8)
    labels = np.asarray(labels).astype(np.uint8)
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
