"""From the journals of a workdir to tables, figures and a page."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from sparse_search.errors import UserError
from sparse_search.report import (
    content,
    decomposition_plot,
    dense_plot,
    files,
    plots,
    protocols,
    region_plot,
    tables,
)
from sparse_search.report import workdir as workdirs
from sparse_search.report.series import compared, lines_of


class Summary(NamedTuple):
    """What a report says, for the command line.

    Attributes:
        verdict: the few sentences that matter.
        page: the page, `index.html`.
        counts: the number of trials with each status.
    """

    verdict: list[str]
    page: Path
    counts: dict[str, int]


def build_report(workdir: Path, out: Path | None = None) -> Summary:
    """Writes tables, figures and the page of one workdir, without JAX.

    Args:
        workdir: the folder of a search or a single run.
        out: where to write; `workdir/report` by default.

    Raises:
        UserError: `workdir` is no workdir or has no finished trial, or the output
            cannot be written.
    """
    from sparse_search.analysis.regions import region_map
    from sparse_search.analysis.verdict import verdict

    run = workdirs.read(workdir)
    out = workdir / "report" if out is None else out
    files.make_folder(out)
    lines = lines_of(run.trials)
    regions = tables.strict(region_map(run.trials, "accuracy", run.task))
    files.write_whole(out / "curves.csv", tables.curves_csv(run.trials))
    files.write_whole(out / "regions.json", tables.regions_json(regions))
    draw: dict[str, Callable] = {
        "curves": partial(plots.draw_curves, lines, run.task),
        "regions": partial(region_plot.draw_regions, regions),
    }
    if protocols.has_protocols(lines):
        draw["protocols"] = partial(protocols.draw_protocols, lines, run.task)
    if decomposition_plot.has_decomposition(regions):
        draw["decomposition"] = partial(decomposition_plot.draw_decomposition, regions)
    if dense_plot.has_dense(regions):
        draw["small_dense"] = partial(dense_plot.draw_small_dense, regions)
    pictures = {name: plots.render(function) for name, function in draw.items()}
    for name, kinds in pictures.items():
        for kind, data in kinds.items():
            files.write_whole(out / f"{name}.{kind}", data)
    single = run.command == "train"
    sentences = content.run_verdict(run) if single else verdict(regions)
    heirs = sum(bool(row.get("parent")) for row in run.trials)
    if heirs and not single:
        sentences = [
            *sentences,
            f"{heirs:,} trials began with the weights of a parent and so were trained "
            "for longer: they are in the tables, not in the curves and the map.",
        ]
    if run.left:
        sentences = [f"So far: {run.so_far} have ended.", *sentences]
    page = content.report_page(run, lines, regions, sentences, pictures)
    files.write_whole(out / "index.html", page)
    return Summary(sentences, out / "index.html", run.counts)


def compare(paths: Sequence[Path], out: Path) -> Summary:
    """Writes the curves of several workdirs in one table, one plot and one page.

    Args:
        paths: workdirs of the same task.
        out: the folder to write `curves.csv`, `curves.png`, `curves.svg` and
            `index.html` to.

    Raises:
        UserError: a workdir cannot be read, they are of different tasks, or the
            output cannot be written.
    """
    places = [path.resolve() for path in paths]
    for number, path in enumerate(paths):
        if places[number] in places[:number]:
            raise UserError(f"{path} is given twice; give each workdir once.")
    runs = [workdirs.read(path) for path in paths]
    if not runs:
        raise UserError(
            "There is nothing to compare; give workdirs: `sparse-search compare DIR "
            "DIR --out=DIR`."
        )
    tasks = {run.task: run.path for run in runs}
    if len(tasks) > 1:
        named = ", ".join(f"{task} ({path})" for task, path in sorted(tasks.items()))
        raise UserError(
            f"These workdirs are of different tasks, whose accuracies cannot be "
            f"compared: {named}; compare the workdirs of one task at a time."
        )
    task = runs[0].task
    names = content.distinct_names(runs)
    rows = [
        {"workdir": name, **row}
        for name, run in zip(names, runs, strict=True)
        for row in run.trials
    ]
    lines = compared({name: run.trials for name, run in zip(names, runs, strict=True)})
    pictures = plots.render(partial(plots.draw_curves, lines, task))
    files.make_folder(out)
    files.write_whole(out / "curves.csv", tables.curves_csv(rows, first=("workdir",)))
    for kind, data in pictures.items():
        files.write_whole(out / f"curves.{kind}", data)
    counts = {
        status: sum(run.counts[status] for run in runs) for status in runs[0].counts
    }
    sentences = content.compare_verdict(names, runs)
    page = content.compare_page(runs, rows, lines, sentences, counts, out)
    files.write_whole(out / "index.html", page)
    return Summary(sentences, out / "index.html", counts)
