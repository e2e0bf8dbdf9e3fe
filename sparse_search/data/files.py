"""The official files of a data set: looked for, read, checked, or downloaded.

A file of exactly the published size must have the published content; one of another
size is taken for somebody's own data in the same format, and only has to be whole.
"""

import gzip
import hashlib
import os
import tarfile
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from sparse_search.errors import UserError, nearest

_GZIP = b"\x1f\x8b"
_SECONDS = 30  # without an answer, after which a download is given up


class Origin(NamedTuple):
    """A data set that is published as files.

    Attributes:
        name: in the configuration, and of the subfolder with its files.
        title: in messages.
        source: where it is published, for people.
    """

    name: str
    title: str
    source: str


class Remote(NamedTuple):
    """A file that can be downloaded.

    Attributes:
        url: of the file.
        digest: of the file as it is published, as in `md5:…`.
    """

    url: str
    digest: str

    @property
    def file(self) -> str:
        """Its name."""
        return self.url.rpartition("/")[2]


class Known(NamedTuple):
    """What a published file holds, uncompressed: `digest` is an MD5 or a SHA-256."""

    size: int
    digest: str


def broken(path: Path, problem: str, source: str) -> UserError:
    """An error in a sentence: what is wrong with `path`, and where to get it anew."""
    return UserError(f"{path} {problem}; get the file again from {source}.")


def places(origin: Origin, data_dir: str | Path | None) -> list[Path]:
    """The folders that are looked in: its own subfolder, then the folder itself.

    Without a folder, the user's cache, where downloads are kept.
    """
    if data_dir is None or not str(data_dir).strip():
        import pooch

        folder = Path(pooch.os_cache("sparse_search"))
        return [folder / origin.name]
    folder = Path(data_dir).expanduser().absolute()
    return [folder / origin.name, folder]


def find(folders: Sequence[Path], names: Sequence[str]) -> Path | None:
    """The first of some names that is in the first of some folders."""
    for folder in folders:
        for name in names:
            if os.path.exists(folder / name):
                return folder / name
    return None


def require(
    origin: Origin, folders: Sequence[Path], names: Sequence[str], remote: Remote
) -> Path:
    """A file under any of its names, downloaded if there is none.

    Args:
        origin: of what data set.
        folders: as from `places`; a download goes to the first.
        names: that it may have.
        remote: what is downloaded otherwise.

    Raises:
        UserError: it is not there and cannot be downloaded.
    """
    found = find(folders, names)
    if found is not None:
        return found
    last = folders[-1]
    if not os.path.isdir(last) and last.name != origin.name:
        where, failed = f"{last}, which is not a folder", ""
    else:
        failed = _download(remote, folders[0])
        if not failed:
            return folders[0] / remote.file
        failed = f", and downloading {remote.url} failed ({failed})"
        where = str(last)
        if len(folders) > 1:
            where = f"{last} or its subfolder {origin.name}"
    raise UserError(
        f"{origin.title}'s file {names[0]} was not found in {where}{failed}: get it "
        f"from {origin.source} and pass its folder as --config.data_dir=DIR."
    )


def _download(remote: Remote, folder: Path) -> str:
    """Fetch a file; returns why it failed, or ""."""
    import pooch
    import requests

    try:
        pooch.retrieve(
            remote.url,
            known_hash=remote.digest,
            fname=remote.file,
            path=folder,
            downloader=pooch.HTTPDownloader(timeout=_SECONDS),  # pyright: ignore
        )
    except requests.HTTPError as error:
        return f"HTTP status {getattr(error.response, 'status_code', 'unknown')}"
    except requests.Timeout:
        return f"no answer for {_SECONDS} seconds"
    except requests.RequestException:
        return "no connection"
    except ValueError:
        return "what came has another checksum"
    except OSError as error:
        return error.strerror or type(error).__name__
    return ""


def given(data_dir: str | Path | None, file: str, name: str) -> Path:
    """The path of a user's file.

    Raises:
        UserError: none was named, or it is not there.
    """
    if not file:
        raise UserError(
            f'config.data.name="{name}" is read from a file of yours: name it as '
            "--config.data.options.file=FILE (in --config.data_dir, or a whole path)."
        )
    folder = Path(data_dir or ".").expanduser().absolute()
    path = folder / Path(file).expanduser()
    if not path.is_file():
        beside = path.parent.iterdir() if path.parent.is_dir() else ()
        near = nearest(path.name, [one.name for one in beside])
        raise UserError(f"There is no file {path}.{near}")
    return path


def read(path: Path, source: str) -> bytes:
    """What a file holds, unpacked where its name ends in `.gz`.

    Raises:
        UserError: it cannot be read, or is damaged.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from None
    return unpacked(data, path, source)


def unpacked(data: bytes, path: Path, source: str) -> bytes:
    """What is in a gzip file; other files as they are.

    Raises:
        UserError: it is damaged, or its name does not fit.
    """
    if not path.name.endswith(".gz"):
        if data.startswith(_GZIP):
            raise UserError(f"{path} is compressed by gzip: add .gz to its name.")
        return data
    if not data.startswith(_GZIP):
        raise broken(
            path,
            "is not a gzip file (if it is the uncompressed file, take .gz off its "
            "name)",
            source,
        )
    try:
        return gzip.decompress(data)
    except EOFError:
        raise broken(path, "is truncated: its gzip stream has no end", source) from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise broken(path, f"is a damaged gzip file ({error})", source) from None


def from_tar(path: Path, names: Sequence[str], source: str) -> dict[str, bytes]:
    """Some members of a `.tar.gz`; nothing is written to the disk.

    Args:
        path: of the archive.
        names: of files in it, with their folders.
        source: where it is published, for errors.

    Raises:
        UserError: it is damaged, or does not hold all of them.
    """
    found = {}
    try:
        with gzip.open(path) as stream:
            with tarfile.open(fileobj=stream, mode="r|") as archive:
                for member in archive:
                    name = member.name.removeprefix("./")
                    content = archive.extractfile(member) if name in names else None
                    if content is not None:
                        found[name] = content.read()
            while stream.read(2**20):  # to the end, where the checksum of all is
                pass
    except (EOFError, tarfile.TarError, gzip.BadGzipFile, zlib.error) as error:
        reason = str(error) or "it has no end"
        raise broken(path, f"is a damaged archive ({reason})", source) from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from None
    for name in names:
        if name not in found:
            raise broken(path, f"does not hold {name}", source)
    return found


def from_zip(path: Path, name: str, source: str) -> bytes:
    """A member of a `.zip`, whatever folder it is in there.

    Raises:
        UserError: the archive is damaged, or does not hold it.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.namelist():
                if member.rpartition("/")[2] == name:
                    return archive.read(member)
    except (zipfile.BadZipFile, EOFError, zlib.error) as error:
        raise broken(path, f"is a damaged archive ({error})", source) from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from None
    raise broken(path, f"does not hold {name}", source)


def check(
    content: bytes, path: Path, known: Mapping[str, Known], name: str, source: str
) -> None:
    """Raise a `UserError` for a file of the published size that holds something else.

    Args:
        content: of the file, uncompressed.
        path: of the file.
        known: what is known, by name.
        name: of the file, uncompressed.
        source: where it is published, for errors.
    """
    one = known.get(name)
    if one is None or len(content) != one.size:
        return
    kind = hashlib.md5 if len(one.digest) == 32 else hashlib.sha256
    if kind(content, usedforsecurity=False).hexdigest() != one.digest:
        raise broken(
            path,
            "has the size of the official file but not its checksum (if it holds data "
            "of your own, make a data set of them)",
            source,
        )
