"""From a table of trained networks to its scaling law: numbers, figure, sentences."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from sparse_search.report import files, plots, scaling_plot, tables
from sparse_search.report import workdir as workdirs


def build_scaling(
    source: Path,
    out: Path,
    columns: Mapping[str, str] | None = None,
    only: Mapping[str, Sequence[str]] | None = None,
) -> list[str]:
    """Writes scaling.json, scaling.png and scaling.svg, without JAX.

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
    from sparse_search.analysis import scaling_table
    from sparse_search.analysis.scaling_study import study
    from sparse_search.analysis.scaling_verdict import verdict

    rows: list[dict[str, Any]]
    if source.is_dir():
        rows = workdirs.read(source).trials
    else:
        rows = scaling_table.read_csv(source)
    rows = scaling_table.at_best_learning_rates(rows)
    found = study(scaling_table.read_table(rows, columns, only))
    sentences = verdict(found)
    pictures = plots.render(partial(scaling_plot.draw_scaling, found))
    files.make_folder(out)
    content = {"file": source.name, **found.content, "verdict": sentences}
    files.write_whole(out / "scaling.json", tables.regions_json(content))
    for kind, data in pictures.items():
        files.write_whole(out / f"scaling.{kind}", data)
    return sentences
