"""A workdir: the folder that one command owns.

It is claimed by a lock, holds the resolved config with its fingerprint and the
versions it ran with, and is continued only by a config that gives the same results.
"""

import fcntl
import importlib.metadata
import json
import os
import platform
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sparse_search.config import Config, differences, fingerprint, to_dict
from sparse_search.errors import UserError
from sparse_search.records import read_config
from sparse_search.train import starting_file

_PACKAGES = ("sparse_search", "jax", "jaxlib", "flax", "optax", "numpy", "optuna")


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file whole or not at all."""
    partial = path.with_suffix(f".{os.getpid()}.partial")
    try:
        partial.write_text(json.dumps(value, indent=1) + "\n")
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def claim(
    workdir: Path, config: Config, command: str, start: Path | None = None
) -> Iterator[None]:
    """Own a workdir while the block runs; begin it or continue it.

    Args:
        workdir: the folder.
        config: what it is for.
        command: train or search.
        start: the checkpoint of `config.init_from`, which is kept there.

    Raises:
        UserError: another process owns it, it belongs to another command or a config
            with other results, or it cannot be written.
    """
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        lock = open(workdir / "lock", "a+")
    except (FileExistsError, NotADirectoryError):
        raise UserError(f"{workdir} cannot be a workdir: a file is there.") from None
    except OSError as error:
        raise UserError(
            f"The workdir {workdir} cannot be written: {error.strerror}."
        ) from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UserError(
                f"{workdir} is in use by {owner(workdir) or 'another process'}; wait "
                "for it to end, or use another --workdir."
            ) from None
        lock.seek(0)
        lock.truncate()
        lock.write(f"process {os.getpid()} on {socket.gethostname()}")
        lock.flush()
        _begin_or_continue(workdir, config, command, start)
        yield


def owner(workdir: Path) -> str | None:
    """The process that owns a workdir right now, in words, or None."""
    try:
        with open(workdir / "lock") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError:
                return lock.read()
    except FileNotFoundError:
        pass
    return None


def _begin_or_continue(
    workdir: Path, config: Config, command: str, start: Path | None
) -> None:
    new = to_dict(config)
    if (workdir / "config.json").exists():
        old = read_config(workdir)
        if old.get("command") != command:
            raise UserError(
                f"{workdir} belongs to a {old.get('command')} command; use another "
                "--workdir."
            )
        changed = differences(old["config"], new)
        if changed:
            raise UserError(
                f"{workdir} was begun with another config ({'; '.join(changed)}); use "
                "another --workdir, or the config it was begun with."
            )
    elif (workdir / "trials.jsonl").exists():
        raise UserError(
            f"{workdir} has results but no config.json; use another --workdir."
        )
    (workdir / "checkpoints").mkdir(exist_ok=True)
    # The fingerprint is of what the checkpoint holds, too.
    begun = starting_file.keep(start, workdir) if start else ""
    hashed = fingerprint(new | {"init_from": begun})
    content = {"schema": 1, "command": command, "fingerprint": hashed}
    write_json(workdir / "config.json", {**content, "config": new})


def write_environment(workdir: Path, devices: list[str]) -> None:
    """Record versions, devices and the commit that trials ran with, as env.json."""
    write_json(
        workdir / "env.json",
        {
            "python": platform.python_version(),
            "platform": platform.platform(),
            "host": socket.gethostname(),
            "cores": os.cpu_count(),
            "devices": devices,
            "versions": {package: _version(package) for package in _PACKAGES},
            "commit": _commit(),
        },
    )


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:  # a checkout on the path
        return None


def _commit() -> str | None:
    """The commit of our own checkout; None where the package is installed."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return None
    try:
        git = subprocess.run(
            ["git", "-C", str(root), "describe", "--always", "--dirty"],
            capture_output=True,
            text=True,
        )
    except OSError:  # no git here
        return None
    return git.stdout.strip() or None
