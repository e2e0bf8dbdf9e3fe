"""Which scaling laws a table can tell apart, and their fit to its rows.

As in Hoffmann et al. 2022 and Frantar et al. 2023, what is minimised is the Huber loss
(delta = 0.001) of the error of log L, from many starts.
"""

from typing import NamedTuple

import numpy as np

from sparse_search.analysis.huber import minimise
from sparse_search.analysis.scaling import NOTHING, Form, design
from sparse_search.analysis.scaling_table import Table, levels

SEED = 0
STARTS = 48
_MOST_KNOTS = 5
_BOUNDS = {"log": (NOTHING, 6.0), "b_N": (1e-3, 5.0), "b_D": (1e-3, 5.0)}
_BOUNDS |= {"b_S": (-5.0, 20.0), "h": (-20.0, 20.0)}


class Fit(NamedTuple):
    """A fitted form.

    Attributes:
        form: what was fitted.
        theta: (p,) its parameters.
        objective: the mean Huber loss of the log errors.
        agree: the part of the starts that ended within 1 % of this objective.
    """

    form: Form
    theta: np.ndarray
    objective: float
    agree: float


def forms_of(table: Table) -> tuple[list[Form], list[str]]:
    """The forms that a table can tell apart, and what it cannot tell, in sentences."""
    t, x = np.log1p(-table.sparsity), np.log(table.nnz)
    d = None if table.data is None else np.log(table.data)
    amounts = 1 if d is None else len(levels(d))
    cannot = []
    if amounts == 1:
        cannot.append(
            "How the loss depends on the amount of data cannot be told, because "
            f"{'no column holds it' if d is None else 'it does not vary'}: that term "
            "is left out, and the plateau contains it."
        )
    elif d is not None and _determined(d, [x]):
        cannot.append(
            "The amount of data follows from nnz in all rows, so that their effects "
            "cannot be told apart: the term of the data is left out."
        )
        amounts = 1
    if amounts == 1:
        d = None
    elif amounts == 2:
        cannot.append(
            "With two amounts of data the plateau cannot be told from the term of the "
            "data: that term contains it, and does not hold for other amounts."
        )
    rest = ["log_data", "b_D"] * (amounts > 1) + ["log_c"] * (amounts != 2)
    centre = (x.mean(), 0.0 if d is None else d.mean(), np.log(table.loss).mean())
    dense = Form("dense", ("log_a", "b_N", *rest), (), centre)
    densities = levels(t, 0.03)
    if len(densities) == 1:
        cannot.append("Sparsity does not vary, so its effect cannot be told.")
        return [dense], cannot
    if _determined(t, [x] if d is None else [x, d]):
        cannot.append(
            "Sparsity follows from nnz in all rows (as where one network is pruned "
            "further and further), so that their effects cannot be told apart."
        )
        return [dense], cannot
    saturates = ["log_c_S"] * (len(densities) > 2)
    if not saturates:
        cannot.append(
            "With two sparsities c_S cannot be told from a_S: it is left out, and "
            "nothing is known of other sparsities."
        )
    sparse = ("log_a", "b_S", *saturates, "b_N", *rest)
    knots = _knots(t, densities)
    free = tuple(f"h{i}" for i in range(len(knots) - 1))
    return [
        Form("sparse", sparse, knots, centre),
        Form("effective", ("log_a", *free, "b_N", *rest), knots, centre),
        dense,
    ], cannot


def _determined(values: np.ndarray, by: list[np.ndarray]) -> bool:
    """Whether `values` are a linear function of others, but for 3 % of their spread."""
    others = np.stack([*by, np.ones_like(values)], axis=1)
    left = values - others @ np.linalg.lstsq(others, values, rcond=None)[0]
    return float(left.std()) < 0.03 * float(values.std())


def _knots(t: np.ndarray, densities: list[float]) -> tuple[float, ...]:
    near = np.abs(t[:, None] - np.array(densities)).argmin(axis=1)
    counts = np.bincount(near, minlength=len(densities))
    if len(densities) <= _MOST_KNOTS and counts.min() > 2:
        return tuple(densities)
    quantiles = np.quantile(t, [0.0, 0.25, 0.5, 0.75])
    return tuple(levels(np.append(quantiles, max(densities)), 0.03))


def bounds(form: Form) -> tuple[np.ndarray, np.ndarray]:
    """(p,) each: the least and the largest values of theta."""
    kinds = ["log" if n.startswith("log") else n.rstrip("0123456789") for n in form[1]]
    low, high = zip(*(_BOUNDS[kind] for kind in kinds), strict=True)
    return np.array(low), np.array(high)


def starts(form: Form, count: int, rng: np.random.Generator) -> np.ndarray:
    """(count, p) places to begin: the terms share the mean loss in random parts."""
    kinds = {"b_N": (0.05, 1.0), "b_D": (0.05, 1.0), "b_S": (-0.5, 3.0)}
    theta = np.zeros((count, len(form.parameters)))
    logs = [i for i, name in enumerate(form.parameters) if name.startswith("log")]
    for i, name in enumerate(form.parameters):
        low, high = kinds.get(name, (-0.5, 0.5))
        theta[:, i] = rng.uniform(low, high, count)
    theta[:, logs] = np.log(rng.dirichlet(np.ones(len(logs)), count) + 1e-3)
    return theta


def fit(table: Table, form: Form) -> Fit:
    """Fits a form to all rows, from `STARTS` seeded starts."""
    begin = starts(form, STARTS, np.random.default_rng(SEED))
    weights = np.ones((STARTS, len(table.loss)))
    theta, values = minimise(*problem(table, form), weights, begin, *bounds(form))
    best = int(values.argmin())
    agree = float(np.mean(values <= 1.01 * values[best] + 1e-15))
    return Fit(form, theta[best], float(values[best]), agree)


def problem(table: Table, form: Form) -> tuple[np.ndarray, np.ndarray]:
    """The features (K, n, p) of a table's rows, and their log losses (n,), centred."""
    features = design(form, table.nnz, table.sparsity, table.data)
    return features, np.log(table.loss) - form.centre[2]
