"""Lines to draw: what `analysis` computes, with a label and a look for each.

A line's look says its layout: the colour is the width, dark to light, the marker
differs with it (so that grey print reads), and the dash is everything else (depth,
allocation, pattern). Methods are panels, so a layout looks the same in each.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from sparse_search import records
from sparse_search.report import style

if TYPE_CHECKING:
    from sparse_search.analysis.table import Trials

LAYOUT = ("width", "depth", "allocation", "pattern")


class Dot(NamedTuple):
    """The mean test metric of one structure at one budget.

    Attributes:
        x: where it is drawn: nnz, density or width.
        value: the mean over seeds.
        low: lower end of the 95 % interval, None with one seed.
        high: upper end, None with one seed.
        seeds: how many seeds.
        row: a trial of the point, for its width and density.
    """

    x: float
    value: float
    low: float | None
    high: float | None
    seeds: int
    row: records.Record


class Line(NamedTuple):
    """One line of a figure.

    Attributes:
        panel: the panel it belongs to; None means every panel.
        label: its legend entry; lines with one label have one look.
        name: the structure, or what else tells it from all other lines.
        dots: sorted by x.
        colour: an RGB hex string.
        marker: index into `style.MARKERS`.
        dash: index into `style.DASHES`.
        thick: whether it is the reference line.
    """

    panel: str | None
    label: str
    name: str
    dots: list[Dot]
    colour: str = style.INK
    marker: int = 0
    dash: int = 0
    thick: bool = False


def panels(lines: Sequence[Line]) -> list[str]:
    """The panels of a figure in order; one without a name when there are no methods."""
    return sorted({line.panel for line in lines if line.panel is not None}) or [""]


def in_panel(lines: Sequence[Line], panel: str) -> list[Line]:
    """The lines that one panel draws, those of every panel last and so on top."""
    own = [line for line in lines if line.panel == panel]
    return own + [line for line in lines if line.panel is None]


def lines_of(rows: Sequence[records.Record], trials: "Trials") -> list[Line]:
    """The lines of one workdir: a panel a method, then small dense for all panels.

    Args:
        rows: a row a trial, with the keys of `records.COLUMNS`.
        trials: the same, as `table.read_trials` gives them.
    """
    dots = _dots(rows, trials)
    dense = dots.pop(records.SMALL_DENSE, None)
    lines = list(_styled({("", name): found for name, found in dots.items()}).values())
    if dense:
        lines.append(Line(None, "small dense", records.SMALL_DENSE, dense, thick=True))
    return lines


def compared(
    workdirs: dict[str, Sequence[records.Record]], metric: str = "accuracy"
) -> list[Line]:
    """The lines of several workdirs in one figure: a colour a workdir.

    A layout has the same marker in each of them.
    """
    from sparse_search.analysis.table import read_trials

    dots = {
        name: _dots(rows, read_trials(rows, metric)) for name, rows in workdirs.items()
    }
    places = {name: place for place, name in enumerate(workdirs)}
    colours = {
        name: style.CATEGORIES[place % len(style.CATEGORIES)]
        for name, place in places.items()
    }
    # Beyond six workdirs colours come again, with another dash.
    dashes = {name: place // len(style.CATEGORIES) for name, place in places.items()}
    dense = [
        Line(None, f"{name}: small dense", name, found, colours[name], thick=True)
        for name, found in (
            (name, by.pop(records.SMALL_DENSE, None)) for name, by in dots.items()
        )
        if found
    ]
    styled = _styled(
        {
            (workdir, structure): found
            for workdir, by in dots.items()
            for structure, found in by.items()
        }
    )
    lines = [
        line._replace(
            label=f"{workdir}: {line.label}",
            name=f"{workdir}: {line.name}",
            colour=colours[workdir],
            dash=(line.dash + dashes[workdir]) % len(style.DASHES),
        )
        for (workdir, _), line in styled.items()
    ]
    return lines + dense


def _styled(sparse: dict[tuple[str, str], list[Dot]]) -> dict[tuple[str, str], Line]:
    """A line for each (workdir, structure), labelled by what tells layouts apart."""
    layouts = {key: _layout(dots[0].row) for key, dots in sparse.items()}
    methods = {key: str(dots[0].row["method"]) for key, dots in sparse.items()}
    varying = [
        part
        for place, part in enumerate(LAYOUT)
        # A table of somebody else's may not say what all others have in common.
        if len({layout[place] for layout in layouts.values()} - {None}) > 1
    ] or ["width"]
    labels = {
        key: ", ".join(_named(dots[0].row, varying)) or key[1]
        for key, dots in sparse.items()
    }
    if len({(key[0], methods[key], labels[key]) for key in sparse}) < len(sparse):
        # The columns do not tell these structures apart, so only their names can.
        labels = {key: key[1] for key in sparse}
    looks = {key: (*_sortable(layouts[key]), labels[key]) for key in sparse}
    ordered = sorted(set(looks.values()))
    widths = sorted({look[0] for look in ordered})
    lines = {}
    for key in sorted(sparse, key=lambda key: (key[0], methods[key], looks[key], key)):
        same_width = [other for other in ordered if other[0] == looks[key][0]]
        place = widths.index(looks[key][0])
        lines[key] = Line(
            panel=methods[key],
            label=labels[key],
            name=key[1],
            dots=sparse[key],
            colour=style.sequence(place, len(widths)),
            marker=place % len(style.MARKERS),
            dash=same_width.index(looks[key]) % len(style.DASHES),
        )
    return lines


def _named(row: records.Record, parts: Sequence[str]) -> list[str]:
    """Numbers need their column's name beside them; erk or block do not."""
    known = {part: row[part] for part in parts if row[part] is not None}
    return [v if isinstance(v, str) else f"{part} {v}" for part, v in known.items()]


def _layout(row: records.Record) -> tuple:
    return tuple(row[part] for part in LAYOUT)


def _sortable(layout: tuple) -> tuple:
    """A layout in which numbers sort as numbers and a missing entry sorts first."""
    return tuple(
        (0, part, "") if isinstance(part, int | float) else (1, 0, str(part or ""))
        for part in layout
    )


def budgets_of(lines: Sequence[Line]) -> list[float]:
    """The budgets of the sparse lines, ascending."""
    return sorted({dot.x for line in lines if not line.thick for dot in line.dots})


def _dots(rows: Sequence[records.Record], trials: "Trials") -> dict[str, list[Dot]]:
    """The dots of each structure by increasing nnz; small dense is one structure."""
    from sparse_search.analysis.curves import dense_reference, sparse_curves

    curves = {
        **sparse_curves(trials),
        records.SMALL_DENSE: dense_reference(trials),
    }
    measured = [row for row in rows if row["nnz"] and row["status"] != "failed"]
    measured = [row for row in measured if not row.get("parent")]
    members: dict[str, list[records.Record]] = {name: [] for name in curves}
    for row in measured:
        members.setdefault(row["structure"], []).append(row)
    found = {}
    for name, curve in curves.items():
        found[name] = [
            Dot(
                node["nnz"],
                node["mean"],
                node["low"],
                node["high"],
                node["n"],
                _row_of(node, members[name]),
            )
            for node in curve
        ]
    return {name: dots for name, dots in found.items() if dots}


def _row_of(node: dict, rows: Sequence[records.Record]) -> records.Record:
    """A trial of the point that a node of a curve is the mean of."""
    candidates = [row for row in rows if row["point"] == node.get("point")] or rows
    # Budgets that differ by up to 2 % were merged: the nearest one is meant.
    return min(candidates, key=lambda row: abs(math.log(row["nnz"] / node["nnz"])))
