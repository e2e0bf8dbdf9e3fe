"""Algorithms of a user's own, named in a config as `their_algorithms:factory`."""

import os

from sparse_search.algorithms.static import static


def still(drop_fraction, until, select):
    """One that works."""
    return static(select)


def broken(drop_fraction, until, select):
    """One whose first step fails, until it is repaired."""

    def filter_grads(grads, params, state):
        if not os.environ.get("REPAIRED"):
            raise ValueError("this algorithm is broken")
        return static(select).filter_grads(grads, params, state)

    return static(select)._replace(filter_grads=filter_grads)


def deadly(drop_fraction, until, select):
    """One that takes its worker with it, as running out of memory would."""

    def filter_grads(grads, params, state):
        os._exit(1)

    return static(select)._replace(filter_grads=filter_grads)
