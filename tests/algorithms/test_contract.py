"""Every algorithm keeps the contract, and the suite notices one that does not."""

import functools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import their_growth

from sparse_search import build, trees
from sparse_search.algorithms.base import Info
from sparse_search.algorithms.rigl import rigl
from sparse_search.algorithms.set_ import set_
from sparse_search.config import Optimizer
from sparse_search.errors import UserError
from sparse_search.masks.patterns import UNSTRUCTURED, by_name
from sparse_search.testing import algorithms as suite
from sparse_search.testing.programs import scope_outside_cond
from sparse_search.testing.subject import Subject
from sparse_search.train import optimizer

pytestmark = pytest.mark.filterwarnings("ignore:`optimistic_adam`:DeprecationWarning")


@functools.cache
def subject(name):
    return Subject(build.ALGORITHMS[name])


@pytest.mark.parametrize("name", suite.NOT_WALKED)
def test_an_optimizer_that_cannot_be_walked_is_refused(name):
    with pytest.raises(UserError, match=name):
        optimizer.check(Optimizer(name=name, options={}))


# What differs in what becomes of optimizer states: weights that are exchanged, given
# back their states, or updated where the forward pass does not see them; and none.
WITH_EVERY_OPTIMIZER = ("rigl", "ac_dc", "top_kast", "dense")
WALKED = [
    pytest.param(name, check, id=f"{name}-{check.__name__}")
    for name in build.ALGORITHMS
    for check in suite.CHECKS
    if check is not suite.check_optimizers or name in WITH_EVERY_OPTIMIZER
]


@pytest.mark.parametrize("name, check", WALKED)
def test_contract(name, check):
    check(subject(name))


OPTIONS = {
    "rigl, summed gradients": ("rigl", {"batches": 2}),
    "rigl, candidates": ("rigl", {"candidates": 1.5}),
    "mest, soft bound": ("mest", {"soft_bound": 0.2}),
    "granet, global": ("granet", {"scope": "global"}),
    "gradual, lamp": ("gradual", {"scope": "lamp"}),
    "magnitude, global": ("magnitude", {"scope": "global"}),
    "lottery, early weights": ("lottery", {"scope": "global", "rewind_to": 0.01}),
    "snip, global": ("snip", {"scope": "global"}),
    "synflow, global": ("synflow", {"scope": "global", "iterations": 5}),
}
QUICK = (suite.check_init, suite.check_training, suite.check_end, suite.check_lanes)


@pytest.mark.parametrize("name", OPTIONS)
def test_contract_with_options(name):
    method, options = OPTIONS[name]
    with_options = Subject(build.ALGORITHMS[method], **options)
    for check in QUICK:
        check(with_options)


PATTERNS = [
    *[("rigl", p) for p in ("2:4", "n:2@out", "fan_in", "channel", "block3x2")],
    *[("gradual", p) for p in ("2:4", "fan_in", "block3x2")],
    ("top_kast", "2:4"),
]


@pytest.mark.parametrize("method, name", PATTERNS)
def test_contract_with_patterns(method, name):
    pattern = by_name(name)
    params = {"a": PARAMS["kernel"][:, :4].repeat(2, axis=0)[:8], "b": jnp.ones(4)}
    counts = [{"a": pattern.reach((8, 4), 18), "b": None}]
    of_pattern = Subject(
        build.ALGORITHMS[method], params=params, counts=counts, pattern=pattern
    )
    for check in QUICK:
        # Lanes of every pattern are in tests/masks; here, once with every algorithm.
        if check is not suite.check_lanes or name == "2:4":
            check(of_pattern)


def test_contract_in_bfloat16():
    params = jax.tree.map(lambda p: p.astype(jnp.bfloat16), PARAMS)
    make = build.ALGORITHMS["rigl"]
    suite.check_training(Subject(make, params=params, counts=COUNTS))


def test_one_call_checks_params_and_counts_of_the_user():
    params = {"a": jnp.ones((7, 6)), "b": jnp.ones(6)}
    make = build.ALGORITHMS["static"]
    suite.check_algorithm(make, params=params, counts=[{"a": 5, "b": None}])
    with pytest.raises(AssertionError, match=r"asked for .*43.* and made .*42"):
        suite.check_algorithm(make, params=params, counts=[{"a": 43, "b": None}])


def test_a_stranger_s_algorithm_passes():
    source = Path(their_growth.__file__).read_text()
    assert len(source.splitlines()) < 100
    suite.check_algorithm(their_growth.factory)


# One small layer, so that every broken algorithm compiles in a moment.
PARAMS = {
    "kernel": jnp.asarray(np.random.default_rng(1).normal(size=(7, 6)), "float32")
}
COUNTS = [{"kernel": 20}]
GOOD = rigl(schedule="constant")


def broken(algorithm=GOOD, **functions):
    algorithm = algorithm._replace(**functions)
    return Subject(lambda: algorithm, params=PARAMS, counts=COUNTS)


