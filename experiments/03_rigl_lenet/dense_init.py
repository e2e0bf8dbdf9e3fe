"""RigL on weights as they were drawn for dense layers, as in the code of the paper."""

from sparse_search import trees
from sparse_search.algorithms.rigl import rigl as scaled


def rigl(drop_fraction, until, every, pattern):
    """RigL without the scaling of initial weights to the fan-in of their masks."""
    algorithm = scaled(drop_fraction, until, every, pattern)

    def init(key, params, counts):
        _, state = algorithm.init(key, params, counts)
        return trees.apply_masks(params, state.masks), state

    return algorithm._replace(init=init)
