import gzip
import struct
import zlib

import numpy as np
import pytest
from data_files import idx

from sparse_search.data import fashion_mnist, mnist
from sparse_search.data.files import Known
from sparse_search.errors import UserError

IMAGES, LABELS = "train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"
TEST_IMAGES, TEST_LABELS = "t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"
LOADERS = {"mnist": mnist.load, "fashion_mnist": fashion_mnist.load}
SOURCES = {
    "mnist": "https://yann.lecun.com/exdb/mnist/",
    "fashion_mnist": "https://github.com/zalandoresearch/fashion-mnist",
}


def some_images(count, seed=0, side=28):
    return np.random.default_rng(seed).integers(0, 256, (count, side, side), np.uint8)


def write(path, content):
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def write_all(folder, suffix=".gz"):
    folder.mkdir(parents=True, exist_ok=True)
    for part, count in (("train", 40), ("t10k", 20)):
        images = some_images(count, seed=count)
        write(folder / f"{part}-images-idx3-ubyte{suffix}", idx(images))
        write(folder / f"{part}-labels-idx1-ubyte{suffix}", idx(np.arange(count) % 10))


@pytest.fixture
def folder(tmp_path):
    write_all(tmp_path)
    return tmp_path


def error(folder, name="mnist"):
    """The message of a failing load, checked to be one sentence."""
    with pytest.raises(UserError) as caught:
        LOADERS[name](folder)
    message = str(caught.value)
    assert message.endswith(".") and ". " not in message and "\n" not in message
    return message


def assert_broken(folder, file, problem):
    message = error(folder)
    assert f"{folder / file} " in message
    assert problem in message
    assert SOURCES["mnist"] in message


@pytest.mark.parametrize("name", LOADERS)
@pytest.mark.parametrize("suffix", [".gz", ""])
@pytest.mark.parametrize("subfolder", [True, False])
def test_load(tmp_path, name, suffix, subfolder):
    write_all(tmp_path / name if subfolder else tmp_path, suffix)
    data = LOADERS[name](str(tmp_path))
    assert data.name == name and data.classes == 10
    assert (data.train_inputs == some_images(40, seed=40)).all()
    assert (data.test_inputs == some_images(20, seed=20)).all()
    assert (data.train_labels == np.arange(40) % 10).all()
    assert (data.test_labels == np.arange(20) % 10).all()
    assert data.train_inputs.dtype == data.train_labels.dtype == np.uint8
    assert data.scale == pytest.approx(
        np.sqrt(np.mean(data.train_inputs.astype(float) ** 2))
    )


def test_the_own_subfolder_comes_before_the_folder(folder):
    write_all(folder / "fashion_mnist")
    labels = folder / "fashion_mnist" / LABELS
    write(labels, idx(np.full(40, 7)))
    assert (fashion_mnist.load(folder).train_labels == 7).all()
    assert (mnist.load(folder).train_labels == np.arange(40) % 10).all()


@pytest.mark.parametrize("name", LOADERS)
@pytest.mark.parametrize("data_dir", [None, "", " "])
def test_no_folder_given(data_dir, name):
    message = error(data_dir, name)
    for part in (IMAGES, SOURCES[name], "--config.data_dir=DIR"):
        assert part in message


@pytest.mark.parametrize("name", LOADERS)
def test_missing_files(tmp_path, name, monkeypatch):
    monkeypatch.chdir(tmp_path)
    message = error("nowhere", name)
    assert f"{tmp_path / 'nowhere'}, which is not a folder" in message
    write_all(tmp_path / "there")
    (tmp_path / "there" / TEST_LABELS).unlink()
    message = error("there", name)
    assert TEST_LABELS in message and str(tmp_path / "there") in message
    assert SOURCES[name] in message and "--config.data_dir=DIR" in message
    (tmp_path / "there").rename(tmp_path / name)
    message = error(tmp_path, name)
    assert f"in {tmp_path / name}, and downloading http" in message
    assert "failed (no connection): get it from" in message


@pytest.mark.parametrize("keep", [0, 3, 10, 200, -9, -1])
def test_truncated_gzip(folder, keep):
    whole = (folder / IMAGES).read_bytes()
    (folder / IMAGES).write_bytes(whole[:keep])
    assert_broken(folder, IMAGES, "is truncated" if keep else "is not a gzip file")


