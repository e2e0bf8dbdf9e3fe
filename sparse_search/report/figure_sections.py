"""The plane, the Pareto fronts and the structures on the page, with their captions."""

import html
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from sparse_search.analysis.pareto import COSTS, Point
from sparse_search.report.page import Section, downloads, picture
from sparse_search.report.page_tables import estimate, table
from sparse_search.report.plane import Plane
from sparse_search.report.scales import Scale
from sparse_search.report.scaling import FOLDER
from sparse_search.report.structures import Structure, structures_table


def plane_section(plane: Plane, image: bytes, scale: Scale, chosen_on: str) -> Section:
    """The figure of `plane_plot` with what it shows and what it leaves out."""
    caption = (
        f"Test {scale.metric} over non-zero weights and width, a panel a method: a "
        "cell is the mean over seeds at the structure's best learning rate (chosen on "
        f"{chosen_on}); light is better. White cells were not trained. Hatched ones "
        "have runs that ended at chance level, and set no end of the colours. Lines "
        "are of equal density: nnz over the weights of the dense network. Strips "
        "above: the class of each budget, over all methods and in the panel's own, "
        "all their layouts together. "
        f"{scale.spacing.replace('The axis is', 'The colours are')} "
    )
    if plane.shared:
        caption += (
            f"{plane.shared:,} cells are means over several structures of one width. "
        )
    if plane.left_out:
        names = html.escape("; ".join(plane.left_out))
        caption += f"Only the layouts with most trials are drawn; not: {names}. "
    body = picture(
        image,
        "width against non-zero weights",
        caption + downloads("plane"),
        column=len(plane.panels) == 1,
    )
    return Section("The plane of width and weights", body)


def pareto_section(
    fronts: Mapping[str, Sequence[Point]], image: bytes, scale: Scale, chosen_on: str
) -> Section:
    """The figure of `pareto_plot`, and the members of all fronts as a table."""
    caption = (
        f"Test {scale.metric} against each cost that the records have: a point is one "
        "configuration, its mean over seeds. Large ones, joined, are the front: no "
        f"other is as good on {chosen_on} (mean over seeds) at less cost, or better at "
        "the same. Its 95 % interval is of the choice: for each seed, what costs no "
        "more and is best on the other seeds. "
        "Hollow points had runs that collapsed, diverged or failed: they are on no "
        "front, and may lie off the axis. "
        f"{scale.spacing} "
    )
    if chosen_on == "test":
        caption += (
            "The table has no validation metric: members are chosen by what they are "
            "judged by, so the front looks better than it is. "
        )
    body = picture(
        image,
        "Pareto fronts",
        caption + downloads("pareto", "csv"),
        column=len(fronts) == 1,
    )
    return Section("Pareto fronts", body + members_table(fronts, scale))


def members_table(
    fronts: Mapping[str, Sequence[Point]],
    scale: Scale,
    words: Mapping[str, str] = COSTS,
) -> str:
    """The members of all fronts (HTML), each cost in its own words."""
    rows = []
    for cost, points in fronts.items():
        for place, p in enumerate(point for point in points if point.member):
            ends = {"value": p.reached, "low": p.low, "high": p.high}
            rows.append(
                [
                    words[cost] if place == 0 else "",
                    html.escape(p.structure),
                    html.escape(p.name),
                    f"{p.nnz:,}",
                    f"{p.cost:,.0f}" if p.cost >= 1000 else f"{p.cost:.4g}",
                    f"{scale.times * p.mean:.4g}",
                    estimate(ends, scale.times),
                    f"{p.kept} of {p.seeds}",
                ]
            )
    return table(
        ("cost", "structure", "point", "nnz", "its cost", scale.axis)
        + ("its choice, repeated over seeds", "chosen for so many seeds"),
        rows,
        text=3,
    )


def scaling_section(
    workdir: Path, budgets: int, fit: tuple[bytes, list[str]] | None
) -> Section:
    """The scaling law of the trials, or how it is fitted."""
    title = "Scaling law"
    if fit is not None:
        image, sentences = fit
        caption = (
            "Test loss against nnz with the fit and its 95 % band, what a weight of a "
            "sparse network is worth in weights of a dense one, and what the fit "
            "misses; hollow: rows it had not seen."
        )
        body = picture(image, "scaling law", caption)
        body += "".join(f"<p>{html.escape(sentence)}</p>" for sentence in sentences)
        return Section(title, body)
    if budgets < 3:
        return Section(
            title, "<p>A scaling law needs three different numbers of weights.</p>"
        )
    words = ["sparse-search", "scaling", str(workdir), f"--out={workdir / FOLDER}"]
    return Section(
        title,
        "<p>No law is fitted to these trials yet. This fits it, and the next report "
        f"shows it here:</p><pre>{html.escape(shlex.join(words))}</pre>",
    )


def structures_section(best: Sequence[Structure], image: bytes) -> Section:
    """The figure of `structures_plot`, and all budgets as a table."""
    caption = (
        "The best structure of each method at one budget, chosen on validation: above, "
        "the part of neurons (of inputs) with more than so many connections at the "
        "end, all seeds together; below, how dense the layers are, and the part of "
        "their connections that were not there at the start (black: the part of all "
        "parameters that lie on a path from an input to an output), of one seed. The "
        "table has all budgets: <em>spread</em> is standard deviation over mean; "
        "<em>overlap</em>, the connections that two seeds share (and its 95 % interval "
        "over pairs that follow each other), as they are and after the hidden "
        "neurons of one have been put into the order that makes them most "
        "alike, each beside that of random masks treated in the same way. "
    )
    body = picture(image, "the best networks", caption + downloads("structures"))
    return Section("Structure", body + structures_table(best))
