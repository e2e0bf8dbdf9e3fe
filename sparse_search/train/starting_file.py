"""Where `config.init_from` finds a checkpoint, and its copy in a workdir."""

import hashlib
import os
import shutil
from pathlib import Path

from sparse_search import results
from sparse_search.errors import UserError, nearest
from sparse_search.results import Result

FILE = "init.npz"
"""Its copy in a workdir, which is what trials there begin with."""


def locate(source: str) -> Path:
    """The file of a checkpoint.

    Args:
        source: the workdir of a training, or WORKDIR:TRIAL.

    Raises:
        UserError: there is none, or several.
    """
    parts = source.split(":")
    # Names of trials may have colons themselves, as in 2:4.
    ways = [
        (":".join(parts[:n]), ":".join(parts[n:])) for n in range(len(parts), 0, -1)
    ]
    folder, trial = next(((f, t) for f, t in ways if Path(f).is_dir()), (source, ""))
    there = sorted(path.stem for path in (Path(folder) / "results").glob("*.npz"))
    if not there:
        raise UserError(
            f"config.init_from={source!r}: {folder} is no workdir with results; it is "
            "the workdir of a finished training, or WORKDIR:TRIAL of a search."
        )
    if not trial and len(there) > 1:
        raise UserError(
            f"config.init_from={source!r}: {folder} has {len(there)} trials; say which "
            f"one, as in {folder}:{there[0]}."
        )
    if trial and trial not in there:
        raise UserError(
            f"config.init_from={source!r}: {folder} has no result of a trial {trial!r} "
            f"among its {len(there)}.{nearest(trial, there)}"
        )
    return results.file(Path(folder), trial or there[0])


def digest(path: Path) -> str:
    """What a checkpoint holds, as a hash."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def keep(path: Path, workdir: Path) -> str:
    """Copy a checkpoint into a workdir, where it is not yet; returns its digest.

    Raises:
        UserError: the workdir was begun with another one.
    """
    copy = workdir / FILE
    if not copy.exists():
        partial = copy.with_suffix(f".{os.getpid()}.partial")
        try:
            shutil.copyfile(path, partial)
            os.replace(partial, copy)
        finally:
            partial.unlink(missing_ok=True)
    found = digest(copy)
    if path.exists() and digest(path) != found:
        raise UserError(
            f"{workdir} was begun with other weights than {path} has by now "
            "(config.init_from); use another --workdir."
        )
    return found


def kept(workdir: Path) -> Result:
    """The checkpoint of a workdir."""
    return results.load(workdir / FILE)
