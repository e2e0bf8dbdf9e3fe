"""Many small robust fits at once: every start and every resample in one batch."""

import numpy as np

DELTA = 1e-3
_STEPS = 400
_TOLERANCE = 1e-9
_PATIENCE = 5
_NUMBERS = 1e7  # in a batch, so that many rows do not need much memory


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
    theta = np.clip(start, low, high)
    damping = np.full(len(theta), 1e-2)
    idle = np.zeros(len(theta), int)
    error, slopes = _evaluate(features, target, theta)
    values = (weights * huber(error)).sum(axis=1)
    left = np.arange(len(theta))
    for _ in range(_STEPS):
        if not len(left):
            break
        step = _step(
            error, slopes, weights[left], theta[left], damping[left], low, high
        )
        trial = np.clip(theta[left] + step, low, high)
        new_error, new_slopes = _evaluate(features, target, trial)
        new = (weights[left] * huber(new_error)).sum(axis=1)
        better = new < values[left]
        gain = np.where(better, values[left] - new, 0.0)
        small = gain <= _TOLERANCE * values[left] + 1e-18
        idle[left] = np.where(small, idle[left] + 1, 0)
        damping[left] *= np.where(better, 0.2, 6.0)
        damping[left] = np.clip(damping[left], 1e-10, 1e12)
        theta[left] = np.where(better[:, None], trial, theta[left])
        values[left] = np.where(better, new, values[left])
        error = np.where(better[:, None], new_error, error)
        slopes = np.where(better[:, None, None], new_slopes, slopes)
        on = idle[left] < _PATIENCE
        left, error, slopes = left[on], error[on], slopes[on]
    return theta, values


def _evaluate(
    features: np.ndarray, target: np.ndarray, theta: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The errors (B, n) and their derivatives (B, n, p)."""
    terms = np.einsum("knp,bp->bkn", features, theta)
    top = terms.max(axis=1, keepdims=True)
    parts = np.exp(terms - top)
    total = parts.sum(axis=1, keepdims=True)
    error = (top + np.log(total))[:, 0] - target
    return error, np.einsum("bkn,knp->bnp", parts / total, features)


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
    weighted = slopes * factor[:, :, None]
    gradient = np.einsum("bnp,bn->bp", weighted, error)
    square = np.swapaxes(weighted, 1, 2) @ slopes
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
