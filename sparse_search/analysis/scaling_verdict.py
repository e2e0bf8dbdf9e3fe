"""A scaling study in a few plain sentences that claim no more than its intervals."""

from typing import Any

from sparse_search.analysis.scaling_study import Study


def verdict(found: Study) -> list[str]:
    """What was read, fits, multipliers, held-out errors, and what cannot be told."""
    content = found.content
    sentences = [_read(content)]
    sentences += [_fit(name, form) for name, form in content["forms"].items()]
    sentences += _multipliers(found)
    sentences += _held_out(found)
    sentences += _optimum(found)
    return sentences + content["cannot_tell"]


def amount(value: float) -> str:
    """A number for a sentence: 0.0313, 512, 1,000,000."""
    return f"{value:,.0f}" if 1e3 <= value < 1e12 else f"{value:.3g}"


def _with_ends(estimate: dict[str, Any]) -> str:
    if estimate["low"] is None:
        return f"{amount(estimate['value'])} (interval unknown)"
    low, high = amount(estimate["low"]), amount(estimate["high"])
    return f"{amount(estimate['value'])} ({low} to {high})"


def _listed(items: list[str]) -> str:
    return items[0] if len(items) == 1 else ", ".join(items[:-1]) + " and " + items[-1]


def _percent(part: float) -> str:
    return f"{100 * part:.2g} %"


def _read(content: dict[str, Any]) -> str:
    columns = dict(content["columns"])
    parts = [f"{ours} is {columns[ours]}" for ours in sorted(columns)]
    out = "".join(
        f" {count:,} rows {reason} and are left out."
        for reason, count in content["left_out"].items()
    )
    return (
        f"Read {content['rows']:,} rows of {content['settings']:,} settings: "
        f"{_listed(parts)}.{out}"
    )


def _fit(name: str, form: dict[str, Any]) -> str:
    numbers = [
        f"{key} = {_with_ends(value)}" for key, value in form["coefficients"].items()
    ]
    return (
        f"The {name} form, {form['formula']}: {_listed(numbers)}; mean error "
        f"of the fit {_percent(form['error']['mean_absolute'])}."
    )


def _multipliers(found: Study) -> list[str]:
    if found.of_sparsity is None:
        return []
    name = found.of_sparsity.fit.form.name
    lowest = found.content["sparsity"]["least"]
    parts = [
        f"{_with_ends(entry)} at {100 * entry['sparsity']:.4g} %"
        for entry in found.content["forms"][name]["multipliers"]
    ]
    dense = "a dense one" if lowest < 0.005 else f"one of {100 * lowest:.3g} % sparsity"
    return [
        f"A sparse network is as good as {dense} of so many times its non-zero weights "
        f"({name} form): {_listed(parts)} sparsity."
    ]


def _held_out(found: Study) -> list[str]:
    forms, best = found.content["forms"], found.best
    folds = {
        n: f["held_out"]["folds"] for n, f in forms.items() if f["held_out"]["folds"]
    }
    if not folds:
        return ["The rows are too few to hold any out, so no form is preferred."]
    parts = [f"{_percent(e['mean_absolute'])} ({name})" for name, e in folds.items()]
    sentences = [f"Mean error of rows that were held out: {_listed(parts)}."]
    larger = {n: f["held_out"]["largest_nnz"] for n, f in forms.items()}
    larger = {name: entry for name, entry in larger.items() if entry}
    if larger:
        first = next(iter(larger.values()))
        parts = [f"{_percent(e['mean_absolute'])} ({n})" for n, e in larger.items()]
        sentences.append(
            f"The {first['rows']} largest, of at least {amount(first['from_nnz'])} "
            f"weights, predicted by the smaller: {_listed(parts)}."
        )
    against = found.content["against_best"]
    worse = [name for name, gap in against.items() if gap["low"] > 0]
    alike = [name for name in against if name not in worse]
    if worse:
        sentences.append(
            f"By held-out error the {best} form beats the {_listed(worse)}."
        )
    if alike:
        sentences.append(
            f"The {best} and the {_listed(alike)} form cannot be told apart by it."
        )
    if "dense" in alike or (best == "dense" and len(forms) > 1):
        sentences.append("So at equal nnz no effect of sparsity is shown.")
    size = {name: entry["mean_absolute"] for name, entry in larger.items()}
    other = min(size, key=lambda name: size[name]) if size else best
    if size and size[other] < 0.9 * size[best]:
        sentences.append(
            f"The largest networks are predicted best by the {other} form."
        )
    return sentences


def _optimum(found: Study) -> list[str]:
    rows = found.content["optimal_sparsity"]
    if not rows:
        return []
    data = found.content["data"]["most"]
    nnz = max(row["nnz"] for row in rows)
    there = [row for row in rows if row["nnz"] == nnz]
    longest = max(row["dense_data"] for row in there)
    chosen = min(longest, 4 * data)
    parts = []
    for row in there:
        if row["dense_data"] != chosen:
            continue
        value = f"{100 * row['value']:.2g} %"
        if row["low"] is not None:
            value += f" ({100 * row['low']:.2g} to {100 * row['high']:.2g} %)"
        end = f", the {row['at']} of the rows" if row["at"] else ""
        cost = {
            "every entry": "where zeros are multiplied too",
            "gradual pruning": "with gradual pruning that skips zeros",
        }
        parts.append(f"{value}{end} {cost[row['cost']]}")
    data_name = found.content["columns"]["data"]
    return [
        f"With the compute that trains a dense network of {amount(nnz)} weights for "
        f"{amount(chosen)} {data_name}, that many weights do best at a sparsity of "
        f"{_listed(parts)}."
    ]
