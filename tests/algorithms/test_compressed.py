"""Compressed layers are trained as masked ones are: the same masks, to the entry."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from sparse_search import algorithms, trees
from sparse_search.algorithms import compressed, grow_prune
from sparse_search.algorithms.base import as_drawn
from sparse_search.algorithms.compressed import reason_against
from sparse_search.masks.patterns import by_name
from sparse_search.sparse import formats, native
from sparse_search.sparse.layers import BROADCAST, Conv, Dense
from sparse_search.train import rounds

EVERY, BATCH = 5, 16
SIZES = (30, 40, 50, 6)
COUNTS = {"Dense_0": 150, "Dense_1": 300, "Dense_2": 90}
SPARSE = {f"params/{layer}/kernel": count for layer, count in COUNTS.items()}

# Every algorithm that says it can be, with all options that it can have then.
CAN = {
    "static": {},
    "set": {"schedule": "cosine"},
    "rigl": {},
    "rigl, candidates": {"candidates": 1.5},
    "rigl, as drawn": {},
    "mest": {"gradient_weight": 3.0},  # so much that another weight is dropped by it
    "rigl, a rewire of one's own": {},
    "set, random weights": {"new": "random"},
    "cht": {},
    "chts": {},
    "random": {},
    "snip": {},
    "grasp": {},
    "synflow": {"iterations": 5},
}


class Net(nn.Module):
    """An MLP in float64."""

    @nn.compact
    def __call__(self, x):
        x = x.reshape(len(x), -1).astype(jnp.float64)
        for width in SIZES[1:-1]:
            x = Dense(width, relu=True, param_dtype=jnp.float64)(x, wait=True)
        return Dense(SIZES[-1], param_dtype=jnp.float64)(x)


class Images(nn.Module):
    """A small convolutional network, and attention over what it sees, in float64.

    A window, one with a stride, a 1×1 convolution with more rows than neurons, and
    dense layers of tokens.
    """

    @nn.compact
    def __call__(self, x):
        x = x.astype(jnp.float64)[..., None]
        kind = {"param_dtype": jnp.float64}
        x = nn.relu(Conv(6, (3, 3), padding=1, **kind)(x))
        x = nn.relu(Conv(9, (3, 3), (2, 2), padding=1, use_bias=False, **kind)(x))
        x = nn.relu(Conv(12, (1, 1), **kind)(x))
        x = x.reshape(len(x), -1, 12)
        query, key, value = (Dense(12, name=name, **kind)(x) for name in "qkv")
        x = x + jax.nn.softmax(query @ key.swapaxes(1, 2)) @ value
        return Dense(SIZES[-1], **kind)(jnp.mean(x, axis=1))


class Step(nn.Module):
    """A position of a recurrent layer."""

    @nn.compact
    def __call__(self, state, inputs):
        product = Dense(20, repeated=True, name="state", param_dtype=jnp.float64)
        state = jnp.tanh(inputs + product(state))
        return state, state


class Text(nn.Module):
    """A recurrent layer over the rows of an image, in float64."""

    @nn.compact
    def __call__(self, x):
        x = Dense(20, name="inputs", param_dtype=jnp.float64)(x.astype(jnp.float64))
        over_rows = nn.scan(
            Step,
            variable_broadcast=BROADCAST,
            split_rngs={"params": False},
            in_axes=1,
        )
        state, _ = over_rows(name="step")(jnp.zeros((len(x), 20)), x)
        return Dense(SIZES[-1], name="head", param_dtype=jnp.float64)(state)


NETS = {
    "mlp": (Net(), (30,), SPARSE),
    "images": (
        Images(),
        (6, 6),
        {
            f"params/{layer}/kernel": count
            for layer, count in {
                **{"Conv_0": 20, "Conv_1": 120, "Conv_2": 40, "Dense_0": 30},
                **{"q": 50, "k": 40, "v": 60},
            }.items()
        },
    ),
    "text": (
        Text(),
        (6, 6),
        {"params/inputs/kernel": 50, "params/step/state/kernel": 90},
    ),
}


def constructor(name):
    return algorithms.CONSTRUCTORS[name.split(",")[0]]


def trained(name, rooms, net="mlp", rewires=5):
    """Masks, dense parameters and optimizer states after every round."""
    rng = np.random.default_rng(0)
    model, example, sparse = NETS[net]
    images = rng.integers(0, 256, (200, *example), np.uint8)
    images[:, :4] = 0  # inputs without a gradient, as in MNIST's margins
    examples = rounds.Examples(
        jnp.asarray(images), jnp.asarray(rng.integers(0, SIZES[-1], 200))
    )

    def algorithm(fraction, until, **probes):
        make = functools.partial(constructor(name), **CAN[name])
        made = algorithms.complete(make, drop_fraction=fraction, until=until, **probes)
        if "a rewire of one's own" in name:
            rewire = made.rewire
            made = made._replace(rewire=lambda *args: rewire(*args))
        return as_drawn(made) if "as drawn" in name else made

    spec = rounds.Spec(
        model=model,
        algorithm=algorithm,
        optimizer=lambda rate, decay, steps: optax.sgd(rate, momentum=0.9),
        round_steps=EVERY,
        scale=255.0,
        rooms=rooms,
    )
    train = rounds.make_train(spec)
    shapes = train.shapes(examples)
    counts = jax.tree_util.tree_map_with_path(
        lambda path, _: sparse.get(trees.name(path)), shapes
    )
    steps = EVERY * rewires
    hyper = rounds.Hyper(0, 0.1, 0.0, 0.4, steps, steps + 1, counts)
    rows = jax.random.randint(jax.random.key(1), (rewires, EVERY, BATCH), 0, 200)
    state = jax.jit(train.init)(hyper, train.weights(0, examples), rows[0, 0], examples)
    run = jax.jit(train.round)
    seen = [dense(state.train)]
    for batch in rows:
        state, metrics = run(hyper, state, batch, jnp.arange(50), examples)
        seen.append((*dense(state.train), metrics))
    return seen


def dense(state):
    """Masks and parameters, with the momentum, as arrays by name."""
    masks = trees.named_leaves(state.sparse.masks)
    params = trees.named_leaves(state.params)
    momentum = trees.named_leaves(state.opt_state[0].trace)
    found = {}
    for name, mask in masks.items():
        if isinstance(mask, formats.Tiled):
            for tree in (params, momentum):
                dense = formats.to_dense(mask, tree[name])
                tree[name] = dense.reshape(mask.kernel)
            found[name] = formats.to_mask(mask).reshape(mask.kernel)
        elif mask is not None:
            found[name] = mask
    return found, params, momentum


@functools.cache
def masked(name, net):
    with jax.enable_x64(True):
        return trained(name, (), net)


ROOMS = {
    "all layers": tuple((layer, count + 7) for layer, count in SPARSE.items()),
    "the middle one": (("params/Dense_1/kernel", 320),),
    **{
        net: tuple((layer, count + 7) for layer, count in NETS[net][2].items())
        for net in ("images", "text")
    },
}


CASES = [(name, "all layers", True) for name in CAN]
CASES += [("rigl", "the middle one", True)]
CASES += [("rigl", "all layers", False)]
CASES += [("rigl", "images", True), ("snip", "images", True)]
CASES += [("rigl", "text", True), ("rigl", "text", False)]


@pytest.mark.parametrize("name, rooms, kernel", CASES)
def test_the_same_masks_and_weights(name, rooms, kernel, monkeypatch):
    if kernel and not native.usable():
        pytest.skip("the kernel was not built here")
    if not kernel:
        monkeypatch.setattr(native, "usable", lambda: False)
    net = rooms if rooms in NETS else "mlp"
    with jax.enable_x64(True):
        ours = trained(name, ROOMS[rooms], net)
    for (mask, params, momentum, *metrics), expected in zip(
        ours, masked(name, net), strict=True
    ):
        for layer, count in NETS[net][2].items():
            np.testing.assert_array_equal(mask[layer], expected[0][layer])
            assert int(mask[layer].sum()) == count
        for one, other in ((params, expected[1]), (momentum, expected[2])):
            for leaf, value in one.items():
                np.testing.assert_allclose(value, other[leaf], 1e-9, 1e-11)
        if metrics:
            check_metrics(metrics[0], expected[3])


def check_metrics(ours, theirs):
    """All that a round reports is the same, but for what is estimated."""
    for one, other in zip(ours[:4], theirs[:4], strict=True):
        np.testing.assert_allclose(one, other, 1e-5)
    one, other = ours.topology._asdict(), theirs.topology._asdict()
    layers = one.pop("layers"), other.pop("layers")
    pairs = [(one, other)]
    pairs += [(layers[0][k]._asdict(), layers[1][k]._asdict()) for k in layers[1]]
    for found, expected in pairs:
        for name, value in expected.items():
            if value is None:  # effective parameters of what is no chain of layers
                assert found[name] is None
                continue
            tolerance = 0.03 if name == "exploration" else 1e-5
            np.testing.assert_allclose(found[name], value, tolerance, 1e-6)


def test_who_can_be_compressed():
    made = {n: algorithms.complete(c) for n, c in algorithms.CONSTRUCTORS.items()}
    can = {name for name, algorithm in made.items() if not reason_against(algorithm)}
    can -= {"dense"}  # of which no layer is sparse
    assert can == {name.split(",")[0] for name in CAN}


@pytest.mark.parametrize(
    "make, reason",
    [
        (algorithms.snfs(), "gradients of weights that it does not store"),
        (algorithms.rigl(every=9, batches=3), "gradients of weights that it does"),
        (algorithms.mest(soft_bound=0.2), "changes how many weights a layer has"),
        (algorithms.dsr(), "changes how many weights a layer has"),
        (algorithms.snip(scope="global"), "changes how many weights a layer has"),
        (algorithms.rigl(pattern=by_name("2:4")), "not begin with any unstructured"),
        (algorithms.top_kast(), "other weights than it stores"),
        (algorithms.lottery(), "goes back to weights that it had before"),
    ],
)
def test_who_cannot_and_why(make, reason):
    assert reason in reason_against(algorithms.complete(make))


def test_other_scores_are_not_taken_for_ours():
    rigl = algorithms.complete(algorithms.CONSTRUCTORS["rigl"])
    assert compressed._exchanges(rigl)
    exchange = rigl.exchange
    for other in (
        exchange._replace(grow=exchange.grow._replace(score=grow_prune.magnitude)),
        exchange._replace(grow=exchange.grow._replace(new="random")),
        exchange._replace(keep=grow_prune.steepness),
    ):
        arguments = {**other._asdict(), "pattern": rigl.pattern}
        rewire = functools.partial(grow_prune.rewire, **arguments)
        assert not compressed._exchanges(rigl._replace(exchange=other, rewire=rewire))
    mine = rigl._replace(rewire=lambda *args: rigl.rewire(*args))
    assert not compressed._exchanges(mine)


@pytest.mark.parametrize(
    "name, reason",
    [
        ("init", "does not begin with any unstructured mask"),
        ("view", "other weights than it stores"),
        ("filter_grads", "gradients of weights that it does not store"),
    ],
)
def test_functions_of_ones_own_are_not_taken_for_ours(name, reason):
    rigl = algorithms.complete(algorithms.CONSTRUCTORS["rigl"])
    function = getattr(rigl, name)
    mine = rigl._replace(**{name: lambda *args: function(*args)})
    assert reason in reason_against(mine)
    assert reason_against(rigl) is None
