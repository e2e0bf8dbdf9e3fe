"""Compressed layers in the commands: chosen, resumed, recorded, kept."""

import dataclasses
import json

import jax
import numpy as np
import pytest
import scipy.sparse
from commands import CONFIGS, lines, ok, run, without_times

from sparse_search import results
from sparse_search.config import freeze
from sparse_search.data.digits import load
from sparse_search.errors import Impossible, UserError
from sparse_search.search.space import population
from sparse_search.sparse import native
from sparse_search.train import representation, single, trials
from sparse_search.train.stopped import Stopped

FIELDS = {
    "model": {"width": 64},
    "sparsity": {"rewire_every": 10, "density": 0.2},
    "steps": 60,
    "checkpoint_every": 2,
    "optimizer": {"learning_rate": 0.05},
}


def config(kind="compressed", **changes):
    made = freeze({**FIELDS, "representation": kind})
    return dataclasses.replace(made, **changes)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A masked run, and the same one compressed."""
    folder = tmp_path_factory.mktemp("runs")
    return {
        kind: (folder / kind, single.train(config(kind), folder / kind))
        for kind in ("masked", "compressed")
    }


def test_the_records_are_those_of_the_masked_run(runs):
    (masked, theirs), (compressed, ours) = runs.values()
    assert (theirs["representation"], ours["representation"]) == (
        "masked",
        "compressed",
    )
    same = ("trial", "nnz", "parameters", "train_flops", "inference_flops", "steps")
    same = (*same, "stored_bytes")
    assert {k: ours[k] for k in same} == {k: theirs[k] for k in same}
    # A value for each parameter, and for each kernel a bit an entry.
    bits = 64 * 64 + 64 * 64 + 64 * 10
    assert ours["stored_bytes"] == 4 * ours["parameters"] + bits // 8
    np.testing.assert_allclose(ours["valid_loss"], theirs["valid_loss"], rtol=0.02)
    rounds = lines(compressed / "rounds.jsonl")
    expected = lines(masked / "rounds.jsonl")
    for one, other in zip(rounds, expected, strict=True):
        assert one["nnz"] == other["nnz"] and one["grown"] == other["grown"]
        assert one.keys() == other.keys()
    assert sum(one["grown"] for one in rounds) > 100


def test_the_network_is_kept(runs):
    workdir, record = runs["compressed"]
    found = results.load(workdir / "results" / f"{record['trial']}.npz")
    assert sum(mask.sum() for mask in found.masks.values()) == record["nnz"]
    for name, mask in found.masks.items():
        assert mask.shape == found.params[name].shape
        assert not found.params[name][~mask].any()
    masked, theirs = runs["masked"]
    other = results.load(masked / "results" / f"{theirs['trial']}.npz")
    agree = [(found.masks[k] == other.masks[k]).mean() for k in other.masks]
    assert min(agree) > 0.9  # not all: float32 may order scores differently


def test_a_layer_too_large_to_be_dense_is_a_matrix_of_scipy(tmp_path):
    matrix = scipy.sparse.csr_array(
        (np.ones(3, "f"), ([0, 5, 99_999], [7, 0, 9_999])), shape=(100_000, 10_000)
    )
    made = results.Result({"params/k": matrix, "params/b": np.zeros(3)}, {})
    results.save(tmp_path / "one.npz", made)
    found = results.load(tmp_path / "one.npz")
    assert (found.params["params/k"] != matrix).nnz == 0 and not found.masks
    assert results.stored(found, "params/k").sum() == 3


def train_in_pieces(made, workdir, stops):
    """A run that was stopped after so many rounds, once and again, and went on."""
    for rounds in stops:
        seen = []

        def stop(seen=seen, rounds=rounds):
            seen.append(0)
            return len(seen) == rounds

        with pytest.raises(Stopped):
            single.train(made, workdir, should_stop=stop)
    return single.train(made, workdir)


def assert_the_same_run(whole, record, workdir, again):
    assert again | {"wall_seconds": 0} == record | {"wall_seconds": 0}
    for journal in ("rounds.jsonl", "trials.jsonl"):
        one, other = (without_times(lines(f / journal)) for f in (whole, workdir))
        assert one == other
    name = f"results/{record['trial']}.npz"
    with np.load(whole / name) as one, np.load(workdir / name) as other:
        for key in one.files:
            assert one[key].tobytes() == other[key].tobytes()


def test_a_stopped_run_ends_with_the_same_bits(runs, tmp_path):
    again = train_in_pieces(config(), tmp_path, (3, 2))
    assert_the_same_run(*runs["compressed"], tmp_path, again)


def test_a_search_of_compressed_networks(tmp_path):
    arguments = (
        f"--config={CONFIGS / 'digits_map.py'}:smoke",
        "--config.representation=compressed",
        "--config.space.seeds=(0,)",
        "--config.space.budgets=(1440,)",
        f"--workdir={tmp_path}",
    )
    ok("search", *arguments)
    found = lines(tmp_path / "trials.jsonl")
    kinds = {(r["structure"] == "small_dense", r["representation"]) for r in found}
    assert kinds == {(True, "masked"), (False, "compressed")}
    assert {record["status"] for record in found} <= {"done", "collapsed"}
    plan = lines(tmp_path / "plan.jsonl")
    rooms = [t["rooms"] for c in plan for t in c["trials"] if t["method"] != "dense"]
    assert rooms and all(rooms)
    # A trial repeats with the same bits as in the search.
    one = next(record for record in found if record["method"] == "rigl")
    ok("train", f"--from={tmp_path}:{one['trial']}", f"--workdir={tmp_path}-one")
    (again,) = lines(f"{tmp_path}-one/trials.jsonl")
    assert again["valid_loss"] == one["valid_loss"]


def dataset():
    return load("")


def test_auto_takes_the_layers_that_are_faster(monkeypatch):
    asked = []

    def faster(site, capacity, batch):
        asked.append((site.kernel, capacity, batch))
        return site.kernel[0] == 500

    monkeypatch.setattr(representation, "faster", faster)
    monkeypatch.setattr(native, "usable", lambda: True)
    wide = freeze(wide_fields())
    trial = trials.single_trial(wide, dataset())
    chosen = representation.resolve(wide, dataset(), trial)
    names = ["params/Dense_1/kernel", "params/Dense_2/kernel"]
    assert [name for name, _ in chosen.rooms] == names
    counts = dict(trial.counts)
    assert all(counts[name] <= room for name, room in chosen.rooms)
    assert ((64, 500), 3328, 128) in asked
    assert chosen.name == trial.name and chosen.group != trial.group
    # Another layer of the same room is another program.
    one, other = (
        dataclasses.replace(trial, rooms=((name, 4096),)).group for name in names
    )
    assert one != other
    # Not worth a measurement, and what cannot be.
    asked.clear()
    for changed in (
        freeze({**wide_fields(), "steps": 100}),
        freeze({**wide_fields(), "sparsity": {"method": "snfs"}}),
        freeze({**wide_fields(), "sparsity": {"method": "dense"}}),
        freeze({**wide_fields(), "optimizer": {"name": "adafactor", "options": {}}}),
        freeze({**wide_fields(), "representation": "masked"}),
    ):
        trial = trials.single_trial(changed, dataset())
        assert representation.resolve(changed, dataset(), trial).rooms == ()
    assert not asked
    # A short training is worth it where there are many.
    short = freeze({**wide_fields(), "steps": 100})
    trial = trials.single_trial(short, dataset())
    assert representation.faster_layers(short, dataset(), trial, 100) == tuple(names)
    assert asked


def test_auto_measures_convolutions_of_any_density(monkeypatch):
    asked = []
    monkeypatch.setattr(representation, "faster", lambda *at: bool(asked.append(at)))
    monkeypatch.setattr(native, "usable", lambda: True)
    count = len(dataset().train_inputs)
    images = dataset()._replace(train_inputs=np.zeros((count, 28, 28), np.uint8))
    lenet = {
        "model": {"name": "lenet5", "width": 20, "depth": 4},
        "sparsity": {"density": 0.8, "allocation": "uniform"},
    }
    made = freeze(lenet)
    trial = trials.single_trial(made, images)
    assert representation.faster_layers(made, images, trial) == ()
    assert [site.kernel for site, *_ in asked] == [(5, 5, 1, 20), (5, 5, 20, 50)]


def wide_fields():
    sparsity = {"density": 0.1, "allocation": "uniform"}
    return {"model": {"width": 500}, "sparsity": sparsity}


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"sparsity": {"method": "snfs"}}, "'snfs' looks at gradients of weights that"),
        ({"sparsity": {"method": "granet"}}, "'granet' changes how many weights"),
        ({"sparsity": {"pattern": "block2x2"}}, "'rigl' rewires and does not begin"),
        (
            {"optimizer": {"name": "adafactor", "options": {}}},
            "the optimizer 'adafactor' looks at more of a weight",
        ),
    ],
)
def test_what_cannot_be_compressed_is_refused(fields, message):
    made = freeze({**fields, "representation": "compressed"})
    trial = trials.single_trial(made, dataset())
    with pytest.raises(Impossible, match=message):
        representation.resolve(made, dataset(), trial)


def test_a_pattern_stays_one(tmp_path):
    sparsity = {**FIELDS["sparsity"], "method": "static", "pattern": "block2x2"}
    made = freeze({**FIELDS, "sparsity": sparsity, "representation": "compressed"})
    record = single.train(made, tmp_path)
    assert record["status"] == "done" and record["representation"] == "compressed"
    assert {one["turnover"] for one in lines(tmp_path / "rounds.jsonl")} == {0.0}
    found = results.load(tmp_path / "results" / f"{record['trial']}.npz")
    for mask in found.masks.values():
        rows, columns = mask.shape
        blocks = mask.reshape(rows // 2, 2, columns // 2, 2)
        assert (blocks == blocks[:, :1, :, :1]).all() and 0 < mask.mean() < 1


def test_one_that_stores_more_than_it_declares_is_found_out(tmp_path):
    sparsity = {**FIELDS["sparsity"], "method": "their_algorithms:greedy"}
    made = freeze({**FIELDS, "sparsity": sparsity, "representation": "compressed"})
    with pytest.raises(RuntimeError, match="greedy ended with 640 weights instead"):
        single.train(made, tmp_path)


def test_a_repeated_trial_keeps_its_representation(tmp_path, monkeypatch):
    made = config("auto")
    trial = trials.single_trial(made, dataset())  # masked, as a search planned it
    layers = [name for name, _ in trial.counts]
    monkeypatch.setattr(representation, "faster_layers", lambda *args: layers)
    again = single.train(made, tmp_path / "again", trial=trial)
    assert again["representation"] == "masked"
    own = single.train(made, tmp_path / "own")
    assert own["representation"] == "compressed"


def test_in_a_search_it_is_skipped_with_the_reason():
    fields = {"methods": ("rigl", "snfs"), "budgets": (1000,)}
    made = freeze({"space": fields, "representation": "compressed"})
    found = population(made, dataset())
    assert {trial.method for trial in found.trials} == {"rigl"}
    (skipped,) = found.skipped
    assert "snfs" in skipped.name and "at every step" in skipped.reason


def test_a_wrong_name_is_refused_with_the_right_ones():
    with pytest.raises(UserError, match="auto, masked, compressed.*'compressed'"):
        representation.check(config("compresed"))
    status, _, err = run(
        "train",
        f"--config={CONFIGS / 'digits_map.py'}",
        "--config.representation=sparse",
        "--workdir=/nonexistent",
    )
    assert status == 2 and "config.representation" in err


@pytest.mark.parametrize(
    "name, options, expected",
    [
        ("sgd", {"momentum": 0.9}, True),
        ("adamw", {}, True),
        ("lion", {}, True),
        ("adafactor", {}, False),
    ],
)
def test_elementwise_optimizers_are_known_by_what_they_do(name, options, expected):
    made = freeze({"optimizer": {"name": name, "options": options}})
    assert representation.elementwise(made) == expected


def test_a_convolutional_network_in_bfloat16(tmp_path):
    model = {"name": "cifar_resnet", "width": 4, "depth": 8}
    fields = {"model": model, "steps": 20, "precision": "bfloat16"}
    made = freeze({**FIELDS, **fields, "representation": "compressed"})
    record = single.train(made, tmp_path)
    assert record["status"] == "done" and record["representation"] == "compressed"
    found = results.load(tmp_path / "results" / f"{record['trial']}.npz")
    assert found.masks["params/ResidualBlock_1/Conv_0/kernel"].shape == (3, 3, 4, 8)
    assert sum(mask.sum() for mask in found.masks.values()) == record["nnz"]
    assert record["effective_parameters"] is None
    assert sum(one["grown"] for one in lines(tmp_path / "rounds.jsonl")) > 0


def test_stopped_convolutions_end_with_the_same_bits(tmp_path):
    model = {"name": "their_models:small_stored", "width": 8, "depth": 1}
    fields = {"model": model, "steps": 30, "checkpoint_every": 1}
    made = freeze({**FIELDS, **fields, "representation": "compressed"})
    whole, pieces = tmp_path / "whole", tmp_path / "pieces"
    record = single.train(made, whole)
    assert record["status"] == "done" and record["representation"] == "compressed"
    assert sum(one["grown"] for one in lines(whole / "rounds.jsonl")) > 0
    assert_the_same_run(whole, record, pieces, train_in_pieces(made, pieces, (2,)))


def sites(name, width, depth, shape):
    made = freeze({"model": {"name": name, "width": width, "depth": depth}})
    example = jax.ShapeDtypeStruct(shape, np.float32)
    return representation._compressible(
        name, json.dumps(made.model.options), width, depth, 10, example
    )


def test_faster_is_an_answer():
    if not native.usable():
        pytest.skip("the kernel was not built here")
    found = sites("cifar_resnet", 4, 8, (8, 8, 3))
    window = found["params/ResidualBlock_1/Conv_0/kernel"]
    assert window.kernel == (3, 3, 4, 8) and window.given == (8, 8, 4)
    assert representation.faster(window, 60, 32) in (True, False)
    head = found["params/head/kernel"]
    assert representation.faster(head, 30, 32) in (True, False)
    vast = dataclasses.replace(head, kernel=(65536, 65536))
    assert representation.faster(vast, 600_000, 128)  # nothing is made


def test_layers_that_can_be_compressed():
    vit = sites("vit", 64, 1, (16, 16, 3))
    assert vit["params/TransformerBlock_0/Dense_0/kernel"].given == (17, 64)
    assert "params/TransformerBlock_0/Attention_0/query/kernel" in vit
    mobile = sites("mobilenet_v1", 4, 8, (8, 8, 3))
    assert "params/Conv_1/kernel" in mobile
    assert not [name for name in mobile if "Depthwise" in name]  # channels in groups
