import numpy as np
import pytest

from sparse_search.data import tabular
from sparse_search.errors import UserError
from sparse_search.testing import datasets

COLOURS = ["red", "blue", "green"]


def table(rows=75):
    """Lines of a CSV whose second and third columns decide the class."""
    random = np.random.default_rng(0)
    numbers = random.normal(100, 7, rows)
    lines = ["name,size,colour,kind"]
    for row in range(rows):
        kind = "large" if numbers[row] > 100 else "small"
        lines.append(f"{row % 2},{numbers[row]},{COLOURS[row % 3]},{kind}")
    return lines


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "things.csv").write_text("\n".join(table()) + "\n")
    return tmp_path


def error(folder, **options):
    with pytest.raises(UserError) as caught:
        tabular.load(folder, **{"file": "things.csv", **options})
    message = str(caught.value)
    assert message.endswith((".", "?")) and "\n" not in message
    return message


def test_a_table(folder):
    data = datasets.check(tabular.load, folder, file="things.csv")
    assert data.name == "things" and data.classes == 2
    assert data.train_inputs.shape == (60, 5) and data.test_inputs.shape == (15, 5)
    marks = data.train_inputs[:, [0, 2, 3, 4]]
    assert set(np.unique(marks)) == {0, 1} and (marks[:, 1:].sum(axis=1) == 1).all()
    sizes = data.train_inputs[:, 1]
    assert sizes.mean() == pytest.approx(0, abs=1e-6)
    assert sizes.std() == pytest.approx(1, abs=1e-6)
    # By the training part: the test part has another mean.
    assert abs(data.test_inputs[:, 1].mean()) > 1e-3
    everything = np.concatenate([data.train_inputs, data.test_inputs])
    labels = np.concatenate([data.train_labels, data.test_labels])
    assert everything[labels == 0, 1].min() > everything[labels == 1, 1].max()
    share = np.bincount(data.test_labels) / np.bincount(labels)
    assert share == pytest.approx([0.2, 0.2], abs=0.03)


def test_the_column_of_the_classes(folder):
    data = tabular.load(folder, file="things.csv", label="colour", test=0.5)
    assert data.classes == 3 and len(data.test_labels) == 37
    assert "Did you mean 'colour'?" in error(folder, label="color")
    assert "which are no classes" in error(folder, label="size")


def test_a_file_with_the_test_examples(folder):
    lines = table()
    (folder / "train.csv").write_text("\n".join(lines[:61]))
    (folder / "test.csv").write_text("\n".join([lines[0], *lines[61:]]))
    data = tabular.load(folder, file="train.csv", test_file="test.csv")
    assert len(data.train_labels) == 60 and len(data.test_labels) == 15
    (folder / "test.csv").write_text("name,size,kind\n1,2,large\n")
    message = error(folder, file="train.csv", test_file="test.csv")
    assert "has other columns than" in message


def test_arrays(tmp_path):
    random = np.random.default_rng(1)
    x, y = random.normal(5, 2, (75, 4)), np.arange(75) % 3
    np.savez(tmp_path / "own.npz", x=x, y=y)
    data = tabular.load(tmp_path, file="own.npz")
    assert data.train_inputs.shape == (60, 4) and data.classes == 3
    np.testing.assert_allclose(data.train_inputs.mean(axis=0), 0, atol=1e-6)
    parts = {"x_train": x[:60], "y_train": y[:60], "x_test": x[60:], "y_test": y[60:]}
    np.savez(tmp_path / "own.npz", **parts)
    data = tabular.load(tmp_path, file="own.npz")
    assert (data.test_labels == y[60:]).all()
    images = random.integers(0, 256, (75, 5, 5))
    np.savez(tmp_path / "own.npz", X=images, y=y)
    data = tabular.load(tmp_path, file="own.npz")
    assert data.train_inputs.shape == (60, 5, 5) and data.train_inputs.min() >= 0


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"a": np.ones(3)}, "has the arrays a; it needs x and y"),
        ({"x": np.ones((4, 2)), "y": np.arange(3)}, "4 inputs, but labels of shape"),
        ({"x": np.full((4, 2), np.nan), "y": np.arange(4) % 2}, "no finite numbers"),
        ({"x": np.array([["a"]] * 4), "y": np.arange(4) % 2}, "inputs are numbers"),
        ({"x": np.ones((4, 2), object), "y": np.arange(4) % 2}, "cannot be read"),
    ],
)
def test_wrong_arrays(tmp_path, arrays, words):
    np.savez(tmp_path / "own.npz", **arrays)
    assert words in error(tmp_path, file="own.npz")


def test_what_cannot_be_learned_from(folder):
    path = folder / "things.csv"
    lines = table()
    path.write_text("\n".join([*lines, "1,,red,small"]))
    assert "column 'size' has 1 empty cells" in error(folder)
    path.write_text("\n".join(f"{line},text{n}" for n, line in enumerate(lines)))
    assert "which are no classes" in error(folder)
    more = [f"a{n},{line}" for n, line in enumerate(table(150))]
    path.write_text("\n".join(more))
    assert "column 'a0' has 150 different texts" in error(folder)
    path.write_text("kind\n" + "\n".join("ab" * 5) + "\n")
    assert "has no column beside 'kind'" in error(folder)
    path.write_text("")
    assert "cannot be read as a table" in error(folder)
    (folder / "own.npz").write_bytes(b"PK\x03\x04 torn")
    assert "cannot be read as .npz" in error(folder, file="own.npz")
    assert "between 0 and 1" in error(folder, test=1.5)
