"""Hashes of the masks after some rewires, for comparing one machine with another."""

import hashlib

import jax
import jax.numpy as jnp
import numpy as np

from sparse_search.algorithms import CONSTRUCTORS, complete
from sparse_search.masks.patterns import FAN_IN, UNSTRUCTURED

SHAPE = (64, 48)
CASES = [
    ("set", UNSTRUCTURED),
    ("rigl", UNSTRUCTURED),
    ("snfs", UNSTRUCTURED),
    ("granet", UNSTRUCTURED),
    ("rigl", FAN_IN),
    ("srigl", UNSTRUCTURED),
]


def place(tree):
    """Rows over four devices and columns over two."""
    axes = (jax.sharding.AxisType.Auto,) * 2
    mesh = jax.make_mesh((4, 2), ("rows", "columns"), axis_types=axes)
    spec = jax.sharding.PartitionSpec("rows", "columns")
    return jax.device_put(tree, jax.sharding.NamedSharding(mesh, spec))


def digest(sharded=False):
    """A hash for every case; scores are small integers, so that ties abound."""
    assert jax.device_count() == (8 if sharded else 1)
    rng = np.random.default_rng(0)
    put = place if sharded else jnp.asarray
    params = {"kernel": put(rng.integers(-4, 5, SHAPE).astype(np.float32))}
    grads = [
        {"kernel": put(rng.integers(-3, 4, SHAPE).astype(np.float32))} for _ in range(4)
    ]
    found = []
    for name, pattern in CASES:
        made = complete(CONSTRUCTORS[name], until=10, every=2, pattern=pattern)
        weights, state = jax.jit(made.init)(
            jax.random.key(1), params, {"kernel": 12 * SHAPE[1]}
        )
        rewire = jax.jit(made.rewire)
        for step, grad in enumerate(grads):
            weights = {"kernel": jnp.round(weights["kernel"])}
            weights, state, _ = rewire(jax.random.key(step), weights, grad, state)
        mask = np.asarray(state.masks["kernel"])
        found.append(hashlib.sha256(mask.tobytes()).hexdigest()[:16])
    return found
