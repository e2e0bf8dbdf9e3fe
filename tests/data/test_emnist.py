import zipfile

import data_files
import numpy as np
import pytest

from sparse_search.data import emnist
from sparse_search.errors import UserError
from sparse_search.testing import datasets

STEM = "emnist-balanced-train"


def error(folder, split="balanced"):
    """The message of a failing load, checked to be one sentence."""
    with pytest.raises(UserError) as caught:
        emnist.load(folder, split=split)
    message = str(caught.value)
    assert message.endswith((".", "?")) and "\n" not in message
    return message


@pytest.mark.parametrize("inner", ["", "emnist", "gzip", "emnist/gzip"])
def test_images_are_turned_upright(tmp_path, inner):
    images = data_files.emnist(tmp_path / inner)
    data = emnist.load(tmp_path)
    assert (data.train_inputs == images).all()
    assert (data.test_inputs == images[:47]).all()
    assert (data.train_labels == np.arange(94) % 47).all()
    assert data.name == "emnist_balanced" and data.classes == 47


def test_letters_are_counted_from_0(tmp_path):
    data_files.emnist(tmp_path, "letters", range(1, 27), count=60)
    data = emnist.load(tmp_path, split="letters")
    assert (data.train_labels == np.arange(60) % 26).all() and data.classes == 26
    data_files.emnist(tmp_path, "letters", range(0, 27))
    assert "has the label 0, but labels go from 1 to 26" in error(tmp_path, "letters")


def test_the_whole_archive(tmp_path):
    images = data_files.emnist(tmp_path / "gzip", count=60)
    archive = tmp_path / "gzip.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted((tmp_path / "gzip").iterdir()):
            file.write(path, f"gzip/{path.name}")
            path.unlink()
    data = datasets.check(emnist.load, tmp_path, split="balanced")
    assert (data.train_inputs == images).all()
    assert "does not hold emnist-digits-train-images" in error(tmp_path, "digits")
    archive.write_bytes(archive.read_bytes()[:-100])
    assert f"{archive} is a damaged archive" in error(tmp_path)


def test_damaged_files(tmp_path):
    data_files.emnist(tmp_path)
    images = tmp_path / f"{STEM}-images-idx3-ubyte.gz"
    labels = tmp_path / f"{STEM}-labels-idx1-ubyte.gz"
    whole = images.read_bytes()
    images.write_bytes(whole[:-30])
    assert f"{images} is truncated" in error(tmp_path)
    images.write_bytes(labels.read_bytes())
    assert "should hold images" in error(tmp_path)
    images.write_bytes(whole)
    test_labels = tmp_path / "emnist-balanced-test-labels-idx1-ubyte.gz"
    labels.write_bytes(test_labels.read_bytes())
    assert "has 94 images, but" in error(tmp_path)


def test_no_such_split(tmp_path):
    assert "Did you mean 'balanced'?" in error(tmp_path, "balancd")
    assert "gzip.zip was not found" in error(tmp_path)
