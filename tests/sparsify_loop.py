"""A small network and the loop of the README, for the tests of `sparsify`."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

import sparse_search
from sparse_search import algorithms, trees
from sparse_search.transform import sparsify

RNG = np.random.default_rng(0)
PARAMS = {
    "params": {
        "Dense_0": {
            "kernel": jnp.asarray(RNG.normal(size=(12, 9)), jnp.float32),
            "bias": jnp.zeros(9),
        },
        "Dense_1": {"kernel": jnp.asarray(RNG.normal(size=(9, 5)), jnp.float32)},
    }
}
X = jnp.asarray(RNG.normal(size=(16, 12)), jnp.float32)
Y = jnp.asarray(RNG.integers(0, 5, 16))
RIGL = algorithms.rigl(drop_fraction=0.3)
EVERY = 3


def loss(params, x=X, y=Y):
    first, second = params["params"]["Dense_0"], params["params"]["Dense_1"]
    hidden = jax.nn.relu(x @ first["kernel"] + first["bias"])
    logits = hidden @ second["kernel"]
    return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()


def make(optimizer=None, algorithm=RIGL, **more):
    more = {"density": 0.3, "rewire_every": EVERY, "rewire_until": 100, **more}
    return sparsify(optimizer or optax.adam(0.01), algorithm, **more)


def begin(tx, params=PARAMS):
    state = tx.init(params)
    return sparse_search.apply_masks(params, state), state


def linear_loss(params):
    """Of one layer, which compiles in half of the time."""
    layer = params["params"]["Dense_0"]
    logits = X @ layer["kernel"] + layer["bias"]
    return optax.softmax_cross_entropy_with_integer_labels(logits, Y).mean()


def train(tx, params, state, steps, loss=loss):
    """The loop of the README; every step is checked."""

    @jax.jit
    def step(params, state):
        grads = jax.grad(loss)(sparse_search.view(params, state))
        updates, state = tx.update(grads, state, params)
        return optax.apply_updates(params, updates), state

    nnz = counts(state)
    for _ in range(steps):
        params, state = step(params, state)
        check(params, state)
        assert counts(state) == nnz
    return params, state


def masks(state):
    found = trees.named_leaves(sparse_search.masks_of(state))
    return {k: np.asarray(m) for k, m in found.items() if m is not None}


def counts(state):
    return {name: int(mask.sum()) for name, mask in masks(state).items()}


def check(params, state):
    for name, mask in masks(state).items():
        off = np.asarray(trees.named_leaves(params)[name])[~mask]
        assert not off.any() and not (off.size and np.signbit(off).all()), name
