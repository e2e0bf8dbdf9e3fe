"""Random layers, and what NumPy makes of them in float64."""

import jax.numpy as jnp
import numpy as np

from sparse_search.sparse import formats, products


def random_mask(rng, shape, density):
    """A mask with empty rows and columns among the others."""
    mask = rng.random(shape) < density
    mask[rng.integers(shape[0])] = False
    mask[:, rng.integers(shape[1])] = False
    return mask


def random_layer(rng, shape, density, kind):
    """A layer with some room to spare, and its weights as a dense array."""
    mask = random_mask(rng, shape, density)
    topology = formats.from_mask(mask, min(int(mask.sum()) + 5, mask.size))
    nnz = int(topology.nnz)
    values = np.zeros(topology.capacity, kind)
    values[:nnz] = rng.standard_normal(nnz)
    dense = np.zeros(shape)
    dense[formats.host_positions(topology)] = values[:nnz]
    bias = rng.standard_normal(shape[1]).astype(kind)
    layer = products.Layer(topology, jnp.asarray(values), jnp.asarray(bias))
    return layer, dense


def by_numpy(weights, biases, x, dy, relu):
    """Output, and gradients of weights, biases and x, of layers with ReLU between."""
    out, last = [np.asarray(x, np.float64)], len(weights) - 1
    for number, (w, b) in enumerate(zip(weights, biases, strict=True)):
        y = w.T @ out[-1] + np.asarray(b, np.float64)[:, None]
        out.append(np.maximum(y, 0) if relu or number < last else y)
    g = np.asarray(dy, np.float64)
    dw, db, factors = [], [], []
    for number in reversed(range(len(weights))):
        if relu or number < last:
            g = g * (out[number + 1] > 0)
        dw.insert(0, out[number] @ g.T)
        db.insert(0, g.sum(axis=1))
        factors.insert(0, (out[number], g))
        g = weights[number] @ g
    return out[-1], dw, db, g, factors
