import data_files
import jax
import numpy as np
import pytest
from PIL import Image

from sparse_search.data import image_folder
from sparse_search.data.streamed import Streamed
from sparse_search.errors import UserError
from sparse_search.testing import datasets


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return data_files.image_folder(tmp_path_factory.mktemp("images"), each=30)


def error(folder, **options):
    with pytest.raises(UserError) as caught:
        image_folder.load(folder, **options)
    message = str(caught.value)
    assert message.endswith(".") and "\n" not in message
    return message


def test_the_contract(folder):
    data = datasets.check(image_folder.load, folder, size=8)
    assert data.name == folder.name and data.classes == 2
    assert (data.train_labels == np.repeat([0, 1], 30)).all()
    assert data.train_inputs.shape == (60, 8, 8, 3)


def test_an_image_is_scaled_and_its_middle_cut_out(tmp_path):
    data_files.image_folder(tmp_path, each=1)
    pixels = np.zeros((14, 24, 3), np.uint8)
    pixels[:, 12:] = 250
    Image.fromarray(pixels).save(tmp_path / "train" / "ant" / "000.png")
    image = np.asarray(image_folder.load(tmp_path, size=7).train_inputs[[0]])[0]
    # 14×24 becomes 8×14, and of that the middle 7×7.
    assert image.shape == (7, 7, 3) and (image[:, :3] == 0).all()
    assert (image[:, 5:] == 250).all()


class Counted:
    """A source that knows what was read of it."""

    def __init__(self, count, broken=-1):
        self.count, self.broken, self.read = count, broken, []

    def __len__(self):
        return self.count

    def __getitem__(self, row):
        self.read.append(row)
        if row == self.broken:
            raise UserError("this one is broken.")
        return np.full((2, 2), row, np.uint8)


def test_rows_in_programs_alone_and_over_lanes():
    inputs = Streamed((Counted(5),), (2, 2)).and_then(Streamed((Counted(4),), (2, 2)))
    assert inputs.shape == (9, 2, 2) and len(inputs) == 9
    rows = np.array([[0, 4, 5], [8, 1, 1]])
    expected = np.where(rows < 5, rows, rows - 5)
    for found in (
        inputs[rows],
        jax.jit(lambda x, rows: x[rows])(inputs, rows),
        jax.jit(jax.vmap(lambda x, rows: x[rows], (None, 0)))(inputs, rows),
        jax.jit(lambda x, rows: jax.lax.map(lambda r: x[r], rows))(inputs, rows),
    ):
        assert (np.asarray(found)[..., 0, 0] == expected).all()


def test_announced_rows_are_read_once_and_others_too():
    source = Counted(40)
    inputs = Streamed((source,), (2, 2))
    batches = np.random.default_rng(0).permutation(40).reshape(10, 4)
    inputs.announce(batches)
    for number, rows in enumerate(batches):
        if number == 3:  # not announced: an evaluation in between
            assert (inputs[np.array([7, 7])][:, 0, 0] == 7).all()
        assert (inputs[rows][:, 0, 0] == rows).all()
    assert sorted(source.read) == sorted([*range(40), 7, 7])


def test_an_image_that_is_damaged(folder, tmp_path):
    data_files.image_folder(tmp_path, each=4)
    path = tmp_path / "train" / "bee" / "002.png"
    path.write_bytes(path.read_bytes()[:200])
    inputs = image_folder.load(tmp_path, size=8).train_inputs
    with pytest.raises(UserError, match="002.png is no image that can be read"):
        inputs[np.array([6])]
    # In a program it is told afterwards.
    jax.block_until_ready(jax.jit(lambda x, rows: x[rows])(inputs, np.array([6])))
    assert "002.png is no image" in str(inputs.problem)


def test_folders_that_are_not_there(tmp_path):
    message = error(tmp_path)
    assert "reads the folders train and val" in message and str(tmp_path) in message
    data_files.image_folder(tmp_path, each=2)
    (tmp_path / "train" / "cat").mkdir()
    assert "have not the same classes: 'cat'" in error(tmp_path)
    (tmp_path / "val" / "cat").mkdir()
    assert f"{tmp_path / 'train' / 'cat'} has no images" in error(tmp_path)
    assert "it is at least 1" in error(tmp_path, size=0)
