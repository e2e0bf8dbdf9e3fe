"""The tables of the claims: at equal costs, all structures, the whole map (HTML)."""

import html
from typing import Any

from sparse_search.records import COSTS
from sparse_search.report.page_tables import estimate, gain, number, table
from sparse_search.report.scales import scale_of_map


def cost_table(region_map: dict[str, Any]) -> str:
    """Large-sparse against small-dense at every other equal cost, a budget a line."""
    scale = scale_of_map(region_map)
    rows, missing = [], []
    for cost, part in region_map["at_equal_cost"].items():
        if part["left_out"]:
            missing.append(f"At equal {COSTS[cost]}: {html.escape(part['left_out'])}.")
        for place, entry in enumerate(part["rows"]):
            rows.append(
                [
                    COSTS[cost] if place == 0 else "",
                    html.escape(str(entry["best_structure"] or "–")),
                    f"{entry['nnz']:,.0f}",
                    f"{entry['cost']:,.0f}",
                    number(entry["best_density"], 100),
                    _difference(entry, scale.times),
                    gain(entry["gain"]),
                    _compared(entry),
                ]
            )
    heads = (
        *("at equal", f"best structure (on {region_map['chosen_on']})"),
        *("budget (nnz)", "its cost"),
        *("its density, %", f"difference, {scale.unit}", "gain, doublings of the cost"),
        "structures compared",
    )
    notes = "".join(f"<p>{line}</p>" for line in missing)
    return (
        (table(heads, rows, text=2) if rows else "")
        + _contradictions(region_map)
        + notes
    )


def _difference(entry: dict[str, Any], times: float) -> str:
    if entry["censored"] is None:
        return estimate({**entry, "value": entry["difference"]}, times)
    for end, sign in (("low", "≥"), ("high", "≤")):
        if entry[end] is not None:
            return f"{sign} {number(entry[end], times)}"
    return "–"


def _compared(entry: dict[str, Any]) -> str:
    """How many structures, and below it those that small dense was no match for."""
    more = [
        f"{entry[key]} {words}"
        for key, words in (("beyond", "off the curve"), ("unknown", "not recorded"))
        if entry[key]
    ]
    more = f"<br><small>{', '.join(more)}</small>" if more else ""
    return f"{entry['compared']}{more}"


def _contradictions(region_map: dict[str, Any]) -> str:
    """Where the comparisons have different signs, as sentences."""
    entries = region_map["disagreements"]
    if not any(part["rows"] for part in region_map["at_equal_cost"].values()):
        return ""
    items = []
    for entry in entries:
        sides = [
            f"{words} at equal {', '.join(COSTS[cost] for cost in entry[side])}"
            for side, words in (
                ("better", "better"),
                ("worse", "worse"),
                ("open", "undecided"),
            )
            if entry[side]
        ]
        kind = (
            "contradict each other"
            if entry["decided"]
            else "differ in the sign of their estimates, not with confidence"
        )
        items.append(
            f"<li>At {entry['nnz']:,} non-zero weights the comparisons {kind}: "
            f"large-sparse is {'; '.join(sides)}.</li>"
        )
    if items:
        return f"<ul>{''.join(items)}</ul>"
    return "<p>At no budget do the comparisons differ in sign.</p>"


def population_table(region_map: dict[str, Any]) -> str:
    """The errors of all structures, a budget and a side a line."""
    scale = scale_of_map(region_map)
    unit = "loss" if scale.times == 1 else "% error"
    rows = []
    for entry in region_map["population"]:
        sides = (("large-sparse", "sparse"), ("small dense", "small_dense"))
        for name, key in sides:
            side = entry[key]
            if side is None:
                continue
            better = estimate(entry["better"], 100) if key == "sparse" else ""
            rows.append(
                [
                    name,
                    f"{entry['nnz']:,.0f}",
                    str(len(side["errors"])),
                    estimate(side["best"], scale.times),
                    *(
                        estimate(side[level], scale.times)
                        for level in ("lower_quartile", "median", "upper_quartile")
                    ),
                    better,
                ]
            )
    heads = (
        *("", "nnz", "structures", f"best (on {region_map['chosen_on']}), {unit}"),
        *("lower quartile", "median", "upper quartile"),
        "ahead of the best small dense, %",
    )
    return table(heads, rows)


def models_table(region_map: dict[str, Any]) -> str:
    """Held-out R² of the nested models."""
    rows = [
        [
            entry["model"].replace("log2", "log₂"),
            estimate(entry["held_out_r2"], 100),
            estimate(entry["removes"], 100),
        ]
        for entry in region_map["decomposition"]["models"]
    ]
    heads = ("model", "held-out R², %", "of the error before it removes, %")
    return table(heads, rows)


def shares_table(region_map: dict[str, Any]) -> str:
    """The shares of the variance: pooled, then a method at a time."""
    parts = [("all methods", region_map)]
    if len(region_map["by_method"]) > 1:
        parts += sorted(region_map["by_method"].items())
    if region_map["without_collapsed"]:
        parts.append(("without collapsed", region_map["without_collapsed"]))
    names = ("weights", "structure", "interaction", "seeds")
    rows, notes = [], []
    for name, part in parts:
        found = part["decomposition"]
        shares = [estimate(found["shares"][key], 100) for key in names]
        size = f"{found['structures']} × {found['budgets']} × {found['seeds']}"
        rows.append([html.escape(name), *shares, size])
        said = list(found["notes"])
        if found["left_out"]:
            said.append(f"{found['left_out']} cells with one seed are left out.")
        notes += [f"<li>{html.escape(name)}: {html.escape(n)}</li>" for n in said]
    heads = ("methods", *(f"{key}, %" for key in names))
    more = f"<ul>{''.join(notes)}</ul>" if notes else ""
    return table((*heads, "structures × budgets × seeds"), rows) + more
