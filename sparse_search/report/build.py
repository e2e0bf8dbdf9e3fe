"""From the journals of a workdir to tables, figures and a page."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from sparse_search.errors import UserError, one_of
from sparse_search.report import (
    content,
    decomposition_plot,
    dense_plot,
    files,
    foreign,
    hardware,
    method_text,
    pareto_plot,
    plane,
    plane_plot,
    plots,
    protocols,
    region_plot,
    structures,
    structures_plot,
    tables,
)
from sparse_search.report import workdir as workdirs
from sparse_search.report.scales import scale_of
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


def build_report(
    workdir: Path,
    out: Path | None = None,
    metric: str = "accuracy",
    machines: Sequence[str] = (),
    activations: float = 1.0,
) -> Summary:
    """Writes tables, figures and the page of one workdir, without JAX.

    Args:
        workdir: the folder of a search or a single run.
        out: where to write; `workdir/report` by default.
        metric: "accuracy" or "loss".
        machines: names of `costs.hardware` that time and energy are modelled on.
        activations: for these, the part of inputs that are not zero; see `hardware`.

    Raises:
        UserError: `workdir` is no workdir or has no finished trial, there is no such
            machine, or the output cannot be written.
    """
    run = workdirs.read(workdir)
    if metric not in _OWN_METRICS:
        raise one_of("--metric of a workdir", metric, _OWN_METRICS)
    options = [f"--hardware={name}" for name in machines]
    options += [f"--activations={activations}"] if activations != 1 else []
    again = method_text.rebuild("report", [run.path], metric=metric, more=options)
    modelled = [hardware.modelled(run, one, metric, activations) for one in machines]
    out = workdir / "report" if out is None else out
    return _build(run, out, metric, again, modelled=modelled)


_OWN_METRICS = ("accuracy", "loss")


def build_table_report(file: Path, out: Path, metric: str = "") -> Summary:
    """Writes the same of somebody else's table: a CSV file, a row a trained network.

    Args:
        file: columns nnz, structure, seed and a metric; see `foreign.read`.
        out: where to write.
        metric: the column to map, where there are several.

    Raises:
        UserError: the file cannot be read, or the output cannot be written.
    """
    table = foreign.read(file, metric)
    run = table.run._replace(task=table.run.task or file.stem)
    words = ["report", f"--from-csv={file}", f"--out={out}"]
    words += [f"--metric={metric}"] if metric else []
    again = method_text.rebuild_table(words)
    return _build(run, out, table.metric, again, table.notes)


def _build(
    run: workdirs.Workdir,
    out: Path,
    metric: str,
    again: str,
    notes: Sequence[str] = (),
    modelled: Sequence[hardware.Modelled] = (),
) -> Summary:
    from sparse_search.analysis import pareto
    from sparse_search.analysis.rates import caution
    from sparse_search.analysis.regions import map_of
    from sparse_search.analysis.table import read_trials
    from sparse_search.analysis.verdict import verdict

    scale = scale_of(metric)
    trials = read_trials(run.trials, metric)
    lines = lines_of(run.trials, trials)
    regions = tables.strict(map_of(trials, run.task))
    files.make_folder(out)
    files.write_whole(out / "curves.csv", tables.curves_csv(run.trials))
    files.write_whole(out / "regions.json", tables.regions_json(regions))
    draw: dict[str, Callable] = {
        "curves": partial(plots.draw_curves, lines, run.task, scale),
        "regions": partial(region_plot.draw_regions, regions),
    }
    if protocols.has_protocols(lines):
        draw["protocols"] = partial(protocols.draw_protocols, lines, run.task, scale)
    if decomposition_plot.has_decomposition(regions):
        draw["decomposition"] = partial(decomposition_plot.draw_decomposition, regions)
    if dense_plot.has_dense(regions):
        draw["small_dense"] = partial(dense_plot.draw_small_dense, regions)
    best = structures.structures(run, trials) if run.command == "search" else []
    if shown := structures.shown(best):
        rounds = structures.rounds_of(run.path, shown)
        draw["structures"] = partial(
            structures_plot.draw_structures, shown, rounds, run.task
        )
    planes = plane.read_plane(run.trials, trials)
    if planes:
        draw["plane"] = partial(plane_plot.draw_plane, planes, regions)
    fronts = {} if run.command == "train" else pareto.fronts(run.trials, trials)
    if pareto_plot.has_fronts(fronts):
        draw["pareto"] = partial(pareto_plot.draw_pareto, fronts, run.task, scale)
        files.write_whole(out / "pareto.csv", pareto_plot.pareto_csv(fronts))
    for one in modelled:
        notes = [*notes, *hardware.sentences(one)]
        if pareto_plot.has_fronts(one.fronts):
            draw[one.file] = partial(hardware.draw, one, run.task, scale)
            files.write_whole(out / f"{one.file}.csv", hardware.to_csv(one))
    pictures = {name: plots.render(function) for name, function in draw.items()}
    for name, kinds in pictures.items():
        for kind, data in plots.files_of(kinds).items():
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
    if not single and (edge := caution(regions["learning_rates_at_ends"])):
        sentences = [*sentences, edge]
    if run.left:
        sentences = [f"So far: {run.so_far} have ended.", *sentences]
    sentences = [*sentences, *notes]
    sections = [
        hardware.section(
            one, pictures[one.file][plots.ON_PAGE], scale, regions["chosen_on"]
        )
        for one in modelled
        if one.file in pictures
    ]
    found = content.Found(lines, regions, pictures, best, planes, fronts, sections)
    page = content.report_page(run, found, sentences, again)
    files.write_whole(out / "index.html", page)
    return Summary(sentences, out / "index.html", run.counts)


def compare(paths: Sequence[Path], out: Path, metric: str = "accuracy") -> Summary:
    """Writes the curves of several workdirs in one table, one plot and one page.

    Args:
        paths: workdirs of the same task, or CSV files as `foreign.read` takes them,
            which say in a column `task` what that is.
        metric: "accuracy" or "loss".
        out: the folder to write `curves.csv`, `curves.png`, `curves.svg`,
            `curves.pdf` and `index.html` to.

    Raises:
        UserError: a workdir cannot be read, they are of different tasks, or the
            output cannot be written.
    """
    places = [path.resolve() for path in paths]
    for number, path in enumerate(paths):
        if places[number] in places[:number]:
            raise UserError(f"{path} is given twice; give each workdir once.")
    if metric not in _OWN_METRICS:
        raise one_of("--metric of a comparison", metric, _OWN_METRICS)
    runs = [_compared(path, metric) for path in paths]
    if not runs:
        raise UserError(
            "There is nothing to compare; give workdirs: `sparse-search compare DIR "
            "DIR --out=DIR`."
        )
    tasks = {run.task: run.path for run in runs}
    if len(tasks) > 1:
        named = ", ".join(f"{task} ({path})" for task, path in sorted(tasks.items()))
        raise UserError(
            f"These are of different tasks, which cannot be compared: {named}; "
            "compare what is of one task at a time."
        )
    task = runs[0].task
    names = content.distinct_names(runs)
    rows = [
        {"workdir": name, **row}
        for name, run in zip(names, runs, strict=True)
        for row in run.trials
    ]
    lines = compared(
        {name: run.trials for name, run in zip(names, runs, strict=True)}, metric
    )
    scale = scale_of(metric)
    pictures = plots.render(partial(plots.draw_curves, lines, task, scale))
    files.make_folder(out)
    files.write_whole(out / "curves.csv", tables.curves_csv(rows, first=("workdir",)))
    for kind, data in plots.files_of(pictures).items():
        files.write_whole(out / f"curves.{kind}", data)
    counts = {
        status: sum(run.counts[status] for run in runs) for status in runs[0].counts
    }
    sentences = content.compare_verdict(names, runs)
    again = method_text.rebuild("compare", [run.path for run in runs], out, metric)
    page = content.compare_page(runs, rows, lines, sentences, counts, scale, again)
    files.write_whole(out / "index.html", page)
    return Summary(sentences, out / "index.html", counts)


def _compared(path: Path, metric: str) -> workdirs.Workdir:
    """A workdir, or a table of somebody else's."""
    if not path.is_file():
        return workdirs.read(path)
    table = foreign.read(path, metric)
    if table.metric != metric:
        raise UserError(f"{path} is of {table.metric}, and the comparison of {metric}.")
    if not table.run.task:
        raise UserError(
            f"{path} does not say of which task it is; add a column 'task' with the "
            "name that the others have."
        )
    return table.run
