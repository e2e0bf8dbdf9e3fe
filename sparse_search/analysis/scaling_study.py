"""All that can be told of a table's scaling, as the content of scaling.json."""

from typing import Any, NamedTuple

import numpy as np

from sparse_search.analysis import scaling_checks as checks
from sparse_search.analysis.scaling import (
    Form,
    coefficients,
    formula,
    log_loss,
    log_multiplier,
)
from sparse_search.analysis.scaling_fit import Fit, fit, forms_of, problem
from sparse_search.analysis.scaling_optimum import COSTS, optimal_sparsity
from sparse_search.analysis.scaling_table import Table, levels
from sparse_search.errors import UserError

_MOST_LEVELS = 5
_OF_BOOTSTRAP = 100  # resamples of which the optimum is looked for


class Fitted(NamedTuple):
    """One form with everything that is computed of it.

    Attributes:
        fit: to all rows.
        resampled: (B, p), the same of the bootstrap.
        error: (n,) log errors of the fit, predicted − measured.
        folds: held-out errors by cross-validation; None with too few rows.
        largest: those of the largest networks; None with too few nnz.
    """

    fit: Fit
    resampled: np.ndarray
    error: np.ndarray
    folds: checks.HeldOut | None
    largest: checks.HeldOut | None


class Study(NamedTuple):
    """What `study` found.

    Attributes:
        table: the rows.
        forms: the forms that could be fitted, by name.
        best: the form with the smallest held-out error.
        content: all of it for scaling.json; numbers without a value are None.
    """

    table: Table
    forms: dict[str, Fitted]
    best: str
    content: dict[str, Any]

    @property
    def of_sparsity(self) -> Fitted | None:
        """The best form that knows of sparsity, or None."""
        name = self.best if self.best != "dense" else "sparse"
        return self.forms.get(name)


def study(table: Table) -> Study:
    """Fits every form that the rows can tell, and says how sure each is.

    Raises:
        UserError: the rows are too few for any form.
    """
    forms, cannot = forms_of(table)
    cells = int(table.cell.max()) + 1
    fitted = {}
    for form in forms:
        if cells < len(form.parameters) + 2:
            cannot.append(
                f"The {form.name} form has {len(form.parameters)} parameters, too many "
                f"for {cells} settings."
            )
            continue
        fitted[form.name] = _fitted(table, form, cells)
    if not fitted:
        raise UserError(
            f"{cells} settings are too few: the simplest form here has "
            f"{len(forms[-1].parameters)} parameters and needs "
            f"{len(forms[-1].parameters) + 2} settings."
        )
    if any(one.largest is None for one in fitted.values()):
        cannot.append(
            "How well larger networks are predicted by smaller ones cannot be told: "
            "without the largest, fewer than three different nnz are left."
        )
    best = min(fitted, key=lambda name: _held_out(fitted[name]))
    content: dict[str, Any] = {
        "rows": len(table.loss),
        "settings": cells,
        "left_out": table.left_out,
        "columns": table.columns,
        "nnz": _span(table.nnz),
        "sparsity": _span(table.sparsity),
        "data": None if table.data is None else _span(table.data),
        "best": best,
        "forms": {name: _of_form(table, one) for name, one in fitted.items()},
        "against_best": {
            name: checks.difference(table, one.folds.error, fitted[best].folds.error)
            for name, one in fitted.items()
            if name != best and one.folds and fitted[best].folds
        },
        "optimal_sparsity": [],
        "cannot_tell": cannot + _reading(table),
    }
    found = Study(table, fitted, best, content)
    content["optimal_sparsity"] = _optima(found)
    return found


