"""A trained network as files that other programs read.

    sparse-search export DIR[:TRIAL] --format=FORMAT --out=DIR|FILE

Nothing here needs JAX.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from sparse_search import notebook
from sparse_search.errors import UserError, one_of
from sparse_search.export import scipy_npz, statistics, tensors
from sparse_search.results import Result


class Trained(NamedTuple):
    """What is exported.

    Attributes:
        trial: its name.
        result: its parameters and masks.
        uses: multiply-adds of every weight for one example, by layer; without the
            layers of which the journal does not say it.
    """

    trial: str
    result: Result
    uses: dict[str, int]


_WRITERS: dict[str, Callable[[Trained, Path], None]] = {
    "npz": lambda trained, path: scipy_npz.save(trained.result, path),
    "safetensors": lambda trained, path: tensors.save(
        trained.result, path, trained.trial
    ),
    "safetensors-2:4": lambda trained, path: tensors.save_two_four(
        trained.result, path, trained.trial
    ),
    "statistics": lambda trained, path: statistics.save(
        statistics.of_result(trained.result, trained.uses), path
    ),
}
FORMATS = tuple(_WRITERS)


def export(source: str, form: str, out: Path) -> str:
    """Write one trial's network; returns its name.

    Args:
        source: a workdir, or `DIR:TRIAL` where it has several trials.
        form: one of `FORMATS`.
        out: a folder for npz, else a file; it must not exist.

    Raises:
        UserError: there is no such trial or format, `out` is there already or cannot
            be written, or the network cannot have that format.
    """
    if form not in FORMATS:
        raise one_of("--format", form, FORMATS)
    trained = _read(source)
    with _whole(out) as path:
        _WRITERS[form](trained, path)
    return trained.trial


def _read(source: str) -> Trained:
    workdir, trial = _split(source)
    run = notebook.load(workdir)
    names = list(run.trials["trial"]) if len(run.trials) else []
    if not trial:
        if len(names) != 1:
            raise UserError(
                f"{workdir} has {len(names):,} finished trials; name one, as in "
                f"{workdir}:{names[0] if names else 'TRIAL'}; results/ in it has a "
                "file for each."
            )
        trial = names[0]
    result = run.result(trial)
    row = run.trials[run.trials["trial"] == trial].iloc[0]
    layers = row.get("layers")
    known = layers if isinstance(layers, list) else []
    uses = {layer["name"]: int(layer["uses"]) for layer in known}
    return Trained(trial, result, uses)


def _split(source: str) -> tuple[Path, str]:
    """The workdir and the trial; both may have colons in their names."""
    parts = source.split(":")
    for end in range(len(parts), 0, -1):
        folder = Path(":".join(parts[:end]))
        if folder.is_dir():
            return folder, ":".join(parts[end:])
    return Path(parts[0]), ":".join(parts[1:])


@contextmanager
def _whole(out: Path) -> Iterator[Path]:
    """A path to write to that becomes `out` in the end, or vanishes."""
    if out.exists():
        raise UserError(f"{out} exists already; remove it, or choose another --out.")
    partial = out.with_name(f".{out.name}.{os.getpid()}.partial")
    # The kind of a statistics file is told by its suffix.
    partial = partial.with_name(partial.name + out.suffix)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        os.rename(partial, out)
    except OSError as error:
        raise UserError(
            f"Cannot write {out} ({error.strerror}); make room or permission there, "
            "or choose another --out."
        ) from None
    finally:
        if partial.is_dir():
            shutil.rmtree(partial)
        else:
            partial.unlink(missing_ok=True)
