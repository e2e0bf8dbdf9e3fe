import zlib

import numpy as np
from sklearn.datasets import load_digits

from sparse_search.data import digits


def test_shapes_and_types():
    data = digits.load()
    assert data.name == "digits" and data.classes == 10
    assert data.train_inputs.shape == (1437, 8, 8)
    assert data.test_inputs.shape == (360, 8, 8)
    assert data.train_inputs.dtype == data.test_inputs.dtype == np.uint8
    assert data.train_labels.shape == (1437,) and data.test_labels.shape == (360,)
    assert data.train_labels.max() == 9
    assert np.isclose(
        data.scale, np.sqrt((data.train_inputs.astype(float) ** 2).mean())
    )


def test_the_split_is_the_same_forever():
    # A change here makes every published digits result incomparable.
    data = digits.load("/nowhere")
    assert zlib.crc32(data.test_inputs) == 0xD30E499A
    assert zlib.crc32(data.test_labels) == 0x0F42DA7C
    assert zlib.crc32(data.train_inputs) == 0xF9B086A8
    assert zlib.crc32(data.train_labels) == 0x56D2C4F4


def test_parts_are_stratified_and_together_the_whole():
    data = digits.load()
    whole = load_digits()
    share = np.bincount(whole.target) / 5
    assert (abs(np.bincount(data.test_labels) - share) < 1).all()
    parts = np.concatenate([data.train_inputs, data.test_inputs]).reshape(-1, 64)
    order = np.lexsort(parts.T)
    assert (parts[order] == whole.data[np.lexsort(whole.data.T)]).all()
    labels = np.concatenate([data.train_labels, data.test_labels])
    assert (np.bincount(labels) == np.bincount(whole.target)).all()
