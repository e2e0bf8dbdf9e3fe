"""Batch statistics, dropout and precision in the one training loop."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from commands import CONFIGS
from their_models import small

from sparse_search import algorithms, load_config, records, results, trees
from sparse_search.train import rounds, single
from sparse_search.train.lanes import Group, Loaded
from sparse_search.train.network import make_network
from sparse_search.train.run import Chunk, run_chunk
from sparse_search.train.step import begin, rewire
from sparse_search.train.stopped import Stopped
from sparse_search.train.trials import single_trial

FIELDS = (
    "data.name=digits",
    "model.name=their_models:small",
    "model.width=4",
    "model.depth=1",
    "steps=16",
    "batch_size=16",
    "sparsity.rewire_every=4",
    "sparsity.density=0.5",
    "optimizer.learning_rate=0.05",
    "precision=bfloat16",
    "representation=masked",
    "checkpoint_every=1",
)


@pytest.fixture(scope="module")
def group():
    """RigL with batch statistics, dropout and bfloat16, on digits."""
    config = load_config(str(CONFIGS / "digits_map.py"), list(FIELDS))
    loaded = Loaded(config, single.load_dataset(config))
    return Group(config, single_trial(config, loaded.dataset), loaded)


def trained(group, workdir, chunk, stops=()):
    """Train a chunk, stopped after some rounds and begun again each time."""
    workdir.mkdir(exist_ok=True)
    calls = iter(range(1, 100))
    for _ in stops:
        with pytest.raises(Stopped):
            run_chunk(group, chunk, workdir, lambda: next(calls) in stops)
    run_chunk(group, chunk, workdir, lambda: False)
    found = {t.name: results.load(results.file(workdir, t.name)) for t in chunk.trials}
    return records.read_rounds(workdir), found


@pytest.fixture(scope="module")
def chunk(group):
    trial = single_trial(group.config, group.loaded.dataset)
    return Chunk("single", (trial,), 1)


@pytest.fixture(scope="module")
def whole(group, chunk, tmp_path_factory):
    return trained(group, tmp_path_factory.mktemp("whole"), chunk)


def same(one, other):
    assert one.keys() == other.keys()
    for name, value in one.items():
        np.testing.assert_array_equal(other[name], value)


def test_a_stopped_run_ends_with_the_same_bits(group, chunk, whole, tmp_path):
    rows, found = trained(group, tmp_path / "again", chunk, stops=(1, 3))
    for (trial, number), record in whole[0].items():
        assert rows[trial, number] == record
    for name, was in whole[1].items():
        for part, again in zip(was, found[name], strict=True):
            same(part, again)


def test_weights_and_statistics_are_float32_and_statistics_moved(whole):
    (result,) = whole[1].values()
    for named in (result.params, result.statistics):
        assert {value.dtype for value in named.values()} == {np.dtype(np.float32)}
    mean = result.statistics["batch_stats/BatchNorm_0/mean"]
    assert (mean != 0).all()
    kernel = result.params["params/Conv_0/kernel"]
    rounded = np.asarray(jnp.asarray(kernel, jnp.bfloat16), np.float32)
    assert (kernel != rounded).any()  # not masters of 16 bits


def test_another_seed_has_other_noise(group, chunk, whole, tmp_path):
    other = chunk.trials[0].__class__(**{**vars(chunk.trials[0]), "seed": 1})
    two = chunk._replace(trials=(*chunk.trials, other), lanes=2, name="two")
    rows, _ = trained(group, tmp_path / "two", two)
    for (trial, number), record in whole[0].items():
        lane, neighbour = rows[trial, number], rows[other.name, number]
        # Lanes are rounded otherwise; bfloat16 keeps 8 bits.
        assert lane["train_loss"] == pytest.approx(record["train_loss"], rel=0.05)
        assert neighbour["train_loss"] != lane["train_loss"]


def test_statistics_are_of_batches_and_evaluation_leaves_them():
    network = make_network(small(2, 1, 3))
    x = jax.random.normal(jax.random.key(1), (6, 4, 4, 1)) + 2
    params, statistics = network.init(jax.random.key(0), x[:1])
    spec = rounds.Spec(
        model=small(2, 1, 3),
        algorithm=lambda fraction, until, **probes: algorithms.complete(
            algorithms.CONSTRUCTORS["static"]
        ),
        optimizer=lambda rate, decay, steps: optax.sgd(rate),
        round_steps=1,
        scale=1.0,
    )
    train = rounds.make_train(spec)
    examples = rounds.Examples(x, jnp.zeros(6, jnp.int32))
    counts = trees.map_named(
        lambda p, n: np.int32(p.size) if "kernel" in n else None,
        params,
        {name: name for name in trees.named_leaves(params)},
    )
    hyper = rounds.Hyper(0, 0.0, 0.0, 0.0, 10, 0, counts)
    rows = jnp.arange(4)
    run = train.init(hyper, (params, statistics), rows, examples)
    same(trees.named_leaves(run.train.statistics), trees.named_leaves(statistics))
    after, _ = jax.jit(train.round)(hyper, run, rows[None], rows, examples)
    conv = params["params"]["Conv_0"]["kernel"]
    y = jax.lax.conv_general_dilated(
        x[:4], conv, (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    found = after.train.statistics["batch_stats"]["BatchNorm_0"]
    np.testing.assert_allclose(
        found["mean"], 0.1 * np.mean(y, (0, 1, 2)), rtol=1e-4, atol=1e-6
    )
    part = jnp.zeros(6, jnp.int32)
    jax.jit(train.evaluate)(hyper, after, part, examples)
    # It sees the running means: other examples in the batch change nothing.
    used = network.predict(params, after.train.statistics, x)
    alone = network.predict(params, after.train.statistics, x[:1])
    np.testing.assert_allclose(used[:1], alone, rtol=1e-5)


def test_rewinding_puts_statistics_back():
    algorithm = algorithms.complete(
        algorithms.CONSTRUCTORS["lottery"], until=4, every=2, prunings=1
    )
    params = {"params": {"Dense_0": {"kernel": jnp.ones((4, 4))}}}
    counts = {"params": {"Dense_0": {"kernel": np.int32(8)}}}
    params, sparse = algorithm.init(jax.random.key(0), params, counts)
    optimizer = optax.sgd(0.1, momentum=0.9)
    first = {"mean": jnp.zeros(3)}
    state = begin(params, sparse, algorithm, optimizer, first)
    moved = state._replace(statistics={"mean": jnp.ones(3)})
    grads = jax.tree.map(jnp.ones_like, params)
    for step, expected in ((1, 1.0), (3, 0.0)):  # the pruning is at the second
        at = moved._replace(
            sparse=moved.sparse._replace(step=jnp.int32(step)), step=jnp.int32(step)
        )
        after, _ = rewire(jax.random.key(1), at, grads, algorithm, optimizer)
        np.testing.assert_array_equal(after.statistics["mean"], expected)
