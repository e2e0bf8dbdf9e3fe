"""Scaling laws of sparse networks: three forms of the loss, and one way to fit them.

    sparse     L = (a_S (1 - S)^b_S + c_S) N^-b_N + (a_D / D)^b_D + c
    effective  L = a / (N eff(S))^b + c / D^d + e
    dense      L = a / N^b + c / D^d + e

of the non-zero weights N, the sparsity S and the amount of training data D. The first
is the law of Frantar et al. 2023 (arXiv:2309.08520). In the second a sparse network
counts as a dense one of N eff(S) weights; log eff(S) is a free, piecewise linear
function of log(1 - S). The third says that only N matters: a power law with a plateau
(Hoffmann et al. 2022, arXiv:2203.15556).

Every form is a sum of positive terms, each the exponential of something linear in the
parameters, so that one fit (`scaling_fit`) serves all: the logarithm of the predicted
loss is a logsumexp.
"""

from typing import NamedTuple

import numpy as np

# A term this far below the loss, in logarithms, is nothing beside the fit's accuracy.
NOTHING = -12.0


class Form(NamedTuple):
    """One form, with the terms that a table can tell apart.

    Attributes:
        name: sparse, effective or dense.
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

    def has(self, parameter: str) -> bool:
        """Whether the table can tell this parameter."""
        return parameter in self.parameters


def formula(form: Form) -> str:
    """The form as it is written, without the terms that the table cannot tell."""
    if form.name == "sparse":
        floor = " + c_S" if form.has("log_c_S") else ""
        parts = [f"(a_S (1 - S)^b_S{floor}) N^-b_N", "(a_D / D)^b_D", "c"]
    else:
        weights = "(N eff(S))" if form.name == "effective" else "N"
        parts = [f"a / {weights}^b", "c / D^d", "e"]
    there = (True, form.has("b_D"), form.has("log_c"))
    return "L = " + " + ".join(p for p, told in zip(parts, there, strict=True) if told)


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
        if form.has("log_c_S"):
            terms.append({"log_c_S": 1.0, "b_N": -x})
    elif form.name == "effective":
        hats = _hats(form, t)
        capacity |= {f"h{i}": -hats[:, i] for i in range(hats.shape[1])}
    if form.has("b_D"):
        assert data is not None, "this form needs an amount of data"
        terms.append({"log_data": 1.0, "b_D": form.centre[1] - np.log(data)})
    if form.has("log_c"):
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
        there = at[name] > NOTHING + 1e-6
        return np.where(there, np.exp(at[name] + y + shift), 0.0)

    shift = at["b_N"] * x
    if form.name == "sparse":
        found = {"a_S": amount("log_a", shift), "b_S": at["b_S"]}
        if form.has("log_c_S"):
            found["c_S"] = amount("log_c_S", shift)
        found["b_N"] = at["b_N"]
        if form.has("b_D"):
            found["a_D"] = np.exp((at["log_data"] + y) / at["b_D"] + d)
            found["b_D"] = at["b_D"]
        return found | ({"c": amount("log_c")} if form.has("log_c") else {})
    found = {"a": amount("log_a", shift), "b": at["b_N"]}
    if form.has("b_D"):
        found |= {"c": amount("log_data", at["b_D"] * d), "d": at["b_D"]}
    if form.has("log_c"):
        found["e"] = amount("log_c")
    if form.name == "effective":
        for i, knot in enumerate(form.knots[:-1]):
            sparsity = f"{-np.expm1(knot):.4g}"
            found[f"eff({sparsity})"] = np.exp(at[f"h{i}"] / at["b_N"])
    return found
