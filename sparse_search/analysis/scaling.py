"""Scaling laws of sparse networks: three forms of the loss, and one way to fit them.

    sparse     L = (a_S (1 - S)^b_S + c_S) N^-b_N + (a_D / D)^b_D + c
    effective  L = a / (N eff(S))^b + c / D^d + e
    dense      L = a / N^b + c / D^d + e

of the non-zero weights N, the sparsity S and the amount of training data D. The first
is Frantar et al. 2023 (arXiv:2309.08520, equation 1). In the second a sparse network
counts as a dense one of N eff(S) weights; log eff(S) is a free piecewise linear function
of log(1 - S). The third says that only N matters: a power law with a plateau (Hoffmann
et al. 2022, arXiv:2203.15556, equation 2).

Every form is a sum of positive terms, each the exponential of something linear in the
parameters, so one fit serves all: the logarithm of the predicted loss is a logsumexp.
As in both papers, what is minimised is the Huber loss (delta = 0.001) of the logarithm's
error, from many starts.
"""

from typing import NamedTuple

import numpy as np

from sparse_search.analysis.huber import minimise
from sparse_search.analysis.scaling_table import Table, levels

SEED = 0
STARTS = 48
FORMULAS = {
    "sparse": "L = (a_S (1 - S)^b_S + c_S) N^-b_N + (a_D / D)^b_D + c",
    "effective": "L = a / (N eff(S))^b + c / D^d + e",
    "dense": "L = a / N^b + c / D^d + e",
}
_MOST_KNOTS = 5
# A term this far below the loss, in logarithms, is nothing beside Huber's delta.
_NOTHING = -12.0
_BOUNDS = {"log": (_NOTHING, 6.0), "b_N": (1e-3, 5.0), "b_D": (1e-3, 5.0)}
_BOUNDS |= {"b_S": (-5.0, 20.0), "h": (-20.0, 20.0)}


class Form(NamedTuple):
    """One form, with the terms that a table can tell apart.

    Attributes:
        name: a key of `FORMULAS`.
        parameters: the names of the entries of theta. `log_a`, `log_c_S`, `log_data`
            and `log_c` are logarithms of terms at the table's centre, relative to its
            mean loss; `h0`, `h1`, ... are b_N log eff at the knots.
        knots: log(1 - S) where eff is free; the last one is where it is 1.
        centre: the means of log nnz, log data (0 without) and log loss.
    """

    name: str
    parameters: tuple[str, ...]
    knots: tuple[float, ...]
    centre: tuple[float, float, float]

    def __contains__(self, parameter: object) -> bool:
        return parameter in self.parameters


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
            "How the loss depends on the amount of data cannot be told, because it "
            "does not vary: that term is left out, and the plateau contains it."
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


def design(
    form: Form, nnz: np.ndarray, sparsity: np.ndarray, data: np.ndarray | None
) -> np.ndarray:
    """The log of every term as a linear function of theta.

    Args:
        form: with p parameters and K terms.
        nnz: (n,) non-zero weights.
        sparsity: (n,) in [0, 1).
        data: (n,), or None where the form has no term of it.

    Returns:
        (K, n, p).
    """
    x, t = np.log(nnz) - form.centre[0], np.log1p(-np.asarray(sparsity, float))
    capacity: dict[str, np.ndarray | float] = {"log_a": 1.0, "b_N": -x}
    terms = [capacity]
    if form.name == "sparse":
        capacity["b_S"] = t
        if "log_c_S" in form:
            terms.append({"log_c_S": 1.0, "b_N": -x})
    elif form.name == "effective":
        hats = _hats(form, t)
        capacity |= {f"h{i}": -hats[:, i] for i in range(hats.shape[1])}
    if "b_D" in form:
        assert data is not None, "this form needs an amount of data"
        terms.append({"log_data": 1.0, "b_D": form.centre[1] - np.log(data)})
    if "log_c" in form:
        terms.append({"log_c": 1.0})
    features = np.zeros((len(terms), len(x), len(form.parameters)))
    for k, term in enumerate(terms):
        for name, value in term.items():
            features[k, :, form.parameters.index(name)] = value
    return features


