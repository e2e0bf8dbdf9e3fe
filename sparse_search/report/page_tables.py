"""The tables and texts of the page, as HTML."""

import html
from collections import Counter
from collections.abc import Sequence
from typing import Any

from sparse_search import records
from sparse_search.report import style
from sparse_search.report.scales import scale_of_map

# What the trials table shows; curves.csv has everything.
_TRIAL_COLUMNS = (
    *("structure", "seed", "status", "nnz", "parameters", "density", "learning_rate"),
    *("valid_accuracy", "test_accuracy", "test_loss", "train_accuracy"),
    *("effective_parameters", "steps", "wall_seconds"),
)


def counts_line(counts: dict[str, int]) -> str:
    """How many trials ended how: "180 trials: 178 done, 1 collapsed"."""
    total = sum(counts.values())
    parts = ", ".join(f"{n:,} {status}" for status, n in counts.items() if n)
    return f"{total:,} trial{'s' if total != 1 else ''}: {parts}"


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], text: int = 1) -> str:
    """A table of HTML cells; the first `text` columns are text, the rest numbers."""
    assert all(len(row) == len(heads) for row in rows), "a column has no head"
    head = "".join(
        f'<th scope="col"{" class=name" if place < text else ""}>{head}</th>'
        for place, head in enumerate(heads)
    )
    body = "".join(
        "<tr>"
        + "".join(
            f"<td{' class=name' if place < text else ''}>{cell}</td>"
            for place, cell in enumerate(row)
        )
        + "</tr>"
        for row in rows
    )
    return (
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def regions_table(region_map: dict[str, Any]) -> str:
    """The classes and effects by budget: pooled, then a method at a time."""
    parts = [("all methods", region_map)]
    if len(region_map["by_method"]) > 1:
        parts += sorted(region_map["by_method"].items())
    if region_map["without_collapsed"]:
        parts.append(("without collapsed", region_map["without_collapsed"]))
    scale = scale_of_map(region_map)
    rows = [
        _region_row(name if place == 0 else "", entry, scale.times)
        for name, part in parts
        for place, entry in enumerate(part["budgets"])
    ]
    heads = (
        *("methods", "class", f"on the {scale.other} scale", "nnz"),
        f"weight effect, {scale.unit} per doubling",
        *(f"structure SD, {scale.unit}", "dominance R", f"seed SD, {scale.unit}"),
        *("structures × seeds", "<div class=free>remarks</div>"),
    )
    return table(heads, rows, text=3)


def _region_row(name: str, entry: dict[str, Any], times: float) -> list[str]:
    colour = style.CLASS_COLOURS[entry["class"]]
    other = entry["class_on_other_scale"]
    return [
        html.escape(name),
        f'<span class="chip" style="background:{colour}">{entry["class"]}</span>',
        "the same" if other == entry["class"] else other or "–",
        f"{entry['nnz']:,.0f}",
        estimate(entry["weight_effect"], times),
        estimate(entry["structure_sd"], times),
        estimate(entry["dominance"], 1),
        number(entry["seed_sd"], times),
        _trials(entry),
        f"<div class=free>{_remark(entry)}</div>",
    ]


def _trials(entry: dict[str, Any]) -> str:
    """How many structures and seeds, and below it the trials to beware of."""
    parts = [
        f"{entry[key]} {name}"
        for key, name in (("collapsed", "collapsed"), ("excluded", "no result"))
        if entry[key]
    ]
    more = f"<br><small>{', '.join(parts)}</small>" if parts else ""
    return f"{entry['structures']} × {entry['seeds']}{more}"


def number(value: float | None, scale: float) -> str:
    """A number times a scale, with two decimals; a dash where it is unknown."""
    if value is None:
        return "–"
    digits = ".2f" if scale == 100 or abs(value) >= 10 else ".3g"
    return f"{scale * value:{digits}}".replace("-", "−")


def estimate(estimate: dict[str, Any] | None, scale: float) -> str:
    """A value and its interval; an end that is not known is a sign, not a number."""
    if estimate is None or estimate["value"] is None:
        return "–"
    low, high = estimate["low"], estimate["high"]
    if low is None and high is None:
        return number(estimate["value"], scale)
    low = "−∞" if low is None else number(low, scale)
    high = "∞" if high is None else number(high, scale)
    return f"{number(estimate['value'], scale)} <small>[{low}, {high}]</small>"


def gain(gain: dict[str, Any]) -> str:
    """A gain; where the dense curve ends first, only the bound that is known."""
    for censored, end, sign in (("above", "low", "≥"), ("below", "high", "≤")):
        if gain["censored"] == censored:
            bound = gain[end]
            return (
                "beyond the dense curve"
                if bound is None
                else (f"{sign} {number(bound, 1)}")
            )
    return estimate(gain, 1)


def _remark(entry: dict[str, Any]) -> str:
    """Why a class is fragile, or what would decide an undetermined budget."""
    if entry["fragile"]:
        reasons = entry["fragile_because"]
        more = f" and {len(reasons) - 3} more" if len(reasons) > 3 else ""
        return f"fragile: {html.escape(', '.join(reasons[:3]))}{more}"
    needed = entry["needed"]
    if needed is None:
        return ""
    parts = [
        f"{'&gt; 128' if needed[what] is None else needed[what]} {what}"
        for what in ("seeds", "structures")
    ]
    if "budgets" in needed:
        return f"needs {needed['budgets']} budgets"
    if needed.get("at_least"):
        return "needs at least " + " and ".join(parts)
    return "needs about " + " or ".join(parts)


def boundaries_list(region_map: dict[str, Any]) -> str:
    """Every nnz at which dominance crosses 1, as sentences."""
    items = []
    for boundary in region_map["boundaries"]:
        low, high = (
            "unbounded" if end is None else f"{end:,.0f}"
            for end in (boundary["low"], boundary["high"])
        )
        items.append(
            f"<li>R crosses 1 at {boundary['nnz']:,.0f} non-zero weights "
            f"[{low}, {high}], from {boundary['from']} to {boundary['to']}.</li>"
        )
    return f"<ul>{''.join(items)}</ul>" if items else "<p>R crosses 1 nowhere.</p>"


def gap_table(region_map: dict[str, Any]) -> str:
    """Large-sparse against small-dense, a budget a line."""
    scale = scale_of_map(region_map)
    rows = []
    for entry in region_map["large_sparse_vs_small_dense"]:
        rows.append(
            [
                html.escape(str(entry["best_structure"] or "–")),
                f"{entry['nnz']:,.0f}",
                number(entry["best_density"], 100),
                estimate({**entry, "value": entry["difference"]}, scale.times),
                gain(entry["gain"]),
            ]
        )
    heads = (
        *(f"best structure (on {region_map['chosen_on']})", "nnz", "its density, %"),
        *(f"difference, {scale.unit}", "gain, doublings"),
    )
    return table(heads, rows)


def reasons_table(rows: Sequence[records.Record]) -> str:
    """Why trials failed or diverged, the most frequent reason first."""
    found = Counter(
        (row["status"], str(row.get("reason") or "no reason recorded"))
        for row in rows
        if row["status"] in ("failed", "diverged")
    )
    if not found:
        return ""
    body = "".join(
        f"<tr><td class=name>{status}</td><td>{count}</td>"
        f"<td class=free>{html.escape(reason)}</td></tr>"
        for (status, reason), count in sorted(
            found.items(), key=lambda item: (-item[1], item[0])
        )
    )
    return (
        '<div class="scroll"><table><thead><tr><th class=name>status</th>'
        "<th>trials</th><th class=name>reason</th></tr></thead>"
        f"<tbody>{body}</tbody></table></div>"
    )


def trials_data(
    rows: Sequence[records.Record], first: tuple[str, ...] = ()
) -> dict[str, Any]:
    """The trials for the sortable table: columns, and a list a row."""
    names = (*first, *_TRIAL_COLUMNS)
    if any(row.get("test_error") is not None for row in rows):
        names = (*names, "test_error")
    text = {*first, "structure", "status"}
    return {
        "columns": [
            {"name": name.replace("_", " "), "text": name in text} for name in names
        ],
        "rows": [[_short(row.get(name)) for name in names] for row in rows],
    }


def _short(value: Any) -> Any:
    """Five digits: what the table shows, at half the size of the page."""
    return float(f"{value:.5g}") if isinstance(value, float) else value


TRIALS_TABLE = (
    '<div id="trials"></div>'
    '<button class="more" id="trials-more" hidden>Show all trials</button>'
    "<p>A click on a heading sorts. <a href=curves.csv>curves.csv</a> has every "
    "column of every trial at full precision.</p>"
)
