"""One line in someone else's loop: every algorithm, pattern, layer and argument."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from sparsify_loop import (
    EVERY,
    PARAMS,
    RNG,
    begin,
    check,
    counts,
    loss,
    make,
    masks,
    train,
)

import sparse_search
from sparse_search import algorithms, trees
from sparse_search.errors import UserError
from sparse_search.masks import patterns
from sparse_search.transform import find

pytestmark = pytest.mark.filterwarnings("ignore:`optimistic_adam`:DeprecationWarning")


def test_stacked_layers_are_counted_as_the_layers_they_are():
    params = {
        "scan": {"kernel": jnp.asarray(RNG.normal(size=(3, 8, 6)), jnp.float32)},
        "out": {"kernel": jnp.ones((6, 2)), "bias": jnp.zeros(2)},
    }

    def stacked(name, shape):
        return name.startswith("scan")

    tx = make(density=0.25, stacked=stacked, allocation="uniform")
    params, state = begin(tx, params)
    mask = sparse_search.masks_of(state)["scan"]["kernel"]
    assert mask.shape == (3, 8, 6)
    assert mask.sum(axis=(1, 2)).tolist() == [12, 12, 12]
    named = {"scan/kernel/0": 5, "scan/kernel/2": 7}
    tx = make(density=None, counts=named, stacked=stacked)
    params, state = begin(tx, params)
    mask = sparse_search.masks_of(state)["scan"]["kernel"]
    assert mask.sum(axis=(1, 2)).tolist() == [5, 8 * 6, 7]


def test_stacked_layers_train_as_single_ones():
    stack = jnp.asarray(RNG.normal(size=(2, 5, 5)), jnp.float32)
    together = {"kernel": stack}
    apart = {"kernel": [stack[0], stack[1]]}
    tx = make(density=0.4, stacked=lambda name, shape: True)
    other = make(density=0.4)
    state, expected = tx.init(together), other.init(apart)
    params = sparse_search.apply_masks(together, state)
    singles = sparse_search.apply_masks(apart, expected)

    def loss(layers):
        return sum(jnp.sum(jnp.sin(w + i)) for i, w in enumerate(layers))

    for _ in range(2 * EVERY):
        grads = {"kernel": jax.grad(loss)(sparse_search.view(params, state)["kernel"])}
        assert grads["kernel"].shape == (2, 5, 5)
        updates, state = tx.update(grads, state, params)
        params = optax.apply_updates(params, updates)
        grads = {"kernel": jax.grad(loss)(singles["kernel"])}
        updates, expected = other.update(grads, expected, singles)
        singles = optax.apply_updates(singles, updates)
    for i in range(2):
        assert (params["kernel"][i] == singles["kernel"][i]).all()


def test_growing_intervals():
    tx = make(
        algorithm=algorithms.set_(0.5),
        rewire_every=1,
        rewire_until=20,
        interval_growth=2,
    )
    params, state = begin(tx)
    changed = []
    for step in range(25):
        before = masks(state)
        updates, state = tx.update(params, state, params)
        params = optax.apply_updates(params, updates)
        if any((m != before[k]).any() for k, m in masks(state).items()):
            changed.append(step)
    # After 1, 3, 7 and 15 steps, and at the last before `rewire_until`.
    assert changed == [0, 2, 6, 14, 19]


def test_patterns_and_their_counts():
    two_of_three = algorithms.rigl(pattern=patterns.n_m(2, 3))
    fixed = {"params/Dense_0/kernel": 72, "params/Dense_1/kernel": 30}
    tx = make(algorithm=two_of_three, density=None, counts=fixed)
    params, state = begin(tx)
    mask = masks(state)["params/Dense_0/kernel"]
    assert (mask.reshape(4, 3, 9).sum(axis=1) == 2).all()
    train(tx, params, state, EVERY)
    asked = {"params/Dense_0/kernel": 46, "params/Dense_1/kernel": 15}
    constant = algorithms.rigl(pattern=patterns.FAN_IN)
    _, state = begin(make(algorithm=constant, density=None, counts=asked))
    assert list(counts(state).values()) == [45, 15]
    with pytest.raises(UserError, match="axis that 5 divides"):
        make(algorithm=algorithms.rigl(pattern=patterns.n_m(2, 5)), density=0.5).init(
            PARAMS
        )
    with pytest.raises(UserError, match="more than 2% off"):
        make(
            algorithm=algorithms.rigl(pattern=patterns.CHANNEL), density=None, nnz=40
        ).init(PARAMS)


@pytest.mark.parametrize("name", ["snip", "grasp", "synflow"])
def test_algorithms_that_need_a_loss_take_it_as_an_argument(name):
    def output(params):
        first, second = params["params"]["Dense_0"], params["params"]["Dense_1"]
        return jnp.sum(jnp.ones((1, 12)) @ first["kernel"] @ second["kernel"])

    given = {"output": output} if name == "synflow" else {"loss": loss}
    tx = make(algorithm=getattr(algorithms, name)(scope="global", **given))
    params, state = begin(tx)
    before = masks(state)
    params, state = train(tx, params, state, EVERY + 1)
    assert all((m == before[k]).all() for k, m in masks(state).items())
    with pytest.raises(UserError, match=f"algorithms.{name}"):
        make(algorithm=getattr(algorithms, name)()).init(PARAMS)


def test_a_lottery_ticket_goes_back_to_the_first_weights():
    tx = make(
        optax.adam(0.1),
        algorithms.lottery(prunings=1),
        rewire_every=4,
        rewire_until=8,
        density=None,
        nnz=50,
    )
    params, state = begin(tx)
    for step in range(9):
        grads = jax.grad(loss)(sparse_search.view(params, state))
        updates, state = tx.update(grads, state, params)
        params = optax.apply_updates(params, updates)
        if step == 7:
            assert sum(counts(state).values()) == 50
            for name, mask in masks(state).items():
                first = trees.named_leaves(PARAMS)[name]
                now = trees.named_leaves(params)[name]
                assert (now == jnp.where(mask, first, 0)).all()
            moments = jax.tree.leaves(find(state).opt_state)
            assert not any(np.asarray(m).any() for m in moments)
    check(params, state)


def test_views_that_are_not_the_identity():
    tx = make(algorithm=algorithms.top_kast(), density=None, nnz=50, rewire_until=6)
    params, state = begin(tx)
    seen = sparse_search.view(params, state)
    kernels = [x for k, x in trees.named_leaves(seen).items() if k.endswith("kernel")]
    assert sum(np.count_nonzero(x) for x in kernels) == 50
    assert sum(counts(state).values()) == 12 * 9 + 9 * 5
    for _ in range(7):
        grads = jax.grad(loss)(sparse_search.view(params, state))
        updates, state = tx.update(grads, state, params)
        params = optax.apply_updates(params, updates)
    assert sum(counts(state).values()) == 50
    check(params, state)


def test_all_algorithms_by_name():
    for name, constructor in algorithms.CONSTRUCTORS.items():
        given = {"loss": loss} if name in ("snip", "grasp") else {}
        if name == "synflow":
            given = {"output": lambda params: loss(params)}
        tx = make(algorithm=functools.partial(constructor, **given))
        params, state = begin(tx)
        for _ in range(2):
            updates, state = tx.update(params, state, params)
            params = optax.apply_updates(params, updates)
        check(params, state)


def test_what_never_rewires_makes_every_update():
    tx = make(optax.sgd(1.0), algorithms.static(), rewire_every=1)
    params, state = begin(tx)
    updates, state = tx.update(PARAMS, state, params)
    assert all(np.asarray(u).any() for u in masks_and(updates, state).values())
    assert int(find(state).sparse.step) == 1


def masks_and(tree, state):
    named = trees.named_leaves(tree)
    return {name: np.asarray(named[name])[mask] for name, mask in masks(state).items()}


def test_parameters_with_none_in_them():
    params = {"w": jnp.ones((4, 4)), "gone": None, "bias": jnp.ones(4)}
    tx = make(density=0.5)
    params, state = begin(tx, params)
    for _ in range(EVERY):
        updates, state = tx.update(params, state, params)
        params = optax.apply_updates(params, updates)
    assert params["gone"] is None and counts(state) == {"w": 8}


def test_gradients_of_another_type_than_the_parameters():
    params = jax.tree.map(lambda p: p.astype(jnp.bfloat16), PARAMS)
    tx = make(optax.sgd(0.1))
    params, state = begin(tx, params)
    update = jax.jit(tx.update)
    for _ in range(EVERY + 1):
        updates, state = update(PARAMS, state, params)
        params = optax.apply_updates(params, updates)
    assert params["params"]["Dense_0"]["kernel"].dtype == jnp.bfloat16
    check(jax.tree.map(lambda p: p.astype(jnp.float32), params), state)


@pytest.mark.parametrize(
    "more, words",
    [
        ({"algorithm": algorithms.rigl}, "with parentheses"),
        ({"algorithm": "rigl"}, "The algorithm is 'rigl'; it is one that"),
        ({"allocation": "global"}, "keeps the number of every layer"),
        ({"allocation": "er^9"}, "at most 4"),
        (
            {"algorithm": algorithms.magnitude(), "rewire_until": None},
            "give rewire_until, at least rewire_every=3",
        ),
        ({"algorithm": algorithms.gradual(), "rewire_until": 2}, "at least rewire_ev"),
        (
            {"density": None, "counts": {"params/Dense_0/kernel": 0.5}},
            "is 0.5; it is a whole number",
        ),
        (
            {"density": None, "counts": {"params/Dense_0/kernel": jnp.int32(500)}},
            "is 500; it is a whole number, and there are 108 entries",
        ),
        (
            {"density": None, "counts": {"params": {"Dense_0": {"kernel": 5}}}},
            "must be like the parameters",
        ),
        (
            {
                "stacked": lambda name, shape: True,
                "density": None,
                "counts": {
                    "params": {
                        "Dense_0": {"kernel": 5, "bias": None},
                        "Dense_1": {"kernel": 5},
                    }
                },
            },
            "stacks 12 layers; its counts are as many, not 5",
        ),
    ],
)
def test_more_wrong_arguments(more, words):
    with pytest.raises(UserError, match=words):
        make(**more).init(PARAMS)


def test_a_tree_of_other_names_is_refused():
    params = {"w1": jnp.ones((4, 4)), "w2": jnp.ones((4, 4))}
    with pytest.raises(UserError, match="'w3' is not a parameter.*Did you mean 'w"):
        make(density=None, counts={"w1": 5, "w3": 7}).init(params)


def test_allocations_over_all_layers():
    tx = make(
        algorithm=algorithms.magnitude(),
        allocation="global",
        density=None,
        nnz=60,
        rewire_until=3,
    )
    params, state = begin(tx)
    for _ in range(3):
        updates, state = tx.update(PARAMS, state, params)
        params = optax.apply_updates(params, updates)
    kernels = [
        np.abs(x) for k, x in trees.named_leaves(params).items() if "kernel" in k
    ]
    assert sum(counts(state).values()) == 60
    assert [np.count_nonzero(k) for k in kernels] == list(counts(state).values())


def test_any_seed():
    make(seed=2**32 - 1).init(PARAMS)
