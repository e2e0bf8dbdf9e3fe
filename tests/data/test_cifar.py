import pickle

import data_files
import numpy as np
import pytest

from sparse_search.data import cifar
from sparse_search.data.dataset import pixel_scale
from sparse_search.data.files import Known
from sparse_search.errors import UserError
from sparse_search.testing import datasets


def error(folder, load=cifar.load_10):
    """The message of a failing load, checked to be one sentence."""
    with pytest.raises(UserError) as caught:
        load(folder)
    message = str(caught.value)
    assert message.endswith(".") and ". " not in message and "\n" not in message
    return message


def write(folder, form):
    """CIFAR-10 in one of its four forms."""
    kind, packed, _ = form.partition(".")
    make = {
        "binary": data_files.cifar10_binary,
        "python": data_files.cifar10_python,
    }[kind]
    images, labels = make(folder)
    if packed:
        inner = "cifar-10-batches-bin" if kind == "binary" else "cifar-10-batches-py"
        data_files.archived(folder, inner, f"cifar-10-{kind}.tar.gz")
    return images, labels


@pytest.mark.parametrize("form", ["binary", "python", "binary.tar.gz", "python.tar.gz"])
@pytest.mark.parametrize("subfolder", ["", "cifar10"])
def test_every_form(tmp_path, form, subfolder):
    images, labels = write(tmp_path / subfolder, form)
    data = cifar.load_10(tmp_path)
    assert data.name == "cifar10" and data.classes == 10
    assert (data.train_inputs == images[:60]).all()
    assert (data.train_labels == labels[:60]).all()
    assert (data.test_inputs == images[60:]).all()
    assert (data.test_labels == labels[60:]).all()
    assert data.train_inputs.dtype == data.train_labels.dtype == np.uint8
    assert data.scale == pixel_scale(images[:60])
    # Rows, columns, channels: red is the darkest of the three here.
    assert data.train_inputs[..., 0].max() < 80 <= data.train_inputs[..., 1].min()


def test_the_folder_itself(tmp_path):
    data_files.cifar10_binary(tmp_path)
    data_files.cifar10_python(tmp_path)
    for inner in ("cifar-10-batches-bin", "cifar-10-batches-py"):
        assert len(cifar.load_10(tmp_path / inner).train_labels) == 60


def test_the_contract(tmp_path):
    data_files.cifar10_binary(tmp_path)
    datasets.check(cifar.load_10, tmp_path)
    images, fine = data_files.cifar100_binary(tmp_path)
    data = datasets.check(cifar.load_100, tmp_path)
    assert data.name == "cifar100" and data.classes == 100
    assert (data.train_labels == fine[:60]).all()
    assert (data.test_inputs == images[60:]).all()


def test_a_pickle_of_python_2(tmp_path):
    """The opcodes that the published files have: text for bytes, numpy.core."""
    images, labels = data_files.cifar10_python(tmp_path)
    pixels = data_files.planes(images[:12]).tobytes()
    size = len(pixels).to_bytes(4, "little")
    old = (
        b"\x80\x02}(U\x04datacnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n"
        b"K\x00\x85U\x01b\x87R(K\x01K\x0cM\x00\x0c\x86cnumpy\ndtype\nU\x02u1K\x00K\x01"
        b"\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T"
        + size
        + pixels
        + b"tbU\x06labels]("
        + b"".join(b"K" + bytes([label]) for label in labels[:12].tolist())
        + b"eu."
    )
    (tmp_path / "cifar-10-batches-py" / "data_batch_1").write_bytes(old)
    data = cifar.load_10(tmp_path)
    assert (data.train_inputs == images[:60]).all()
    assert (data.train_labels == labels[:60]).all()


class Bomb:
    def __reduce__(self):
        return (print, ("boom",))