def _hats(form: Form, t: np.ndarray) -> np.ndarray:
    """(n, knots - 1) weights of linear interpolation; constant beyond the knots."""
    unit = np.eye(len(form.knots))
    return np.stack([np.interp(t, form.knots, row) for row in unit[:-1]], axis=1)


def log_loss(features: np.ndarray, theta: np.ndarray) -> np.ndarray:
    """The log of the loss relative to the table's mean: (B, n) for theta (B, p)."""
    terms = np.einsum("knp,bp->kbn", features, theta)
    top = terms.max(axis=0)
    return top + np.log(np.exp(terms - top).sum(axis=0))


def predict(
    form: Form,
    theta: np.ndarray,
    nnz: np.ndarray,
    sparsity: np.ndarray,
    data: np.ndarray | None,
) -> np.ndarray:
    """The loss, (B, n), for theta (B, p) at n places."""
    features = design(form, nnz, sparsity, data)
    return np.exp(log_loss(features, np.atleast_2d(theta)) + form.centre[2])


def log_multiplier(form: Form, theta: np.ndarray, sparsity: float) -> np.ndarray:
    """The log of how many times as many weights a dense network needs.

    "Dense" is the lowest sparsity that the table has, the last of `form.knots`.

    Args:
        form: any; the dense form gives 0.
        theta: (B, p).
        sparsity: in [0, 1).

    Returns:
        (B,).
    """
    at = dict(zip(form.parameters, theta.T, strict=True))
    t, last = np.log1p(-sparsity), form.knots[-1] if form.knots else 0.0
    if form.name == "effective":
        h = np.stack([at[f"h{i}"] for i in range(len(form.knots) - 1)], axis=1)
        return h @ _hats(form, np.array([t]))[0] / at["b_N"]
    if form.name == "dense":
        return np.zeros(len(theta))
    floor = at.get("log_c_S", np.full(len(theta), -np.inf))
    here, dense = (np.logaddexp(at["log_a"] + at["b_S"] * s, floor) for s in (t, last))
    return (dense - here) / at["b_N"]


def coefficients(form: Form, theta: np.ndarray) -> dict[str, np.ndarray]:
    """The coefficients as the formula names them, in the units of the table.

    A term at its lower bound is 0; `eff` is at the sparsities of the knots.

    Args:
        form: the fitted form.
        theta: (B, p).

    Returns:
        name -> (B,).
    """
    at = dict(zip(form.parameters, theta.T, strict=True))
    x, d, y = form.centre

    def amount(name: str, shift: np.ndarray | float = 0.0) -> np.ndarray:
        there = at[name] > _NOTHING + 1e-6
        return np.where(there, np.exp(at[name] + y + shift), 0.0)

    shift = at["b_N"] * x
    if form.name == "sparse":
        found = {"a_S": amount("log_a", shift), "b_S": at["b_S"]}
        if "log_c_S" in form:
            found["c_S"] = amount("log_c_S", shift)
        found["b_N"] = at["b_N"]
        if "b_D" in form:
            found["a_D"] = np.exp((at["log_data"] + y) / at["b_D"] + d)
            found["b_D"] = at["b_D"]
        return found | ({"c": amount("log_c")} if "log_c" in form else {})
    found = {"a": amount("log_a", shift), "b": at["b_N"]}
    if "b_D" in form:
        found |= {"c": amount("log_data", at["b_D"] * d), "d": at["b_D"]}
    if "log_c" in form:
        found["e"] = amount("log_c")
    if form.name == "effective":
        for i, knot in enumerate(form.knots[:-1]):
            sparsity = f"{-np.expm1(knot):.4g}"
            found[f"eff({sparsity})"] = np.exp(at[f"h{i}"] / at["b_N"])
    return found


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
