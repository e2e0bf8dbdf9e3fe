"""Checkpoints of a group of lanes: orbax behind one module.

A checkpoint holds the state of all lanes, their trials, the number of rounds done and
the seconds they took. The records of those rounds are in the journal before it is
saved.
"""

import errno
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import orbax.checkpoint as ocp

from sparse_search.errors import UserError

# What orbax writes besides the arrays.
_OVERHEAD = 2**18


class Saved(NamedTuple):
    """What a checkpoint holds besides the state.

    Attributes:
        rounds: how many rounds are done.
        seconds: how long they took.
        names: the trial of every lane.
        flops: what every trial took so far; empty where it is not added up.
    """

    rounds: int
    seconds: float
    names: list[str]
    flops: Sequence[int] = ()


class Checkpoints:
    """The checkpoints in one folder; the newest two are kept."""

    def __init__(self, folder: Path):
        """Opens the folder; it is created at the first save."""
        self._folder = folder
        self._manager: ocp.CheckpointManager | None = None

    def _open(self) -> ocp.CheckpointManager:
        if self._manager is None:
            options = ocp.CheckpointManagerOptions(max_to_keep=2)
            self._manager = ocp.CheckpointManager(
                self._folder.resolve(), options=options
            )
        return self._manager

    def restore(self, like: Any, names: list[str]) -> tuple[Any, Saved] | None:
        """The newest checkpoint that can be read, or None.

        Args:
            like: shapes and types of the state.
            names: the trials it must be of.

        Raises:
            UserError: there is one, but it cannot be read or is of other trials.
        """
        if not self._folder.is_dir():
            return None
        args = ocp.args.Composite(
            state=ocp.args.StandardRestore(like), saved=ocp.args.JsonRestore()
        )
        while (newest := self._open().latest_step()) is not None:
            try:
                found = self._open().restore(newest, args=args)
                break
            except Exception as error:
                # A machine that went down may leave a torn one, and the one before.
                if len(self._open().all_steps()) == 1:
                    first = (str(error).strip() or type(error).__name__).splitlines()[0]
                    raise UserError(
                        f"The checkpoint in {self._folder} cannot be read "
                        f"({first[:200]}). Delete that folder to start those trials "
                        "again."
                    ) from error
                self.close()
                shutil.rmtree(self._folder / str(newest))
        else:
            return None
        saved = Saved(**found["saved"])
        if saved.names != names:
            raise UserError(
                f"The checkpoint in {self._folder} is of other trials than the plan's. "
                "Delete that folder to start those trials again."
            )
        return found["state"], saved

    def save(self, state: Any, saved: Saved) -> None:
        """Save in the background; errors of an earlier save surface here.

        Raises:
            OSError: the disk is full. Seen beforehand, since orbax prints a page of
                tracebacks from each of its threads.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        need = sum(leaf.nbytes for leaf in jax.tree.leaves(state)) + _OVERHEAD
        if shutil.disk_usage(self._folder).free < need:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._folder))
        args = ocp.args.Composite(
            state=ocp.args.StandardSave(state), saved=ocp.args.JsonSave(saved._asdict())
        )
        self._open().save(saved.rounds, args=args)

    def close(self) -> None:
        """Wait until all is on the disk."""
        if self._manager is not None:
            self._manager.close()
            self._manager = None
