"""A 3 × 4 layer that every rewire can be followed on by hand."""

import jax
import jax.numpy as jnp
import numpy as np

from sparse_search.algorithms.base import MaskState

WEIGHTS = np.array(
    [[0.9, 0.0, -0.1, 0.0], [0.0, 0.2, 0.0, -0.8], [0.3, 0.0, 0.0, 0.7]], np.float32
)
GRADS = np.array(
    [[9.0, 1.0, 5.0, -4.0], [-6.0, 8.0, 0.5, 9.0], [2.0, 3.0, -7.0, 9.0]], np.float32
)


def state_of(mask, step=0):
    return MaskState(mask, jnp.int32(step))


def jit_rewire(make):
    """`(key, weights, grads, mask, fraction) -> (weights, mask, dropped, grown)`."""

    @jax.jit
    def rewired(key, weights, grads, mask, fraction):
        state = state_of(mask)
        weights, state, info = make(fraction).rewire(key, weights, grads, state)
        return weights, state.masks, info.dropped, info.grown

    def rewire(weights=WEIGHTS, grads=GRADS, mask=None, *, fraction, seed=0):
        mask = np.asarray(weights) != 0 if mask is None else mask
        found = rewired(jax.random.key(seed), weights, grads, mask, fraction)
        weights, mask, *counts = map(np.asarray, found)
        return weights, mask, *map(int, counts)

    return rewire
