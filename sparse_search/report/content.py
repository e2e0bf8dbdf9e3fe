"""What each kind of page holds, section by section."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sparse_search import records
from sparse_search.analysis.pareto import Point
from sparse_search.report import (
    claim_tables,
    figure_sections,
    interactive,
    method_text,
    page_tables,
    scaling,
)
from sparse_search.report.page import (
    Section,
    downloads,
    embedded,
    live_figure,
    page,
    picture,
)
from sparse_search.report.plane import Plane
from sparse_search.report.plots import INTERVALS, ON_PAGE
from sparse_search.report.protocols import has_several_budgets
from sparse_search.report.scales import Scale, scale_of_map
from sparse_search.report.series import Line
from sparse_search.report.structures import Structure
from sparse_search.report.workdir import Workdir

_CURVES_CAPTION = (
    "Test {metric} against non-zero weights: a line a structure, a panel a method; the "
    "thick black line is small dense, at each budget the best on {chosen_on}. "
    f"{INTERVALS} {{spacing}} A click in the legend hides a line. "
    + downloads("curves", "csv")
)
_REGIONS_CAPTION = (
    "Top: what a doubling of the weights changes, and how far structures with the "
    "same number of weights lie apart, with 95 % intervals (moved sideways, so that "
    "both can be seen); dashed, where the two cross, shaded its interval. Middle: the "
    "class of each budget, over all methods and in each; a line, where R crosses 1. "
    "Bottom: best large-sparse minus best small-dense with its 95 % interval. An "
    "interval far longer than the others leaves its panel; the tables have its ends. "
    + downloads("regions", "json")
)
_DENSE_CAPTION = (
    "Top: the test error of every sparse structure (mean over seeds) and of every "
    "shape of small dense networks with as many weights; boxes span the quartiles and "
    "have a line at the median; the orange bar is the best, chosen on validation, with "
    "its 95 % interval. Middle: how many structures have less error than the best "
    "small dense; the interval holds for all at once. Bottom: the best structure minus "
    "small dense networks of the same nnz, parameters, FLOPs or bytes; an arrow begins "
    "at a bound, where small dense networks of that cost were not trained. "
    + downloads("small_dense")
)
_DECOMPOSITION_CAPTION = (
    "How much of the variance of the test metric over all trials is due to the number "
    "of weights, to structure (the same at every budget), to their interaction "
    "(structures that pay at some budgets only) and to seeds; 95 % intervals where "
    "there is room. " + downloads("decomposition")
)
_PROTOCOLS_CAPTION = (
    "The same trials asked in two ways. Above, one dense shape whose density falls; "
    "below, a fixed number of weights spread over wider and wider layers, beside the "
    f"small dense networks of those budgets. {INTERVALS} " + downloads("protocols")
)
_WIDEN = "Widen at a fixed budget"
_WIDEN_CAPTION = (
    "The same number of weights spread over wider and wider layers, beside the small "
    f"dense networks of as many weights. {INTERVALS} " + downloads("protocols")
)


class Found(NamedTuple):
    """What the page of a workdir shows.

    Attributes:
        lines: of the curves.
        regions: the content of `regions.json`.
        pictures: of every figure, its files by kind.
        structures: the best of every method at every budget.
        plane: width against weights, where there are several of both.
        fronts: the points of every Pareto front, by cost.
        hardware: a section for every machine that costs were modelled on.
    """

    lines: Sequence[Line]
    regions: dict[str, Any]
    pictures: dict[str, dict[str, bytes]]
    structures: Sequence[Structure]
    plane: Plane | None
    fronts: Mapping[str, Sequence[Point]]
    hardware: Sequence[Section] = ()


def report_page(
    run: Workdir, found: Found, verdict: Sequence[str], again: str
) -> bytes:
    """The page of one workdir: a search, or a single run with its learning curves."""
    lines, regions, pictures = found.lines, found.regions, found.pictures
    sections = []
    scale = scale_of_map(regions)
    if run.command == "train" and run.rounds:
        body = live_figure(
            "learning",
            interactive.rounds_figure(run.rounds, run.task),
            "Training and validation accuracy at the end of every round. The test set "
            "is evaluated once, after the last.",
        )
        sections.append(Section("Learning curves", body))
    if lines and run.command != "train":
        caption = _CURVES_CAPTION.format(
            metric=scale.metric,
            chosen_on=regions["chosen_on"],
            spacing=scale.spacing,
        )
        figure = interactive.curves_figure(lines, run.task, scale)
        title = f"{scale.metric.capitalize()} against weights"
        sections.append(Section(title, live_figure("curves", figure, caption)))
    if regions["budgets"] and run.command != "train":
        sections.append(_regions_section(regions, pictures))
        sections.append(_decomposition_section(regions, pictures))
    if "protocols" in pictures:
        several = has_several_budgets(lines)
        title = "Prune down, and widen at a fixed budget" if several else _WIDEN
        words = _PROTOCOLS_CAPTION if several else _WIDEN_CAPTION
        image = pictures["protocols"][ON_PAGE]
        sections.append(Section(title, picture(image, title.lower(), words)))
    if "small_dense" in pictures:
        sections.append(_dense_section(regions, pictures))
    chosen_on = regions["chosen_on"]
    if found.plane and "plane" in pictures:
        image = pictures["plane"][ON_PAGE]
        section = figure_sections.plane_section(found.plane, image, scale, chosen_on)
        sections.append(section)
    if found.fronts and "pareto" in pictures:
        image = pictures["pareto"][ON_PAGE]
        section = figure_sections.pareto_section(found.fronts, image, scale, chosen_on)
        sections.append(section)
    sections += found.hardware
    if run.command == "search":
        budgets = len(regions["budgets"])
        fit = scaling.fitted(run.path, len(run.trials))
        sections.append(figure_sections.scaling_section(run.path, budgets, fit))
    if "structures" in pictures:
        image = pictures["structures"][ON_PAGE]
        sections.append(figure_sections.structures_section(found.structures, image))
    sections += _trials_sections(run.trials)
    how = "" if run.command == "train" else method_text.regions(regions)
    how += again
    sections.append(Section("How this was computed", how))
    return page(f"{run.task}: {run.name}", verdict, run.counts, sections)


def _regions_section(
    regions: dict[str, Any], pictures: dict[str, dict[str, bytes]]
) -> Section:
    body = picture(
        pictures["regions"][ON_PAGE], "the region map", _REGIONS_CAPTION, column=True
    )
    body += page_tables.boundaries_list(regions) + page_tables.regions_table(regions)
    return Section("Region map", body)


def _decomposition_section(
    regions: dict[str, Any], pictures: dict[str, dict[str, bytes]]
) -> Section:
    body = ""
    if "decomposition" in pictures:
        body = picture(
            pictures["decomposition"][ON_PAGE],
            "shares of the variance",
            _DECOMPOSITION_CAPTION,
            column=True,
        )
    body += claim_tables.shares_table(regions)
    body += "<h3>Nested models</h3>" + claim_tables.models_table(regions)
    return Section("Weights or structure, over the whole map", body)


def _dense_section(
    regions: dict[str, Any], pictures: dict[str, dict[str, bytes]]
) -> Section:
    body = picture(
        pictures["small_dense"][ON_PAGE],
        "large-sparse against small-dense",
        _DENSE_CAPTION,
        column=True,
    )
    if regions["large_sparse_vs_small_dense"]:
        body += "<h3>At equal nnz</h3>" + page_tables.gap_table(regions)
    body += "<h3>At other equal costs</h3>" + claim_tables.cost_table(regions)
    body += "<h3>All structures</h3>" + claim_tables.population_table(regions)
    return Section("Large-sparse against small-dense", body)


def _trials_sections(
    rows: Sequence[records.Record], first: tuple[str, ...] = ()
) -> list[Section]:
    sections = []
    reasons = page_tables.reasons_table(rows)
    if reasons:
        sections.append(Section("Trials that gave no result", reasons))
    data = embedded("trials-data", page_tables.trials_data(rows, first))
    sections.append(Section("Trials", data + page_tables.TRIALS_TABLE))
    return sections


def run_verdict(run: Workdir) -> list[str]:
    """What a single run reached, a sentence a trial."""
    sentences = []
    for row in run.trials:
        if row["status"] in ("failed", "diverged"):
            reason = f": {row['reason']}" if row.get("reason") else ""
            sentences.append(f"{row['trial']} {row['status']}{reason}.")
            continue
        collapsed = ", which is chance level" if row["status"] == "collapsed" else ""
        density = row["density"]
        density = "" if density is None else f" (density {100 * density:.3g} %)"
        sentences.append(
            f"{row['trial']} reached {100 * row['test_accuracy']:.2f} % test accuracy "
            f"on {run.task}{collapsed}, with {row['nnz']:,} non-zero weights{density} "
            f"after {row['steps']:,} steps."
        )
    return sentences


def compare_page(
    runs: Sequence[Workdir],
    rows: Sequence[records.Record],
    lines: Sequence[Line],
    verdict: Sequence[str],
    counts: dict[str, int],
    scale: Scale,
    again: str,
) -> bytes:
    """The page of several workdirs: their curves and all their trials."""
    task = runs[0].task
    sections = []
    if lines:
        caption = (
            f"Test {scale.metric} against non-zero weights, a colour a workdir; thick "
            f"lines are small dense. {INTERVALS} {scale.spacing} "
            + downloads("curves", "csv")
        )
        figure = interactive.curves_figure(lines, task, scale)
        title = f"{scale.metric.capitalize()} against weights"
        sections.append(Section(title, live_figure("curves", figure, caption)))
    sections += _trials_sections(rows, ("workdir",))
    sections.append(Section("How this was computed", again))
    return page(f"{task}: {len(runs)} workdirs compared", verdict, counts, sections)


def compare_verdict(names: Sequence[str], runs: Sequence[Workdir]) -> list[str]:
    """What each workdir holds, a sentence each."""
    sentences = []
    for name, run in zip(names, runs, strict=True):
        sparse = [r for r in run.trials if r["structure"] != records.SMALL_DENSE]
        structures = len({row["structure"] for row in sparse})
        weights = sorted({row["nnz"] for row in run.trials if row["nnz"]})
        ends = dict.fromkeys((weights[0], weights[-1])) if weights else {}
        span = " to ".join(f"{end:,}" for end in ends)
        span = f" with {span} weights" if ends else ""
        sentences.append(
            f"{name}: {run.so_far} of {structures} sparse "
            f"structure{'s' if structures != 1 else ''}"
            f"{' and small dense' if len(sparse) < len(run.trials) else ''}{span}"
            f"{_sources(run)}."
        )
    return sentences


def _sources(run: Workdir) -> str:
    """Where the numbers of a table were published."""
    found = dict.fromkeys(str(r["source"]) for r in run.trials if r.get("source"))
    return f", from {'; '.join(found)}" if found else ""


def distinct_names(runs: Sequence[Workdir]) -> list[str]:
    """The folders' own names, or their paths where two are the same."""
    counts = Counter(run.name for run in runs)
    return [run.name if counts[run.name] == 1 else str(run.path) for run in runs]