@pytest.mark.parametrize("keep", [0, 3, 4, 15, 16, 1000, -1])
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_truncated_content(folder, keep, suffix):
    (folder / IMAGES).unlink()
    file = IMAGES.removesuffix(".gz") + suffix
    write(folder / file, idx(some_images(40))[:keep])
    assert_broken(folder, file, "is truncated: it has")


def test_too_long(folder):
    write(folder / LABELS, idx(np.arange(40) % 10) + b"\0")
    assert_broken(folder, LABELS, "is too long: it has 49 bytes, but 48")


def test_damaged_gzip(folder):
    data = bytearray((folder / IMAGES).read_bytes())
    data[-6] ^= 1  # the checksum
    (folder / IMAGES).write_bytes(data)
    assert_broken(folder, IMAGES, "is a damaged gzip file")
    data[10:40] = b"\xff" * 30  # the stream
    (folder / IMAGES).write_bytes(data)
    assert_broken(folder, IMAGES, "is a damaged gzip file")


def test_not_gzip(folder):
    (folder / LABELS).write_bytes(b"<!DOCTYPE html><title>404</title>")
    assert_broken(folder, LABELS, "is not a gzip file")


def test_gzip_without_its_suffix(folder):
    (folder / IMAGES).rename(folder / IMAGES.removesuffix(".gz"))
    assert "add .gz to its name" in error(folder)


def test_a_folder_in_place_of_a_file(folder):
    (folder / LABELS).unlink()
    (folder / LABELS).mkdir()
    assert f"{folder / LABELS} cannot be read" in error(folder)


def test_swapped_files(folder):
    images, labels = folder / IMAGES, folder / LABELS
    images.rename(folder / "x")
    labels.rename(images)
    (folder / "x").rename(labels)
    assert_broken(
        folder,
        IMAGES,
        "should hold images (magic number 2051) but holds labels (magic number 2049)",
    )


def test_wrong_magic_number(folder):
    # 4-byte integers: the right number of dimensions, the wrong type.
    write(folder / LABELS, struct.pack(">BBBBI", 0, 0, 0xC, 1, 40) + bytes(160))
    assert_broken(folder, LABELS, "is not such a file (magic number 3073)")


def test_wrong_image_size(folder):
    write(folder / TEST_IMAGES, idx(some_images(20, side=32)))
    assert_broken(folder, TEST_IMAGES, "32×32 pixels, not 28×28")


def test_a_header_of_billions(folder):
    header = struct.pack(">BBBB3I", 0, 0, 8, 3, 2**32 - 1, 2**32 - 1, 2**32 - 1)
    write(folder / IMAGES, header + bytes(99))
    assert_broken(folder, IMAGES, "is truncated: it has 115 bytes")


def test_no_images(folder):
    write(folder / TEST_IMAGES, idx(some_images(0)))
    assert_broken(folder, TEST_IMAGES, "is empty: its dimensions are 0 × 28 × 28")


def test_blank_images(folder):
    write(folder / IMAGES, idx(np.zeros((40, 28, 28))))
    assert_broken(folder, IMAGES, "the same value in all its pixels")


def test_counts_that_differ(folder):
    (folder / TEST_LABELS).rename(folder / LABELS)
    write(folder / TEST_LABELS, idx(np.arange(20) % 10))
    assert_broken(folder, IMAGES, f"has 40 images, but {folder / LABELS} has 20 labels")


def test_label_out_of_range(folder):
    write(folder / LABELS, idx(np.arange(40) % 11))
    assert_broken(folder, LABELS, "has the label 10, but labels go from 0 to 9")


def test_the_other_data_set(folder, monkeypatch):
    checksum = zlib.crc32(np.arange(20, dtype=np.uint8) % 10)
    other = mnist.FASHION_MNIST._replace(labels=(0, checksum))
    monkeypatch.setattr(mnist, "FASHION_MNIST", other)
    assert_broken(folder, TEST_LABELS, "is of Fashion-MNIST, not MNIST")
    assert fashion_mnist.load(folder).name == "fashion_mnist"


def test_the_published_size_with_another_content(folder, monkeypatch):
    name = LABELS.removesuffix(".gz")
    own = {name: Known(len(idx(np.arange(40))), "0" * 64)}
    monkeypatch.setattr(mnist, "MNIST", mnist.MNIST._replace(known=own))
    assert_broken(folder, LABELS, "has the size of the official file but not its")
