"""Files that are whole or absent: a report that is interrupted leaves no half file."""

import os
import tempfile
from pathlib import Path

from sparse_search.errors import UserError


def make_folder(path: Path) -> None:
    """Creates `path` and its parents.

    Raises:
        UserError: it cannot be created.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _not_written(path, error) from None


def write_whole(path: Path, data: bytes) -> None:
    """Replaces `path` by `data` in one step; on failure it is as it was.

    Raises:
        UserError: the folder is not writable or the disk is full.
    """
    temporary = None
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with open(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(handle)
        # mkstemp makes files private; a report is as readable as any other file.
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(temporary, 0o666 & ~mask)
        os.replace(temporary, path)
    except BaseException as error:
        if temporary is not None and os.path.exists(temporary):
            os.unlink(temporary)
        if isinstance(error, OSError):
            raise _not_written(path, error) from None
        raise


def _not_written(path: Path, error: OSError) -> UserError:
    return UserError(
        f"Cannot write {path} ({error.strerror}); make room or permission there, or "
        "choose another folder with --out=DIR."
    )
