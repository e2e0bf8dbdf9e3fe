"""Pruning at initialisation: SNIP, GraSP, SynFlow and random."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sparse_search.algorithms.grasp import grasp
from sparse_search.algorithms.random import random
from sparse_search.algorithms.snip import snip
from sparse_search.algorithms.synflow import synflow
from sparse_search.errors import UserError
from sparse_search.masks.patterns import FAN_IN

KEY = jax.random.key(0)
RNG = np.random.default_rng(0)
PARAMS = {
    "a": jnp.asarray(RNG.normal(size=(5, 4)), jnp.float32),
    "b": jnp.asarray(RNG.normal(size=(4, 3)), jnp.float32),
    "bias": jnp.zeros(3),
}
COUNTS = {"a": 6, "b": 4, "bias": None}


def largest(scores, count):
    flat = np.sort(np.ravel(scores))[::-1]
    return np.asarray(scores) >= flat[count - 1]


def slope(params):
    return jnp.sum(params["a"] * FACTORS["a"]) + jnp.sum(params["b"] * FACTORS["b"])


FACTORS = {k: jnp.asarray(RNG.normal(size=PARAMS[k].shape)) for k in "ab"}


def test_snip_keeps_the_largest_sensitivities():
    params, state = snip(slope).init(KEY, PARAMS, COUNTS)
    for k in "ab":
        mask = largest(np.abs(FACTORS[k] * PARAMS[k]), COUNTS[k])
        assert (np.asarray(state.masks[k]) == mask).all()
        assert (np.asarray(params[k]) == np.where(mask, PARAMS[k], 0)).all()
    _, state = snip(slope, scope="global").init(KEY, PARAMS, COUNTS)
    scores = [np.abs(FACTORS[k] * PARAMS[k]) for k in "ab"]
    least = np.sort(np.concatenate([s.ravel() for s in scores]))[-10]
    for k, score in zip("ab", scores, strict=True):
        assert (np.asarray(state.masks[k]) == (score >= least)).all()


def test_grasp_keeps_the_largest_weight_times_hessian_gradient():
    curves = {k: np.abs(RNG.normal(size=PARAMS[k].shape)) for k in "ab"}

    def loss(params):  # a diagonal Hessian h: g = h w, H g = h² w, kept is w² h²
        parts = [jnp.sum(curves[k] * params[k] ** 2) / 2 for k in "ab"]
        return sum(parts) + jnp.sum(params["bias"])

    _, state = grasp(loss).init(KEY, PARAMS, COUNTS)
    for k in "ab":
        mask = largest((PARAMS[k] * curves[k]) ** 2, COUNTS[k])
        assert (np.asarray(state.masks[k]) == mask).all()


def test_grasp_prunes_what_reduces_the_gradient_first():
    signs = jnp.array([[1.0, -1.0]])

    def loss(params):  # two weights that pull against each other
        return jnp.sum((params["w"] @ signs.T) ** 2) + jnp.sum(params["w"][:, 0])

    w = {"w": jnp.array([[2.0, 1.0]])}
    g, h = jax.grad(loss)(w)["w"], jax.hessian(lambda x: loss({"w": x}))(w["w"])
    product = np.einsum("ijkl,kl->ij", h, g)
    _, state = grasp(loss).init(KEY, w, {"w": 1})
    assert np.argmax(state.masks["w"]) == np.argmax(w["w"] * product)


def flow(params):
    return jnp.sum(jnp.ones((1, 5)) @ params["a"] @ params["b"]) + params["bias"].sum()


def test_synflow_by_hand():
    _, state = synflow(flow, iterations=1).init(KEY, PARAMS, COUNTS)
    a, b = np.abs(PARAMS["a"]), np.abs(PARAMS["b"])
    scores = {"a": a * b.sum(axis=1), "b": b * a.sum(axis=0)[:, None]}
    np.testing.assert_allclose(scores["a"].sum(), scores["b"].sum(), rtol=1e-5)
    for k in "ab":
        mask = largest(scores[k], COUNTS[k])
        assert (np.asarray(state.masks[k]) == mask).all()


def test_synflow_never_cuts_all_paths():
    # With two weights in all, one pruning of a wide layer could empty the other.
    algorithm = synflow(flow, scope="global")
    for seed in range(5):
        rng = np.random.default_rng(seed)
        params = {
            "a": jnp.asarray(rng.normal(size=(5, 4)) / 30, jnp.float32),
            "b": jnp.asarray(rng.normal(size=(4, 3)), jnp.float32),
            "bias": jnp.zeros(3),
        }
        pruned, state = algorithm.init(KEY, params, {"a": 1, "b": 1, "bias": None})
        assert sum(int(state.masks[k].sum()) for k in "ab") == 2
        assert float(flow(jax.tree.map(jnp.abs, pruned))) > 0


def test_random_pruning_leaves_the_weights_as_they_are():
    params, state = random().init(KEY, PARAMS, COUNTS)
    for k in "ab":
        mask = np.asarray(state.masks[k])
        assert mask.sum() == COUNTS[k]
        assert (np.asarray(params[k])[mask] == np.asarray(PARAMS[k])[mask]).all()
    found = set()
    for seed in range(5):
        _, state = random(scope="global").init(jax.random.key(seed), PARAMS, COUNTS)
        found.add(tuple(int(state.masks[k].sum()) for k in "ab"))
    assert len(found) > 1 and {sum(pair) for pair in found} == {10}


def test_random_pruning_takes_patterns():
    _, state = random(FAN_IN).init(KEY, PARAMS, {"a": 8, "b": 6, "bias": None})
    assert (np.asarray(state.masks["a"]).sum(axis=0) == 2).all()


@pytest.mark.parametrize("make, what", [(snip, "loss"), (synflow, "output")])
def test_what_is_missing_is_said(make, what):
    with pytest.raises(UserError, match=f"needs {what}, a function of the parameters"):
        make().init(KEY, PARAMS, COUNTS)
