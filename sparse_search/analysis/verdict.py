"""The region map in a few sentences that claim no more than its intervals allow."""

from typing import Any

from sparse_search.analysis import classes
from sparse_search.analysis.table import METRICS
from sparse_search.records import COSTS

_ORDER = (
    classes.WEIGHT,
    classes.STRUCTURE,
    classes.BALANCED,
    classes.SATURATED,
    classes.UNDETERMINED,
)


def verdict(region_map: dict[str, Any]) -> list[str]:
    """Two to seven plain sentences, of which the first two say the most.

    Args:
        region_map: what `regions.region_map` returned.

    Returns:
        Which budgets are of which class, and whether large-sparse beats small-dense
        and by how much; then whether it leads by more where weights decide, where the
        boundary is, what explains the whole map, the same at other equal costs, and
        what more data would be needed.
    """
    budgets = region_map["budgets"]
    if not budgets:
        return [
            "No sparse structure has a finished trial, so there are no regions to map.",
            "Large-sparse cannot be compared with small-dense.",
        ]
    metric = region_map["metric"].removeprefix("test_")
    rows = region_map["large_sparse_vs_small_dense"]
    sentences = [_classes(budgets), *_against_dense(rows, metric)]
    sentences += _claim(region_map["claim"], metric)
    sentences += _boundaries(region_map["boundaries"])
    sentences += _decomposition(region_map["decomposition"]["shares"])
    sentences += _at_costs(region_map, metric)
    compared = {row["nnz"] for row in rows if row["low"] is not None}
    alone = [b for b in budgets if b["nnz"] not in compared]
    more = _needed(budgets)
    # Enough is said: the figures show where a reference is missing.
    if alone and compared and len(sentences) + bool(more) < 7:
        sentences.append(
            f"There is no reference at {_at(alone)}: small dense networks were not "
            "trained there, or ended at chance level with some seed."
        )
    if more:
        sentences.append(more)
    return sentences


def _listed(items: list[str]) -> str:
    return items[0] if len(items) == 1 else ", ".join(items[:-1]) + " and " + items[-1]


def _at(budgets: list[dict[str, Any]]) -> str:
    sizes = [f"{budget['nnz']:,}" for budget in budgets]
    return f"{_listed(sizes)} weights"


def _classes(budgets: list[dict[str, Any]]) -> str:
    parts = []
    for name in _ORDER:
        here = [b for b in budgets if b["class"] == name]
        if not here:
            continue
        where = "all budgets" if len(here) == len(budgets) > 1 else _at(here)
        fragile = [b for b in here if b["fragile"]]
        note = ""
        if fragile:
            which = "" if len(fragile) == len(here) else f" at {_at(fragile)}"
            note = f" (fragile{which})"
        parts.append(f"{name} at {where}{note}")
    collapsed = sum(b["collapsed"] for b in budgets)
    if collapsed:
        parts.append(f"{collapsed} of the sparse trials ended at chance level")
    sentence = "; ".join(parts) + "."
    return sentence[0].upper() + sentence[1:]


def _boundaries(found: list[dict[str, Any]]) -> list[str]:
    parts = [
        f"from {b['from']} to {b['to']} near {b['nnz']:,.0f} weights "
        f"({b['low']:,.0f} to {b['high']:,.0f})"
        for b in found
        if b["low"] is not None and b["high"] is not None
    ]
    return [f"As weights are added the map turns {_listed(parts)}."] if parts else []


def _decomposition(shares: dict[str, dict[str, Any]]) -> list[str]:
    """Whether weights or structure explain more, where that is decided."""
    low, high = (shares["weights_minus_structure"][end] for end in ("low", "high"))
    if low is None or low <= 0 <= high:
        return []

    def percent(name: str) -> str:
        share = shares[name]
        ends = f"{100 * share['low']:.0f} to {100 * share['high']:.0f}"
        return f"{100 * share['value']:.0f} % ({ends})"

    more = ""
    if shares["interaction"]["value"] is not None:
        more = f", their interaction {percent('interaction')}"
    return [
        f"Over the whole map the number of weights explains {percent('weights')} of "
        f"the variance, structure {percent('structure')}{more}."
    ]


def _amount(row: dict[str, Any], metric: str) -> str:
    half = (row["high"] - row["low"]) / 2
    if METRICS[metric].share:
        return f"{100 * abs(row['difference']):.1f} ± {100 * half:.1f} points"
    return f"{abs(row['difference']):.3g} ± {half:.2g} in {metric}"


def _gain(gain: dict[str, Any]) -> str:
    def doublings(value: float) -> str:
        return f"{value:z.1f} doublings of the weights"

    if gain["value"] is None:
        if gain["censored"] == "above" and gain["low"] is not None:
            return f", a gain of at least {doublings(gain['low'])}"
        if gain["censored"] == "below" and gain["high"] is not None:
            return f", a gain of at most {doublings(gain['high'])}"
        return ""
    low = "below" if gain["low"] is None else f"{gain['low']:z.1f}"
    high = "beyond" if gain["high"] is None else f"{gain['high']:z.1f}"
    if gain["low"] is None and gain["high"] is None:
        return ""
    return f", a gain of {doublings(gain['value'])} ({low} to {high})"


