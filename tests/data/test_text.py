import hashlib
import zipfile

import data_files
import numpy as np
import pytest

from sparse_search.data import text
from sparse_search.data.files import Known
from sparse_search.errors import UserError
from sparse_search.testing import datasets


def error(load, *arguments, **options):
    with pytest.raises(UserError) as caught:
        load(*arguments, **options)
    message = str(caught.value)
    assert message.endswith((".", "?")) and "\n" not in message
    return message


def test_windows_and_what_follows(tmp_path):
    content = b"abcab" * 10  # 45 characters to train, the last 5 to test
    (tmp_path / "mine.txt").write_bytes(content)
    data = text.load_file(tmp_path, file="mine.txt", context=4)
    assert data.name == "mine" and data.classes == 3 and data.scale is None
    assert data.train_inputs.shape == data.train_labels.shape == (11, 4)
    tokens = np.frombuffer(content, np.uint8) - ord("a")
    assert (data.train_inputs.ravel() == tokens[:44]).all()
    assert (data.train_labels.ravel() == tokens[1:45]).all()
    assert (data.test_inputs == [tokens[45:49]]).all()
    assert (data.test_labels == [tokens[46:50]]).all()
    assert data.train_inputs.dtype == data.train_labels.dtype == np.uint8
    assert data.train_inputs.base is not None, "windows are views of the text"


def published(monkeypatch, name, content):
    """Let a short text be the published one."""
    known = Known(len(content), hashlib.md5(content).hexdigest())
    own = getattr(text, name)._replace(known=known)
    monkeypatch.setattr(text, name, own)


def test_the_official_parts(tmp_path, monkeypatch):
    content = bytes(np.random.default_rng(0).integers(97, 101, 2000, np.uint8))
    published(monkeypatch, "ENWIK8", content)
    with zipfile.ZipFile(tmp_path / "enwik8.zip", "w") as archive:
        archive.writestr("enwik8", content)
    data = datasets.check(text.load_enwik8, tmp_path, context=9)
    # 1,800, 100 and 100 characters; no window crosses from one to the next.
    assert data.validation == 11
    assert len(data.train_labels) == 199 + 11 and len(data.test_labels) == 11
    tokens = np.frombuffer(content, np.uint8) - 97
    assert (data.train_inputs[199] == tokens[1800:1809]).all()
    assert (data.train_labels[-1] == tokens[1891:1900]).all()
    assert (data.test_inputs[0] == tokens[1900:1909]).all()


def test_the_contract(tmp_path, monkeypatch):
    path = data_files.text(tmp_path / "input.txt", 610)
    data = datasets.check(text.load_file, tmp_path, file="input.txt", context=9)
    assert len(data.train_labels) == 60
    published(monkeypatch, "TINY_SHAKESPEARE", path.read_bytes())
    same = text.load_tiny_shakespeare(tmp_path, context=9)
    assert same.name == "tiny_shakespeare" and same.validation == 0
    assert (same.train_inputs == data.train_inputs).all()


def test_another_text_than_the_published_one(tmp_path):
    for name, load in (
        ("text8", text.load_text8),
        ("enwik8", text.load_enwik8),
        ("input.txt", text.load_tiny_shakespeare),
    ):
        path = data_files.text(tmp_path / name)
        message = error(load, tmp_path)
        assert f"{path} is truncated: it has 3,000 bytes" in message


def test_the_published_size_with_another_content(tmp_path, monkeypatch):
    path = data_files.text(tmp_path / "text8")
    published(monkeypatch, "TEXT8", path.read_bytes()[::-1])
    assert f"{path} has the size of the official file" in error(
        text.load_text8, tmp_path
    )


def test_what_is_no_text(tmp_path):
    path = data_files.text(tmp_path / "short.txt", 90)
    message = error(text.load_file, tmp_path, file="short.txt", context=9)
    assert "its smallest part 9: too few" in message
    message = error(text.load_file, tmp_path, file="short.txt", context=0)
    assert "it must be at least 1" in message
    path.write_bytes(b"a" * 1000)
    message = error(text.load_file, tmp_path, file="short.txt")
    assert "fewer than two different characters" in message
    message = error(text.load_file, tmp_path, file="shrot.txt")
    assert "Did you mean 'short.txt'?" in message
    assert "--config.data.options.file=FILE" in error(text.load_file, tmp_path)


@pytest.mark.parametrize("load", [text.load_tiny_shakespeare, text.load_enwik8])
def test_where_there_is_no_internet(tmp_path, load):
    message = error(load, tmp_path)
    assert "was not found in" in message and "(no connection)" in message
    assert "--config.data_dir=DIR" in message
