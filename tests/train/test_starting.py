"""Trainings that begin with a checkpoint: its weights, its masks, its statistics."""

import shutil

import jax
import numpy as np
import pytest
from commands import CONFIGS

from sparse_search import load_config, records, results, trees
from sparse_search.errors import UserError
from sparse_search.search import driver
from sparse_search.train import single, starting_file
from sparse_search.train.lanes import Group, Loaded
from sparse_search.train.sharding import placement
from sparse_search.train.trials import single_trial

CONFIG = str(CONFIGS / "digits_map.py")
FIELDS = (
    "data.name=digits",
    "model.name=their_models:small",
    "model.width=4",
    "model.depth=1",
    "steps=8",
    "batch_size=16",
    "sparsity.rewire_every=4",
    "sparsity.density=0.5",
    "optimizer.learning_rate=0.05",
    "representation=masked",
    "executor=local",
    "space.small_dense.depths=()",
)


def config(*fields):
    return load_config(CONFIG, [*FIELDS, *fields])


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """A dense and a sparse network, trained."""
    folder = tmp_path_factory.mktemp("sources")
    for method in ("dense", "rigl"):
        single.train(config(f"sparsity.method={method}"), folder / method)
    return folder


def begun(source, *fields):
    """What a training begins with, as arrays by name, and the checkpoint."""
    start = results.load(starting_file.locate(str(source)))
    of = config(f"init_from={source}", *fields)
    loaded = Loaded(of, single.load_dataset(of))
    trial = single_trial(of, loaded.dataset)
    group = Group(of, trial, loaded)
    state = group.init([trial], placement(1, 1), start=start).train
    one = jax.tree.map(lambda x: np.asarray(x[0]), state)
    masks = trees.named_leaves(one.sparse.masks)
    return (
        trees.named_leaves(one.params),
        {name: mask for name, mask in masks.items() if mask is not None},
        trees.named_leaves(one.statistics),
        start,
        trial,
    )


@pytest.mark.parametrize("method", ["rigl", "snfs"])
def test_a_sparse_network_goes_on_with_its_masks(sources, method):
    params, masks, statistics, start, trial = begun(
        sources / "rigl", f"sparsity.method={method}"
    )
    assert sum(int(mask.sum()) for mask in masks.values()) == trial.nnz
    for name, mask in start.masks.items():
        np.testing.assert_array_equal(masks[name], mask)
    for found, was in ((params, start.params), (statistics, start.statistics)):
        assert found.keys() == was.keys()
        for name, value in was.items():
            np.testing.assert_array_equal(found[name], value)


def test_a_random_start_takes_the_largest_weights_of_a_dense_network(sources):
    params, masks, _, start, trial = begun(sources / "dense", "sparsity.method=set")
    for name, count in trial.counts:
        sizes = np.abs(start.params[name])
        assert masks[name].sum() == count
        assert sizes[masks[name]].min() >= sizes[~masks[name]].max()
        np.testing.assert_array_equal(
            params[name], np.where(masks[name], start.params[name], 0)
        )


@pytest.mark.parametrize("method", ["gradual", "snip"])
def test_methods_that_look_at_weights_see_the_trained_ones(sources, method):
    params, masks, *_, start, _ = begun(
        sources / "dense", f"sparsity.method={method}", "sparsity.rewire_until=1"
    )
    for name, mask in masks.items():
        np.testing.assert_array_equal(
            params[name], np.where(mask, start.params[name], 0)
        )


def test_a_training_goes_on_from_another_and_keeps_its_beginning(sources, tmp_path):
    source = tmp_path / "source"
    shutil.copytree(sources / "rigl", source)
    of = config(f"init_from={source}", "seed=1")
    first = records.read_rounds(sources / "rigl")
    record = single.train(of, tmp_path / "on")
    assert record["status"] in ("done", "collapsed")  # so short as it is
    rounds = records.read_rounds(tmp_path / "on")
    losses = [r["train_loss"] for r in rounds.values()]
    assert losses[0] < min(r["train_loss"] for r in first.values())
    # Another checkpoint at the same path is noticed.
    shutil.copytree(sources / "dense" / "results", source / "results2")
    file = starting_file.locate(str(source))
    shutil.copyfile(next((source / "results2").iterdir()), file)
    with pytest.raises(UserError, match="begun with other weights"):
        single.train(of, tmp_path / "on")
    prints = {
        records.read_config(folder)["fingerprint"]
        for folder in (tmp_path / "on", sources / "rigl")
    }
    assert len(prints) == 2


def test_a_search_begins_all_lanes_with_it_and_skips_what_does_not_fit(
    sources, tmp_path
):
    of = config(
        f"init_from={sources / 'dense'}",
        "space.budgets=(250,)",
        "space.widths=(4, 5)",
        "space.seeds=(0, 1)",
        "space.methods=('rigl',)",
        "lanes=2",
    )
    plan = driver.search(of, tmp_path / "map")
    trials = records.read_trials(tmp_path / "map").values()
    assert {t["width"] for t in trials} == {4} and len(trials) == 2
    (skipped,) = plan.population.skipped
    assert "model and data set must be the same" in skipped.reason
    rounds = records.read_rounds(tmp_path / "map")
    alone = config(
        f"init_from={sources / 'dense'}", "sparsity.nnz=250", "seed=1", "lanes=2"
    )
    record = single.train(alone, tmp_path / "one")
    same = rounds[record["trial"], 2]
    assert records.read_rounds(tmp_path / "one")[record["trial"], 2][
        "valid_loss"
    ] == pytest.approx(same["valid_loss"], abs=0)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (["model.width=5"], "with the shape .4., and this network with .5."),
        (["model.name=mlp"], "has no params/Dense_1/bias"),
        (["sparsity.density=0.9"], "fewer than the"),
        (["sparsity.method=srigl"], "it can begin with a dense network only"),
        (["representation=compressed"], "is masked"),
    ],
)
def test_what_does_not_fit_is_a_sentence(sources, tmp_path, fields, words):
    of = config(f"init_from={sources / 'rigl'}", *fields)
    with pytest.raises(UserError, match=words):
        single.train(of, tmp_path / "one")


def test_a_checkpoint_is_named_by_its_workdir_and_trial(sources, tmp_path):
    for source, words in (
        (sources, "is no workdir with results"),
        (f"{sources / 'rigl'}:rigl-w4", "has no result of a trial 'rigl-w4'"),
    ):
        with pytest.raises(UserError, match=words):
            starting_file.locate(str(source))
    (trial,) = records.read_trials(sources / "rigl")
    assert starting_file.locate(f"{sources / 'rigl'}:{trial}").is_file()
    shutil.copytree(sources / "rigl" / "results", tmp_path / "results")
    other = next((sources / "dense" / "results").iterdir())
    shutil.copyfile(other, tmp_path / "results" / other.name)
    with pytest.raises(UserError, match="has 2 trials; say which one"):
        starting_file.locate(str(tmp_path))