def _against_dense(rows: list[dict[str, Any]], metric: str) -> list[str]:
    known = [row for row in rows if row["low"] is not None]
    if not known:
        why = "no seeds to pair" if rows else "no reference at the same weights"
        return [f"Large-sparse against small-dense is undetermined: {why}."]
    sign = METRICS[metric].sign
    ends = {id(row): sorted((sign * row["low"], sign * row["high"])) for row in known}
    better = [row for row in known if ends[id(row)][0] > 0]
    worse = [row for row in known if ends[id(row)][1] < 0]
    open_ = len(known) - len(better) - len(worse)
    parts = []
    for side, verb in ((better, "beats"), (worse, "loses to")):
        if not side:
            continue
        largest = max(side, key=lambda row: abs(row["difference"]))
        most = "" if len(side) == 1 else "most "
        parts.append(
            f"{verb} small-dense at {len(side)} of {len(known)} budgets, "
            f"{most}at {largest['nnz']:,} weights: by {_amount(largest, metric)}"
            f"{_gain(largest['gain'])}"
        )
    if not parts:
        widest = max(known, key=lambda row: row["high"] - row["low"])
        half = (widest["high"] - widest["low"]) / 2
        width = f"{100 * half:.1f} points" if METRICS[metric].share else f"{half:.2g}"
        known_to = f"differences are known to ± {width} or better"
        if METRICS[metric].share and half > 0.5:
            known_to = "with so few seeds any difference is possible"
        return [
            "Large-sparse and small-dense cannot be told apart at any of "
            f"{len(known)} budgets ({known_to})."
        ]
    if open_:
        others = open_ if open_ > 1 else "one"
        parts.append(f"at the other {others} the interval contains 0")
    return [f"Large-sparse {'; '.join(parts)}."]


def _claim(claim: dict[str, Any], metric: str) -> list[str]:
    """Whether the lead is larger where weights decide, where that can be tested."""
    sides = ("weight_dominated", "elsewhere", "contrast")
    there, elsewhere, contrast = (claim[side] for side in sides)
    sign = METRICS[metric].sign

    def lead(of: dict[str, Any]) -> str:
        amount = _amount(of, metric)
        nothing = amount.startswith(("0.0 ", "0 "))
        return f"−{amount}" if sign * of["difference"] < 0 and not nothing else amount

    if there is None and elsewhere is None:
        return []
    if there is None:
        return [
            "Whether large-sparse leads where weights decide cannot be tested: there "
            "is no such budget with a difference that has an interval."
        ]
    said = f"Where weights decide the mean lead of large-sparse is {lead(there)}"
    if elsewhere is None or contrast is None:
        return [f"{said}; there is no budget of another known class to compare with."]
    low, high = sorted((sign * contrast["low"], sign * contrast["high"]))
    how = "which is larger cannot be told"
    if low > 0 or high < 0:
        side = "larger" if low > 0 else "smaller"
        how = f"the first is {side} by {_amount(contrast, metric)}"
    return [f"{said}, elsewhere {lead(elsewhere)}: {how}."]


def _at_costs(region_map: dict[str, Any], metric: str) -> list[str]:
    """The comparison at other equal costs, where any of it is decided."""
    said: dict[str, list[str]] = {}
    decided = False
    for cost, part in region_map["at_equal_cost"].items():
        rows = [r for r in part["rows"] if (r["low"], r["high"]) != (None, None)]
        if not rows:
            continue
        above = sum(r["low"] is not None and r["low"] > 0 for r in rows)
        below = sum(r["high"] is not None and r["high"] < 0 for r in rows)
        better, worse = (above, below) if METRICS[metric].rises else (below, above)
        decided = decided or better + worse > 0
        text = f"beats small-dense at {better} of {len(rows)} budgets"
        text += f" and loses to it at {worse}" if worse else ""
        said.setdefault(text, []).append(COSTS[cost])
    if not decided:
        return []
    parts = [f"at equal {_listed(costs)} it {text}" for text, costs in said.items()]
    for entry in region_map["disagreements"]:
        if entry["decided"]:
            better, worse = (
                _listed([COSTS[cost] for cost in entry[side]])
                for side in ("better", "worse")
            )
            parts.append(
                f"at {entry['nnz']:,} weights it is better at equal {better} and worse "
                f"at equal {worse}"
            )
    sentence = "; ".join(parts).replace(" it beats", " large-sparse beats", 1)
    return [sentence[0].upper() + sentence[1:] + "."]


def _needed(budgets: list[dict[str, Any]]) -> str:
    open_ = [b for b in budgets if b["class"] == classes.UNDETERMINED]
    if not open_:
        return ""
    parts = []
    for b in open_:
        need = b["needed"]
        if need.get("budgets"):
            return (
                "The effect of weights is unknown where no structure was trained at "
                "two neighbouring budgets."
            )
        if need.get("at_least"):
            return (
                f"To tell seed noise from structure takes at least {need['seeds']} "
                f"seeds and {need['structures']} structures with seeds in common."
            )
        ways = [f"{need[k]} {k}" for k in ("seeds", "structures") if need[k]]
        more = " or ".join(ways) if ways else "more than 128 seeds or structures"
        parts.append(f"{more} at {b['nnz']:,} weights")
    return f"To decide would take about {_listed(parts)}."