def test_a_pickle_that_would_run_something(tmp_path, capsys):
    data_files.cifar10_python(tmp_path, extra=Bomb())
    message = error(tmp_path)
    assert "it asks for builtins.print" in message and "data_batch_1 " in message
    assert "boom" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("batch", "words"),
    [
        ({b"labels": [0]}, "no CIFAR batch (KeyError: 'data')"),
        ([1, 2], "no CIFAR batch"),
        ({b"data": np.zeros((12, 3071), np.uint8), b"labels": [0] * 12}, "3071"),
        ({b"data": np.zeros((12, 3072)), b"labels": [0] * 12}, "float64"),
        ({b"data": np.ones((12, 3072), np.uint8), b"labels": [0] * 11}, "11 labels"),
        ({b"data": np.ones((12, 3072), np.uint8), b"labels": [10] * 12}, "label 10"),
        ({b"data": np.ones((12, 3072), np.uint8), b"labels": [-1] * 12}, "label -1"),
    ],
)
def test_a_wrong_pickle(tmp_path, batch, words):
    data_files.cifar10_python(tmp_path)
    path = tmp_path / "cifar-10-batches-py" / "data_batch_3"
    path.write_bytes(pickle.dumps(batch, protocol=4))
    message = error(tmp_path)
    assert words in message and str(path) in message


@pytest.mark.parametrize("form", ["binary", "python"])
@pytest.mark.parametrize("keep", [0, 100, -1])
def test_truncated(tmp_path, form, keep):
    write(tmp_path, form)
    path = next(p for p in sorted(tmp_path.rglob("data_batch_4*")))
    path.write_bytes(path.read_bytes()[:keep])
    message = error(tmp_path)
    assert f"{path} is truncated" in message and cifar._SOURCE in message


def test_truncated_between_two_images(tmp_path):
    data_files.cifar10_binary(tmp_path)
    for name in ("data_batch_2", "test_batch"):
        path = tmp_path / "cifar-10-batches-bin" / f"{name}.bin"
        whole = path.read_bytes()
        path.write_bytes(whole[:-3073])
        assert "one of them is truncated" in error(tmp_path)
        path.write_bytes(whole)


@pytest.mark.parametrize("keep", [10, 3000, -9, -1])
def test_a_damaged_archive(tmp_path, keep):
    write(tmp_path, "binary.tar.gz")
    path = tmp_path / "cifar-10-binary.tar.gz"
    path.write_bytes(path.read_bytes()[:keep])
    assert f"{path} is a damaged archive" in error(tmp_path)


def test_an_archive_without_a_file(tmp_path):
    data_files.cifar10_binary(tmp_path)
    (tmp_path / "cifar-10-batches-bin" / "test_batch.bin").unlink()
    assert "has no file test_batch.bin" in error(tmp_path)
    data_files.archived(tmp_path, "cifar-10-batches-bin", "cifar-10-binary.tar.gz")
    assert "does not hold cifar-10-batches-bin/test_batch.bin" in error(tmp_path)


def test_labels_out_of_range(tmp_path):
    data_files.cifar10_binary(tmp_path)
    path = tmp_path / "cifar-10-batches-bin" / "data_batch_5.bin"
    path.write_bytes(b"\x0a" + path.read_bytes()[1:])
    assert f"{path} has the label 10, but labels go from 0 to 9" in error(tmp_path)


def test_the_published_size_with_another_content(tmp_path, monkeypatch):
    data_files.cifar10_binary(tmp_path)
    path = tmp_path / "cifar-10-batches-bin" / "data_batch_1.bin"
    known = {path.name: Known(12 * 3073, "0" * 64)}
    form = cifar.CIFAR10.binary._replace(known=known)
    monkeypatch.setattr(cifar, "CIFAR10", cifar.CIFAR10._replace(binary=form))
    message = error(tmp_path)
    assert f"{path} has the size of the official file but not its checksum" in message


@pytest.mark.parametrize("load", [cifar.load_10, cifar.load_100])
def test_where_there_is_no_internet(tmp_path, load):
    for folder in (tmp_path, None):
        message = error(folder, load)
        assert "-binary.tar.gz was not found in" in message
        assert "failed (no connection)" in message
        assert cifar._SOURCE in message and "--config.data_dir=DIR" in message
    assert "which is not a folder" in error(tmp_path / "typo", load)
