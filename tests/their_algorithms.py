"""Algorithms of a user's own, named in a config as `their_algorithms:factory`."""

import os
import time
from pathlib import Path

import jax
import jax.numpy as jnp

from sparse_search.algorithms.base import no_rewire
from sparse_search.algorithms.static import static


def still(drop_fraction, until, pattern):
    """One that works."""
    return static(pattern)


def broken(drop_fraction, until, pattern):
    """One whose first step fails, until it is repaired."""

    def filter_grads(grads, params, state):
        if not os.environ.get("REPAIRED"):
            raise ValueError("this algorithm is broken")
        return static(pattern).filter_grads(grads, params, state)

    return static(pattern)._replace(filter_grads=filter_grads)


def deadly(drop_fraction, until, pattern):
    """One that takes its worker with it, as running out of memory would."""

    def filter_grads(grads, params, state):
        os._exit(1)

    return static(pattern)._replace(filter_grads=filter_grads)


def stuck(drop_fraction, until, pattern):
    """One that hangs, the first time."""

    def filter_grads(grads, params, state):
        marker = Path(os.environ["MARKER"])
        if not marker.exists():
            marker.touch()
            time.sleep(3600)
        return static(pattern).filter_grads(grads, params, state)

    return static(pattern)._replace(filter_grads=filter_grads)


def greedy(drop_fraction, until, pattern):
    """One that says it keeps the weights of every layer, and stores all of them."""

    def rewire(key, params, grads, state):
        masks = jax.tree.map(jnp.ones_like, state.masks)
        return params, state._replace(masks=masks), no_rewire(key, 0, 0, state)[2]

    return static(pattern)._replace(rewire=rewire)


def five(drop_fraction, until, pattern):
    """No algorithm at all."""
    return 5