def changed(name, change):
    """The good algorithm with one function's outputs changed."""
    return broken(**{name: lambda *args: change(*getattr(GOOD, name)(*args))})


def everywhere(tree, value):
    return jax.tree.map(lambda x: jnp.full_like(x, value), tree)


def first_off(state):
    """A state with one stored entry less."""
    mask = state.masks["kernel"].ravel()
    mask = mask.at[jnp.argmax(mask)].set(False).reshape(PARAMS["kernel"].shape)
    return state._replace(masks={"kernel": mask})


def grown_ones(key, params, grads, state):
    new, after, info = GOOD.rewire(key, params, grads, state)
    came = after.masks["kernel"] & ~state.masks["kernel"]
    return {"kernel": jnp.where(came, 1.0, new["kernel"])}, after, info


def loses_one(key, params, grads, state):
    _, after, _ = GOOD.rewire(key, params, grads, state)
    after = first_off(after)
    old, new = state.masks["kernel"], after.masks["kernel"]
    info = Info({"kernel": jnp.sum(old & ~new)}, {"kernel": jnp.sum(new & ~old)})
    return trees.apply_masks(params, after.masks), after, info


def same_key(key, *args):
    return UNSTRUCTURED.exchange(jax.random.key(7), *args)


@jax.custom_batching.custom_vmap
def one(x):
    return x


@one.def_vmap
def _(size, batched, x):
    return jnp.roll(x, 1, axis=0), True


BROKEN = {
    "init leaves parameters dense": (
        suite.check_init,
        lambda: broken(init=lambda k, p, c: (p, GOOD.init(k, p, c)[1])),
        "parameters of kernel are not zero at 22",
    ),
    "init is one short": (
        suite.check_init,
        lambda: changed("init", lambda p, s: (p, first_off(s))),
        "asked for {'kernel': 20} and made {'kernel': 19}",
    ),
    "the view is dense": (
        suite.check_init,
        lambda: broken(view=lambda p, s: everywhere(p, 1.0)),
        "the view of kernel",
    ),
    "gradients are not masked": (
        suite.check_training,
        lambda: broken(filter_grads=lambda g, p, s: (g, s)),
        "the filtered gradients of kernel",
    ),
    "dropped weights stay": (
        suite.check_training,
        lambda: broken(
            rewire=lambda k, p, g, s: (everywhere(p, 1), *GOOD.rewire(k, p, g, s)[1:])
        ),
        "parameters of kernel are not zero at 22",
    ),
    "grown weights are not zero": (
        suite.check_training,
        lambda: broken(rewire=grown_ones),
        "of the weights that grew in kernel are not 0",
    ),
    "a rewire loses a connection": (
        suite.check_training,
        lambda: broken(rewire=loses_one),
        "nnz per layer from {'kernel': 20} to {'kernel': 19}",
    ),
    "what was exchanged is told wrong": (
        suite.check_training,
        lambda: changed(
            "rewire", lambda p, s, i: (p, s, Info(everywhere(i.dropped, 3), i.grown))
        ),
        "info.dropped of kernel is 3, in fact",
    ),
    "a step loses a connection": (
        suite.check_training,
        lambda: changed("filter_grads", lambda g, s: (g, first_off(s))),
        "changed nnz",
    ),
    "the key is not looked at": (
        suite.check_seeds,
        lambda: broken(set_(pattern=UNSTRUCTURED._replace(exchange=same_key))),
        "four keys grew the same",
    ),
    "the state changes type": (
        suite.check_compiles_once,
        lambda: changed(
            "filter_grads", lambda g, s: (g, s._replace(step=s.step + 0.5))
        ),
        "traced more than once",
    ),
    "lanes see each other": (
        suite.check_lanes,
        lambda: changed("init", lambda p, s: (jax.tree.map(one, p), s)),
        "lane 0 of init is no single run",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_algorithm_is_noticed(name):
    check, make, message = BROKEN[name]
    with pytest.raises(AssertionError) as error:
        check(make())
    assert message in str(error.value)


def test_an_optimizer_is_named_that_breaks_the_contract(monkeypatch):
    # The reset of a rewire is the training step's; without it the suite must fail.
    monkeypatch.setattr(suite.optimizers, "names", lambda: ["sgd", "adam"])
    monkeypatch.setattr(trees, "map_belonging", lambda f, s, p, state, new: state)
    with pytest.raises(AssertionError, match="with optax.adam, the optimizer state"):
        suite.check_optimizers(broken())


def test_a_cond_that_became_a_select_is_seen():
    def step(due, x):
        return jax.lax.cond(due, rewire, lambda x: x, x)

    def rewire(x):
        with jax.named_scope("mark"):
            return jnp.sort(x) + 1

    xs, due = jnp.zeros((2, 3)), jnp.array([True, False])
    single = jax.make_jaxpr(step)(True, xs[0]).jaxpr
    lanes = jax.make_jaxpr(jax.vmap(step))(due, xs).jaxpr
    assert scope_outside_cond(single, "mark") == (2, 0)
    assert scope_outside_cond(lanes, "mark") == (0, 2)
