"""The map as a plane: what its figure shows, a panel a method and layout."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from sparse_search.records import SMALL_DENSE
from sparse_search.report.series import LAYOUT

if TYPE_CHECKING:
    from sparse_search.analysis.table import Trials

_MOST = 12  # panels, where there are several layouts
_REST = LAYOUT[1:]  # what a layout is beside its width


class Panel(NamedTuple):
    """One plane of W widths and B budgets.

    Attributes:
        method: the method of its structures.
        title: the method, and the layout where several are drawn.
        mean: (W, B) the test metric over seeds, NaN where nothing was trained.
        collapsed: (W, B) the share of runs that ended at chance level.
        lost: (W, B) whether there were trials of which none gave a metric.
        sizes: (W,) the weights of the dense network, NaN where unknown.
    """

    method: str
    title: str
    mean: np.ndarray
    collapsed: np.ndarray
    lost: np.ndarray
    sizes: np.ndarray


class Plane(NamedTuple):
    """All panels with their common axes.

    Attributes:
        nnz: (B,) the budgets.
        widths: (W,) the widths.
        panels: by layout, then by method.
        methods: how many methods there are: panels side by side.
        left_out: layouts for which there was no room.
        shared: how many cells are means over several structures.
    """

    nnz: np.ndarray
    widths: np.ndarray
    panels: list[Panel]
    methods: int
    left_out: list[str]
    shared: int


def read_plane(rows: Sequence[Mapping[str, Any]], trials: "Trials") -> Plane | None:
    """The planes of a table; None without several widths and several budgets.

    Args:
        rows: a row a trial, with the keys of `records.COLUMNS`.
        trials: the same, as `table.read_trials` gives them.
    """
    from sparse_search.analysis.cells import sparse_cells

    rows = [row for row in rows if not row.get("parent")]
    cells = sparse_cells(trials)
    first = {row["structure"]: row for row in reversed(rows)}
    wide = {name: _width(first[name]) for name in cells.structures}
    own = [s for s, name in enumerate(cells.structures) if wide[name]]
    widths = sorted({wide[cells.structures[s]] for s in own})
    used = np.isfinite(cells.test[own]).any(axis=(0, 2))
    if len(widths) < 2 or used.sum() < 2:
        return None
    layouts = Counter(_rest(row) for row in rows if wide.get(row["structure"]))
    ordered = sorted(layouts, key=lambda rest: (-layouts[rest], rest))
    methods = sorted({cells.methods[s] for s in own})
    kept = ordered[: max(1, _MOST // len(methods))]
    names = _names(ordered)
    panels, shared = [], 0
    for rest in sorted(kept):
        for method in methods:
            members = [
                s
                for s in own
                if cells.methods[s] == method
                and _rest(first[cells.structures[s]]) == rest
            ]
            if not members:
                continue
            at = [widths.index(wide[cells.structures[s]]) for s in members]
            test = np.full((len(widths), len(cells.nnz)), np.nan)
            collapsed, lost = np.zeros(test.shape), np.zeros(test.shape, bool)
            sizes = np.full(len(widths), np.nan)
            for w in set(at):
                same = [s for s, place in zip(members, at, strict=True) if place == w]
                runs = cells.test[same].transpose(1, 0, 2).reshape(len(cells.nnz), -1)
                ended = np.isfinite(runs).sum(axis=1)
                some = ended > 0
                test[w, some] = np.nansum(runs[some], axis=1) / ended[some]
                down = cells.collapsed[same].sum(axis=(0, 2))
                collapsed[w] = down / np.maximum(ended, 1)
                there = [cells.structures[s] for s in same]
                counts = [sum(seen[name] for name in there) for seen in trials.excluded]
                lost[w] = ~some & (np.array(counts) > 0)
                known = np.isfinite(cells.test[same]).any(axis=2).sum(axis=0)
                shared += int((known > 1).sum())
                sizes[w] = _size(first[there[0]])
            title = method if len(kept) == 1 else f"{method}, {names[rest]}"
            panels.append(Panel(method, title, test, collapsed, lost, sizes))
    return Plane(
        nnz=cells.nnz,
        widths=np.array(widths),
        panels=panels,
        methods=len(methods),
        left_out=[names[rest] for rest in ordered[len(kept) :]],
        shared=shared,
    )


def _width(row: Mapping[str, Any]) -> float:
    """The width of a sparse structure, 0 where there is none."""
    width = row.get("width")
    if row["structure"] == SMALL_DENSE or not isinstance(width, int | float):
        return 0
    return width if width > 0 else 0


def _rest(row: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(str(row.get(part) or "") for part in _REST)


def _names(layouts: Sequence[tuple[str, ...]]) -> dict[tuple[str, ...], str]:
    """Layouts by what tells them apart: "depth 2, erk"."""
    varying = [i for i in range(len(_REST)) if len({rest[i] for rest in layouts}) > 1]
    return {
        rest: ", ".join(
            f"depth {rest[i]}" if _REST[i] == "depth" else rest[i]
            for i in varying
            if rest[i]
        )
        or "other"
        for rest in layouts
    }


def _size(row: Mapping[str, Any]) -> float:
    density = row.get("density")
    return row["nnz"] / density if density else np.nan
