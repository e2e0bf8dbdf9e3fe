"""Initial weights that nothing makes up for: as they were drawn for dense layers."""

import jax
import numpy as np
import pytest

from sparse_search import algorithms, trees
from sparse_search.algorithms.base import as_drawn

MADE = {
    name: algorithms.complete(make, drop_fraction=0.3, until=100, every=10)
    for name, make in algorithms.CONSTRUCTORS.items()
    if name != "dense"
}
SCALED = [name for name, made in MADE.items() if made.begins != "weights"]

PARAMS = {
    "Dense_0": {"kernel": jax.random.normal(jax.random.key(1), (40, 30))},
    "Dense_1": {
        "kernel": jax.random.normal(jax.random.key(2), (30, 20)),
        "bias": jax.random.normal(jax.random.key(3), (20,)),
    },
}
COUNTS = {"Dense_0": {"kernel": 240}, "Dense_1": {"kernel": 150, "bias": None}}


@pytest.mark.parametrize("name", SCALED)
def test_the_masks_are_the_same_and_the_weights_as_drawn(name):
    key = jax.random.key(0)
    ours, state = as_drawn(MADE[name]).init(key, PARAMS, COUNTS)
    scaled, other = MADE[name].init(key, PARAMS, COUNTS)
    jax.tree.map(np.testing.assert_array_equal, state, other)
    drawn = trees.apply_masks(PARAMS, state.masks)
    jax.tree.map(np.testing.assert_array_equal, ours, drawn)
    assert (scaled["Dense_1"]["bias"] == ours["Dense_1"]["bias"]).all()
    for layer in PARAMS:
        mask = np.asarray(trees.stored(state.masks[layer]["kernel"]))
        factor = np.sqrt(len(mask) / np.maximum(mask.sum(axis=0), 1))
        if name == "random":  # prunes at initialisation, and never scales
            factor = 1
        expected = np.asarray(ours[layer]["kernel"]) * factor
        np.testing.assert_allclose(scaled[layer]["kernel"], expected, 1e-6)


def test_those_that_do_not_scale_are_left_alone():
    kept = {name for name in MADE if as_drawn(MADE[name]) is MADE[name]}
    assert kept == set(MADE) - set(SCALED)
    assert {"set", "rigl", "snfs", "dsr", "srigl", "cht"} <= set(SCALED)
    assert {"snip", "magnitude", "top_kast"} <= kept
