"""Many small robust fits at once: every start and every resample in one batch."""

from typing import NamedTuple

import numpy as np

DELTA = 1e-3
_STEPS = 400
_TOLERANCE = 1e-9
_PATIENCE = 5
_NUMBERS = 1e6  # in a batch, which then stays in a cache


def huber(error: np.ndarray, delta: float = DELTA) -> np.ndarray:
    """Huber's loss: quadratic up to `delta`, linear beyond (Huber 1964)."""
    size = np.abs(error)
    return np.where(size > delta, delta * (size - delta / 2), size**2 / 2)


def minimise(
    features: np.ndarray,
    target: np.ndarray,
    weights: np.ndarray,
    start: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Minimises weighted means of Huber losses of logsumexp models.

    Levenberg and Marquardt's method on reweighted squares, which touch the Huber loss
    from above, so that a step that is taken never makes it larger. A parameter on a
    bound rests where the loss falls beyond it. Problems leave the batch as they end.

    Args:
        features: (K, n, p), the terms' logs are features @ theta.
        target: (n,) what their logsumexp shall be.
        weights: (B, n) of the rows, in each of B problems; 0 leaves a row out.
        start: (B, p).
        low: (p,) bounds.
        high: (p,) bounds.

    Returns:
        theta (B, p), and the mean losses (B,).
    """
    at_once = max(1, int(_NUMBERS // features.size))
    parts = [
        _minimise(
            features,
            target,
            weights[i : i + at_once],
            start[i : i + at_once],
            low,
            high,
        )
        for i in range(0, len(start), at_once)
    ]
    theta, values = zip(*parts, strict=True)
    return np.concatenate(theta), np.concatenate(values)


def _minimise(
    features: np.ndarray,
    target: np.ndarray,
    weights: np.ndarray,
    start: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    weights = weights / weights.sum(axis=1, keepdims=True)
    terms = _terms(features)
    theta = np.clip(start, low, high)
    damping = np.full(len(theta), 1e-2)
    idle = np.zeros(len(theta), int)
    error, slopes = _evaluate(terms, target, theta)
    values = (weights * huber(error)).sum(axis=1)
    left = np.arange(len(theta))
    for _ in range(_STEPS):
        if not len(left):
            break
        step = _step(
            error, slopes, weights[left], theta[left], damping[left], low, high
        )
        trial = np.clip(theta[left] + step, low, high)
        new_error, new_slopes = _evaluate(terms, target, trial)
        new = (weights[left] * huber(new_error)).sum(axis=1)
        better = new < values[left]
        gain = np.where(better, values[left] - new, 0.0)
        small = gain <= _TOLERANCE * values[left] + 1e-18
        idle[left] = np.where(small, idle[left] + 1, 0)
        damping[left] *= np.where(better, 0.2, 6.0)
        damping[left] = np.clip(damping[left], 1e-10, 1e12)
        theta[left] = np.where(better[:, None], trial, theta[left])
        values[left] = np.where(better, new, values[left])
        # What got worse keeps what it had.
        new_error[~better], new_slopes[~better] = error[~better], slopes[~better]
        error, slopes = new_error, new_slopes
        on = idle[left] < _PATIENCE
        if not on.all():
            left, error, slopes = left[on], error[on], slopes[on]
    return theta, values


class _Terms(NamedTuple):
    """The features as a step needs them.

    Attributes:
        count: K.
        joined: (p, K n), for one product of matrices.
        used: the terms and parameters that have any feature, with it: (k, j, (n,)).
    """

    count: int
    joined: np.ndarray
    used: list[tuple[int, int, np.ndarray]]


def _terms(features: np.ndarray) -> _Terms:
    count, rows, parameters = features.shape
    used = [
        (k, j, np.ascontiguousarray(features[k, :, j]))
        for k in range(count)
        for j in range(parameters)
        if features[k, :, j].any()
    ]
    joined = np.ascontiguousarray(features.reshape(count * rows, parameters).T)
    return _Terms(count, joined, used)


def _evaluate(
    terms: _Terms, target: np.ndarray, theta: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The errors (B, n) and their derivatives (B, p, n)."""
    parts = (theta @ terms.joined).reshape(len(theta), terms.count, len(target))
    top = parts.max(axis=1, keepdims=True)
    parts -= top
    np.exp(parts, out=parts)
    total = parts.sum(axis=1, keepdims=True)
    error = (top + np.log(total))[:, 0] - target
    parts /= total
    slopes = np.zeros((len(theta), theta.shape[1], len(target)))
    for k, j, feature in terms.used:
        slopes[:, j] += parts[:, k] * feature
    return error, slopes


def _step(
    error: np.ndarray,
    slopes: np.ndarray,
    weights: np.ndarray,
    theta: np.ndarray,
    damping: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
) -> np.ndarray:
    factor = weights * np.minimum(1.0, DELTA / np.maximum(np.abs(error), 1e-300))
    weighted = slopes * factor[:, None]
    gradient = (weighted @ error[:, :, None])[:, :, 0]
    square = weighted @ np.swapaxes(slopes, 1, 2)
    rests = ((theta <= low) & (gradient > 0)) | ((theta >= high) & (gradient < 0))
    free = ~rests
    square = square * (free[:, :, None] & free[:, None, :])
    gradient = gradient * free
    diagonal = np.einsum("bpp->bp", square)
    scale = diagonal.max(axis=1, keepdims=True) * 1e-9 + 1e-300
    added = damping[:, None] * (diagonal + scale) + scale + rests
    index = np.arange(theta.shape[1])
    square[:, index, index] += added
    return -np.linalg.solve(square, gradient[:, :, None])[:, :, 0]
