"""A stranger's algorithm in one file: grow where both ends of a connection are busy.

Every rewire drops the smallest weights, as SET does, and grows connections between the
inputs and the neurons with the largest sums of gradient magnitudes, a product that
needs no memory of its own.
"""

import jax.numpy as jnp

from sparse_search import trees
from sparse_search.algorithms import schedules
from sparse_search.algorithms.base import exchanged_info
from sparse_search.algorithms.static import static
from sparse_search.masks import counting


def factory(drop_fraction, until, pattern):
    """What a config names as `their_growth:factory`."""
    fraction = schedules.cosine(drop_fraction, until)

    def busy(grad):
        size = jnp.abs(grad)
        inputs = jnp.sum(size, axis=-1, keepdims=True)
        neurons = jnp.sum(size, axis=tuple(range(size.ndim - 1)), keepdims=True)
        return inputs * neurons

    def rewire(key, params, grads, state):
        share = fraction(state.step)

        def layer(key, mask, weight, grad):
            count = counting.count(mask)
            kept = count - jnp.round(share * count).astype(jnp.int32)
            size = jnp.abs(weight)
            return pattern.exchange(key, mask, size, kept, busy(grad), count)

        masks = trees.map_sparse_with_key(layer, key, state.masks, params, grads)
        info = exchanged_info(state.masks, masks)
        new = state._replace(masks=masks, step=state.step + 1)
        return trees.apply_masks(params, masks), new, info

    return static(pattern)._replace(rewire=rewire, dense_gradient="rewire")