def _fitted(table: Table, form: Form, cells: int) -> Fitted:
    one = fit(table, form)
    features, target = problem(table, form)
    enough = cells - -(-cells // checks.FOLDS) > len(form.parameters)
    return Fitted(
        one,
        checks.bootstrap(table, one),
        log_loss(features, one.theta[None])[0] - target,
        checks.folds(table, form) if enough else None,
        checks.largest(table, form),
    )


def _held_out(one: Fitted) -> float:
    error = one.error if one.folds is None else one.folds.error
    return float(np.abs(error).mean())


def _span(values: np.ndarray) -> dict[str, Any]:
    return {
        "least": float(values.min()),
        "most": float(values.max()),
        "different": len(set(values.tolist())),
    }


def _of_form(table: Table, one: Fitted) -> dict[str, Any]:
    form = one.fit.form
    freedom = (int(table.cell.max()) + 1, len(form.parameters))
    values = coefficients(form, one.fit.theta[None])
    resampled = coefficients(form, one.resampled)
    held_out = {
        "folds": one.folds and checks.summary(one.folds.error),
        "largest_nnz": one.largest
        and {"from_nnz": one.largest.nnz, **checks.summary(one.largest.error)},
    }
    return {
        "formula": formula(form),
        "coefficients": {
            name: checks.interval(value[0], resampled[name], freedom)
            for name, value in values.items()
        },
        "huber": one.fit.objective,
        "starts_that_agree": one.fit.agree,
        "error": checks.summary(one.error),
        "held_out": held_out,
        "multipliers": [
            {"sparsity": sparsity, **multiplier(table, one, sparsity)}
            for sparsity in asked(table)
            if form.name != "dense"
        ],
    }


def asked(table: Table) -> list[float]:
    """The sparsities that multipliers are told at: those of the rows, or some."""
    found = [-np.expm1(t) for t in levels(np.log1p(-table.sparsity), 0.03)]
    found = sorted(round(float(sparsity), 6) for sparsity in found)[1:]
    if len(found) <= _MOST_LEVELS:
        return found
    return [found[i] for i in np.linspace(0, len(found) - 1, _MOST_LEVELS).astype(int)]


def multiplier(table: Table, one: Fitted, sparsity: float) -> dict[str, Any]:
    """How many times as many weights a dense network needs, with its interval."""
    form = one.fit.form
    estimate, resampled = (
        np.exp(np.clip(log_multiplier(form, theta, sparsity), -600, 600))
        for theta in (one.fit.theta[None], one.resampled)
    )
    freedom = (int(table.cell.max()) + 1, len(form.parameters))
    return checks.interval(estimate[0], resampled, freedom)


def _reading(table: Table) -> list[str]:
    """Whether the column of nnz looks as if it counted all entries."""
    column = table.columns["nnz"]
    x, t = np.log(table.nnz), np.log1p(-table.sparsity)
    as_nnz, as_size = len(levels(x)), len(levels(x + t))
    if "×" in column or np.ptp(t) == 0 or as_nnz < 1.5 * as_size:
        return []
    return [
        f"Whether {column!r} counts non-zero weights, as it was read, cannot be told "
        f"for sure: it takes {as_nnz} values, and times the density only {as_size}, as "
        "where it counts all entries of networks of equal nnz. If so, say "
        f"--columns=size={column}; all multipliers are then divided by the density."
    ]


def _optima(found: Study) -> list[dict[str, Any]]:
    one, table = found.of_sparsity, found.table
    if one is None or not one.fit.form.has("b_D") or table.data is None:
        return []
    limits = (float(table.sparsity.min()), float(table.sparsity.max()))
    sizes = np.exp(levels(np.log(table.nnz)))
    sizes = sizes[np.unique(np.linspace(0, len(sizes) - 1, 4).astype(int))]
    most = float(table.data.max())
    amounts = [float(table.data.min())]
    amounts += [most * 2**k for k in range(int(-np.log2(1 - limits[1])) + 1)][:7]
    places = [(nnz, data) for nnz in sizes.tolist() for data in amounts]
    nnz, data = np.array(places).T
    freedom = (int(table.cell.max()) + 1, len(one.fit.form.parameters))
    theta = np.concatenate([one.fit.theta[None], one.resampled[:_OF_BOOTSTRAP]])
    rows = []
    for cost in COSTS:
        best = optimal_sparsity(one.fit.form, theta, nnz, data, cost, limits)
        for m, (weights, amount) in enumerate(places):
            entry = checks.interval(best[0, m], best[1:, m], freedom)
            for end in ("low", "high"):
                if entry[end] is not None:
                    entry[end] = min(max(entry[end], limits[0]), limits[1])
            at = "lowest" if entry["value"] <= limits[0] + 1e-9 else None
            at = "highest" if entry["value"] >= limits[1] - 1e-9 else at
            rows.append(
                {"nnz": weights, "dense_data": amount, "cost": cost, **entry, "at": at}
            )
    return rows
