"""Text as a sequence of characters: what is learned is the next one.

An example is a window of `context` characters, and its labels are the characters that
follow each of them. Windows do not overlap: inputs and labels are two views of the
text, a byte a character each. A character is a byte; the classes are the bytes that
the text has, in their order. Losses are in nats a character; divided by ln 2 they are
bits.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from sparse_search.data import files
from sparse_search.data.dataset import Dataset
from sparse_search.data.files import Known, Origin, Remote
from sparse_search.errors import UserError

_CONTEXT = 128


class Published(NamedTuple):
    """A text that is published.

    Attributes:
        origin: its names, and where it is published.
        names: that its file may have.
        remote: where it can be downloaded, maybe as a `.zip`.
        known: what the file holds.
        parts: of training, validation and test, in this order in the text, as shares
            of a hundred; without validation, windows of the training part are held
            out at random.
    """

    origin: Origin
    names: tuple[str, ...]
    remote: Remote
    known: Known
    parts: tuple[int, int, int]


TINY_SHAKESPEARE = Published(
    Origin(
        "tiny_shakespeare",
        "tiny Shakespeare",
        "https://github.com/karpathy/char-rnn/tree/master/data/tinyshakespeare",
    ),
    ("input.txt", "tiny_shakespeare.txt", "tinyshakespeare/input.txt"),
    Remote(
        "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/"
        "tinyshakespeare/input.txt",
        "md5:6fb458f1232090904fb40fe944165e91",
    ),
    Known(1115394, "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"),
    (90, 0, 10),
)
_MAHONEY = "https://mattmahoney.net/dc/textdata.html"
ENWIK8 = Published(
    Origin("enwik8", "enwik8", _MAHONEY),
    ("enwik8", "enwik8.zip"),
    Remote(
        "https://mattmahoney.net/dc/enwik8.zip",
        "sha256:547994d9980ebed1288380d652999f38a14fe291a6247c157c3d33d4932534bc",
    ),
    Known(100_000_000, "a1fa5ffddb56f4953e226637dabbb36a"),
    (90, 5, 5),
)
TEXT8 = Published(
    Origin("text8", "text8", _MAHONEY),
    ("text8", "text8.zip"),
    Remote(
        "https://mattmahoney.net/dc/text8.zip",
        "sha256:a6640522afe85d1963ad56c05b0ede0a0c000dddc9671758a6cc09b7a38e5232",
    ),
    Known(100_000_000, "3bea1919949baf155f99411df5fada7e"),
    (90, 5, 5),
)


def load_tiny_shakespeare(
    data_dir: str | Path | None, *, context: int = _CONTEXT
) -> Dataset:
    """Loads tiny Shakespeare: 90 % of 1,115,394 characters to train, 10 % to test.

    Karpathy 2015, "The unreasonable effectiveness of recurrent neural networks".

    Args:
        data_dir: the folder with `input.txt`, in itself or in its subfolder
            `tiny_shakespeare`; without one, the user's cache.
        context: characters of an example.

    Raises:
        UserError: the file is missing and cannot be downloaded, or is another one.
    """
    return _load(TINY_SHAKESPEARE, data_dir, context)


def load_enwik8(data_dir: str | Path | None, *, context: int = _CONTEXT) -> Dataset:
    """Loads enwik8 (Mahoney 2006): 100 million bytes of Wikipedia, 205 different.

    Its usual parts: 90 million for training, 5 million for validation, 5 for test.
    Arguments and errors as for `load_tiny_shakespeare`; the file is `enwik8` or
    `enwik8.zip`.
    """
    return _load(ENWIK8, data_dir, context)


def load_text8(data_dir: str | Path | None, *, context: int = _CONTEXT) -> Dataset:
    """Loads text8 (Mahoney 2006): Wikipedia as 26 letters and the space.

    Parts, arguments and errors as for `load_enwik8`; the file is `text8` or
    `text8.zip`.
    """
    return _load(TEXT8, data_dir, context)


def load_file(
    data_dir: str | Path | None, *, file: str = "", context: int = _CONTEXT
) -> Dataset:
    """Loads a text of one's own: the first 90 % train, the last 10 % test.

    Args:
        data_dir: the folder with the file; not needed where `file` is a whole path.
        file: its name; unpacked if it ends in `.gz`.
        context: characters of an example.

    Raises:
        UserError: there is no such file, or it is too short.
    """
    path = files.given(data_dir, file, "text")
    content = files.read(path, "where it came from")
    return cut(path.name.partition(".")[0], content, path, context, (90, 0, 10))


def _load(published: Published, data_dir: str | Path | None, context: int) -> Dataset:
    origin, names = published.origin, published.names
    folders = files.places(origin, data_dir)
    path = files.require(origin, folders, names, published.remote)
    if path.suffix == ".zip":
        content = files.from_zip(path, origin.name, origin.source)
    else:
        content = files.read(path, origin.source)
    known = published.known
    if len(content) != known.size:
        problem = "is truncated" if len(content) < known.size else "is too long"
        raise files.broken(
            path,
            f"{problem}: it has {len(content):,} bytes, and {origin.title} has "
            f"{known.size:,} (another text is read with config.data.name=text)",
            origin.source,
        )
    files.check(content, path, {origin.name: known}, origin.name, origin.source)
    return cut(origin.name, content, path, context, published.parts)


def cut(
    name: str, content: bytes, path: Path, context: int, parts: tuple[int, int, int]
) -> Dataset:
    """A data set of a text.

    Args:
        name: of the data set.
        content: the text.
        path: of its file, for errors.
        context: characters of an example.
        parts: see `Published`.

    Raises:
        UserError: the context is no number of characters, or longer than a part.
    """
    if not isinstance(context, int) or context < 1:
        raise UserError(
            f"config.data.options.context is {context!r}; it must be at least 1."
        )
    text = np.frombuffer(content, np.uint8)
    there = np.flatnonzero(np.bincount(text, minlength=256))
    if len(there) < 2:
        raise UserError(f"{path} has fewer than two different characters.")
    number = np.zeros(256, np.uint8)
    number[there] = np.arange(len(there))
    tokens = number[text]
    ends = [len(text) * sum(parts[: i + 1]) // 100 for i in range(3)]
    shortest = min(
        b - a for a, b in zip([0, *ends], ends, strict=False) if b > a or b == ends[2]
    )
    if shortest <= context:
        raise UserError(
            f"{path} has {len(text):,} characters, and its smallest part "
            f"{shortest:,}: too few for config.data.options.context={context}."
        )
    train, validation, test = (
        _windows(tokens[a:b], context) for a, b in zip([0, *ends], ends, strict=False)
    )
    inputs, labels = train
    if len(validation[0]):
        inputs = np.concatenate([inputs, validation[0]])
        labels = np.concatenate([labels, validation[1]])
    return Dataset(
        name=name,
        train_inputs=inputs,
        train_labels=labels,
        test_inputs=test[0],
        test_labels=test[1],
        classes=len(there),
        scale=None,
        validation=len(validation[0]),
    )


def _windows(tokens: np.ndarray, context: int) -> tuple[np.ndarray, np.ndarray]:
    """Windows side by side, and what follows each of their places: views."""
    count = max(len(tokens) - 1, 0) // context
    whole = count * context
    return (
        tokens[:whole].reshape(count, context),
        tokens[1 : whole + 1].reshape(count, context)
        if count
        else tokens[:0].reshape(0, context),
    )
