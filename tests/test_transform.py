"""One line in someone else's loop: any optimizer inside, any transformation around."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen, nnx
from sparsify_loop import (
    EVERY,
    PARAMS,
    RIGL,
    X,
    Y,
    begin,
    check,
    counts,
    linear_loss,
    loss,
    make,
    masks,
    train,
)

import sparse_search
from sparse_search import algorithms, trees
from sparse_search.algorithms.base import SparseAlgorithm
from sparse_search.errors import UserError
from sparse_search.testing.algorithms import NOT_WALKED
from sparse_search.testing.programs import scope_outside_cond
from sparse_search.train import optimizer as optimizers
from sparse_search.transform import find

pytestmark = pytest.mark.filterwarnings("ignore:`optimistic_adam`:DeprecationWarning")


def test_the_lines_of_the_readme():
    tx = make()
    params, state = begin(tx)
    assert sum(counts(state).values()) == round(0.3 * (12 * 9 + 9 * 5))
    check(params, state)
    before, first = masks(state), float(loss(params))
    params, state = train(tx, params, state, 2)
    for name, mask in masks(state).items():
        assert (mask == before[name]).all()
    kept = params
    params, state = train(tx, params, state, 1)
    assert any((m != before[k]).any() for k, m in masks(state).items())
    for name, mask in masks(state).items():
        # The gradient of a rewire updates no weight; what grew is zero.
        old, new = (trees.named_leaves(p)[name] for p in (kept, params))
        both = mask & before[name]
        assert (np.asarray(new)[both] == np.asarray(old)[both]).all()
        assert not np.asarray(new)[mask & ~before[name]].any()
    params, state = train(tx, params, state, 30)
    assert float(loss(params)) < first
    assert sparse_search.masks_of(state)["params"]["Dense_0"]["bias"] is None


def test_masks_stay_from_rewire_until_on():
    tx = make(rewire_until=3)
    params, state = train(tx, *begin(tx), 3)
    early = masks(state)
    params, state = train(tx, params, state, 7)
    assert all((m == early[k]).all() for k, m in masks(state).items())


@pytest.mark.parametrize("name", sorted(set(optimizers.names()) - set(NOT_WALKED)))
def test_every_optimizer_of_optax(name):
    arguments = {"learning_rate": 0.01}
    if "key" in inspect.signature(getattr(optax, name)).parameters:
        arguments["key"] = 0
    tx = make(getattr(optax, name)(**arguments))
    layer = {"params": {"Dense_0": PARAMS["params"]["Dense_0"]}}
    train(tx, *begin(tx, layer), EVERY + 1, linear_loss)


WRAPPED = {
    "sam": lambda tx: optax.contrib.sam(tx, optax.sgd(0.05), sync_period=2),
    "schedule_free": lambda tx: optax.contrib.schedule_free(tx, learning_rate=0.01),
    "mechanize": lambda tx: optax.contrib.mechanize(tx),
    "adaptive_grad_clip": lambda tx: optax.chain(optax.adaptive_grad_clip(0.1), tx),
    "selective_transform": lambda tx: optax.transforms.selective_transform(
        tx, freeze_mask=lambda p: jax.tree.map(lambda x: x.ndim < 2, p)
    ),
    "MultiSteps": lambda tx: optax.MultiSteps(tx, 2).gradient_transformation(),
    "apply_if_finite": lambda tx: optax.apply_if_finite(tx, 3),
    "chain": lambda tx: optax.chain(optax.clip_by_global_norm(1.0), tx),
    "named_chain": lambda tx: optax.named_chain(("a", optax.clip(1.0)), ("b", tx)),
    "conditionally_mask": lambda tx: optax.conditionally_mask(
        tx, lambda step: step < 9
    ),
    "inject": lambda tx: optax.inject_hyperparams(optax.sgd)(learning_rate=0.1),
    "masked": lambda tx: optax.masked(
        tx, lambda p: jax.tree.map(lambda x: x.ndim > 1, p)
    ),
    "partition": lambda tx: optax.partition(
        {"matrix": tx, "vector": optax.sgd(0.1)},
        lambda p: jax.tree.map(lambda x: "matrix" if x.ndim > 1 else "vector", p),
    ),
}


@pytest.mark.parametrize("name", WRAPPED)
def test_wrappers_inside(name):
    tx = make(WRAPPED[name](optax.adam(0.01)))
    train(tx, *begin(tx), 2 * EVERY)


@pytest.mark.parametrize("name", ["MultiSteps", "apply_if_finite", "chain"])
def test_wrappers_around(name):
    tx = WRAPPED[name](make())
    params, state = begin(tx)
    before = masks(state)
    params, state = train(tx, params, state, 2 * EVERY)
    assert any((m != before[k]).any() for k, m in masks(state).items())
    assert int(find(state).step) == (EVERY if name == "MultiSteps" else 2 * EVERY)


def test_what_cannot_be_made_sparse_is_refused():
    with pytest.raises(UserError, match=r"one vector \(optax.flatten\)"):
        make(optax.flatten(optax.adam(0.01))).init(PARAMS)
    tx = make(optax.lbfgs())
    params, state = begin(tx)
    grads = jax.grad(loss)(params)
    with pytest.raises(UserError, match="gradients only"):
        tx.update(grads, state, params, value=0.0, grad=grads, value_fn=loss)


def test_counts_and_nnz():
    params, state = begin(make(density=None, nnz=50))
    assert sum(counts(state).values()) == 50
    named = {"params/Dense_0/kernel": 20, "params/Dense_1/kernel": 45}
    params, state = begin(make(density=None, counts=named))
    assert counts(state) == named
    tree = {
        "params": {
            "Dense_0": {"kernel": 7, "bias": None},
            "Dense_1": {"kernel": None},
        }
    }
    params, state = begin(make(density=None, counts=tree))
    assert counts(state) == {"params/Dense_0/kernel": 7}
    train(make(density=None, counts=tree), params, state, 4)


@pytest.mark.parametrize(
    "more, words",
    [
        ({"nnz": 5}, "exactly one of"),
        ({"density": None}, "exactly one of"),
        ({"density": 1.5}, "above 0 and at most 1"),
        ({"density": None, "nnz": 10**6}, "hold between"),
        ({"allocation": "erc"}, "Did you mean 'er"),
        ({"rewire_every": 0}, "at least 1"),
        ({"density": None, "counts": {"params/Dense_0/kernl": 1}}, "Did you mean"),
        ({"density": None, "counts": {"params/Dense_0/kernel": 999}}, "108 entries"),
        ({"sparse": lambda name, shape: False}, "None of the parameters"),
    ],
)
def test_wrong_arguments(more, words):
    with pytest.raises(UserError, match=words):
        make(**more).init(PARAMS)


def test_update_needs_the_parameters():
    tx = make()
    _, state = begin(tx)
    with pytest.raises(UserError, match="needs the parameters"):
        tx.update(PARAMS, state)
    with pytest.raises(UserError, match="0 states of sparsify"):
        sparse_search.masks_of(optax.adam(0.1).init(PARAMS))


def test_lanes_with_traced_counts_seeds_and_drop_fractions_are_single_runs():
    asked = np.array([[40, 20], [10, 45], [108, 1]])
    seeds, fractions = np.arange(3), np.array([0.1, 0.3, 0.5], np.float32)

    def run(asked, seed, fraction):
        named = {"params/Dense_0/kernel": asked[0], "params/Dense_1/kernel": asked[1]}
        # Gradients that are given: those of a model differ by rounding under `vmap`.
        tx = make(
            optax.sgd(0.5),
            algorithms.rigl(fraction),
            density=None,
            counts=named,
            seed=seed,
        )
        params, state = begin(tx)

        def step(carry, number):
            params, state = carry
            grads = jax.tree.map(
                lambda p: jnp.sin(jnp.arange(p.size) * (number + 1.0)).reshape(p.shape),
                params,
            )
            updates, state = tx.update(grads, state, params)
            return (optax.apply_updates(params, updates), state), None

        steps = jnp.arange(2 * EVERY, dtype=jnp.float32)
        return jax.lax.scan(step, (params, state), steps)[0]

    params, state = jax.jit(jax.vmap(run))(asked, seeds, fractions)
    for lane in range(3):
        one_params, one_state = jax.jit(run)(asked[lane], seeds[lane], fractions[lane])
        for name, mask in masks(one_state).items():
            assert (masks(state)[name][lane] == mask).all()
            one = np.asarray(trees.named_leaves(one_params)[name])
            lanes = np.asarray(trees.named_leaves(params)[name][lane])
            np.testing.assert_allclose(lanes, one, atol=1e-6)
        assert list(counts(one_state).values()) == asked[lane].tolist()


def test_under_vmap_nothing_is_selected_in_steps_that_do_not_rewire():
    def marked(until):
        algorithm = RIGL(until=until)

        def rewire(*args):
            with jax.named_scope("marked"):
                return algorithm.rewire(*args)

        return algorithm._replace(rewire=rewire)

    tx = make(algorithm=marked)

    def step(seed):
        params, state = PARAMS, tx.init(PARAMS)._replace(step=seed, seed=seed)
        return tx.update(PARAMS, state, params)

    jaxpr = jax.make_jaxpr(jax.vmap(step))(jnp.arange(3)).jaxpr
    inside, outside = scope_outside_cond(jaxpr, "marked")
    assert inside > 0 and outside == 0
    twice = jax.make_jaxpr(jax.vmap(jax.vmap(step)))(jnp.ones((2, 2), jnp.int32))
    inside, outside = scope_outside_cond(twice.jaxpr, "marked")
    assert inside > 0 and outside == 0


def test_flax_linen():
    class Net(linen.Module):
        @linen.compact
        def __call__(self, x):
            x = linen.Embed(7, 8)(x)
            x = linen.MultiHeadDotProductAttention(2)(x)
            return linen.Dense(3)(linen.LayerNorm()(x))

    net, x = Net(), jnp.ones((2, 4), jnp.int32)
    params = net.init(jax.random.key(0), x)
    tx = make(density=0.25)
    params, state = begin(tx, params)
    assert all(name.endswith("kernel") for name in counts(state))
    assert len(counts(state)) == 5
    grads = jax.grad(lambda p: jnp.sum(net.apply(p, x) ** 2))(params)
    for _ in range(EVERY + 1):
        updates, state = tx.update(grads, state, params)
        params = optax.apply_updates(params, updates)
        check(params, state)


def test_flax_nnx():
    model = nnx.Sequential(
        nnx.Linear(12, 9, rngs=nnx.Rngs(0)),
        nnx.relu,
        nnx.Linear(9, 5, rngs=nnx.Rngs(1)),
    )
    optimizer = nnx.Optimizer(model, make(), wrt=nnx.Param)
    state = nnx.state(model, nnx.Param)
    pure = nnx.to_pure_dict(state)
    tx = make()
    params, sparse_state = begin(tx, pure)
    assert len(counts(sparse_state)) == 2
    for _ in range(EVERY + 1):
        grads = jax.tree.map(jnp.ones_like, params)
        updates, sparse_state = tx.update(grads, sparse_state, params)
        params = optax.apply_updates(params, updates)
        check(params, sparse_state)
    # And within nnx's own optimizer.
    graph = jax.grad(
        lambda state: jnp.sum(nnx.merge(nnx.graphdef(model), state)(X) ** 2)
    )(state)
    for _ in range(EVERY + 1):
        optimizer.update(model, graph)
    kernel = np.asarray(model.layers[0].kernel[...])
    assert 0 < np.count_nonzero(kernel) < kernel.size


def test_plain_containers():
    params = [jnp.ones((4, 3)), {"w": jnp.ones((3, 2)), "bias": jnp.ones((2, 2))}]
    tx = make(density=0.5)
    params, state = begin(tx, params)
    assert set(counts(state)) == {"0", "1/w"}
    for _ in range(EVERY + 1):
        updates, state = tx.update(params, state, params)
        params = optax.apply_updates(params, updates)
        check(params, state)


def test_replicated_under_shard_map():
    auto = (jax.sharding.AxisType.Auto,)
    mesh = jax.make_mesh((jax.device_count(),), ("batch",), axis_types=auto)
    tx = make()
    params, state = begin(tx)
    expected, _ = train(tx, params, state, EVERY)
    spec = jax.sharding.PartitionSpec

    def step(params, state, x, y):
        grads = jax.grad(loss)(params, x, y)
        grads = jax.lax.pmean(grads, "batch")
        updates, state = tx.update(grads, state, params)
        return optax.apply_updates(params, updates), state

    sharded = jax.jit(
        jax.shard_map(
            step,
            mesh=mesh,
            in_specs=(spec(), spec(), spec("batch"), spec("batch")),
            out_specs=(spec(), spec()),
            check_vma=False,
        )
    )
    for _ in range(EVERY):
        params, state = sharded(params, state, X, Y)
    check(params, state)
    for one, other in zip(
        jax.tree.leaves(params), jax.tree.leaves(expected), strict=True
    ):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_an_algorithm_that_is_made_already():
    made = RIGL(until=100)
    assert isinstance(made, SparseAlgorithm)
    tx = make(algorithm=made)
    train(tx, *begin(tx), EVERY)
