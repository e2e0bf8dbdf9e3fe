"""From a table of trained networks to its scaling law: numbers, figure, sentences."""

import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from sparse_search.errors import UserError
from sparse_search.report import files, plots, scaling_plot, tables
from sparse_search.report import workdir as workdirs

FOLDER = "scaling"
"""Where in a workdir its report looks for the fit to its trials."""


def build_scaling(
    source: Path,
    out: Path,
    columns: Mapping[str, str] | None = None,
    only: Mapping[str, Sequence[str]] | None = None,
) -> list[str]:
    """Writes scaling.json, scaling.png, scaling.svg and scaling.pdf, without JAX.

    Args:
        source: a CSV file, or a workdir.
        out: the folder to write to.
        columns: what columns mean, as in `scaling_table.read_table`.
        only: the values of columns whose rows are used.

    Returns:
        The study in a few sentences.

    Raises:
        UserError: the table cannot be read or fitted, or the output not written.
    """
    from sparse_search.analysis import scaling_rows, scaling_table
    from sparse_search.analysis.scaling_study import study
    from sparse_search.analysis.scaling_verdict import verdict

    rows: list[dict[str, Any]]
    if source.is_dir():
        rows = workdirs.read(source).trials
    else:
        rows = scaling_rows.read_rows(source)
    best = scaling_rows.at_best_learning_rates(rows)
    found = study(scaling_table.read_table(best, columns, only))
    sentences = verdict(found) + _pooled(best, only or {})
    pictures = plots.render(partial(scaling_plot.draw_scaling, found))
    files.make_folder(out)
    content = {"file": source.name, "trials": len(rows), **found.content}
    content["verdict"] = sentences
    files.write_whole(out / "scaling.json", tables.regions_json(content))
    for kind, data in plots.files_of(pictures).items():
        files.write_whole(out / f"scaling.{kind}", data)
    return sentences


def fitted(workdir: Path, trials: int) -> tuple[bytes, list[str]] | None:
    """The figure (SVG) and the sentences of a fit to the trials of a workdir.

    Args:
        workdir: `scaling DIR --out=DIR/scaling` has left them in its folder `FOLDER`.
        trials: how many have ended; None comes back for a fit to fewer.
    """
    try:
        content = json.loads((workdir / FOLDER / "scaling.json").read_text())
        svg = (workdir / FOLDER / "scaling.svg").read_bytes()
    except (OSError, ValueError):
        return None
    if content.get("trials") != trials:
        return None
    return svg, [str(sentence) for sentence in content["verdict"]]


def _pooled(
    rows: Sequence[Mapping[str, Any]], only: Mapping[str, Sequence[str]]
) -> list[str]:
    """That several methods were taken as one, where the table names them."""
    named = [str(row["method"]) for row in rows if row.get("method")]
    methods = [m for m in dict.fromkeys(named) if m in only.get("method", named)]
    methods = [method for method in methods if method != "dense"]
    if len(methods) < 2:
        return []
    return [
        f"The methods {', '.join(methods)} were taken as one; "
        f"--only=method={methods[0]},dense uses the rows of one."
    ]


def columns_of(options: Sequence[str]) -> dict[str, str]:
    """What `--columns=nnz=scale,loss=val-loss`, given any number of times, says."""
    pairs = [pair for option in options for pair in option.split(",")]
    return dict(_pair(pair, "--columns=nnz=THEIRS,loss=THEIRS") for pair in pairs)


def only_of(options: Sequence[str]) -> dict[str, list[str]]:
    """What `--only=method=rigl,dense`, given any number of times, says."""
    pairs = [_pair(option, "--only=COLUMN=VALUE,VALUE") for option in options]
    return {column: values.split(",") for column, values in pairs}


def _pair(text: str, form: str) -> tuple[str, str]:
    name, equals, value = (part.strip() for part in text.partition("="))
    if not (name and equals and value):
        raise UserError(f"{text!r} is no NAME=VALUE; write {form}.")
    return name, value
