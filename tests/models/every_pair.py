"""Every algorithm trains every family of models: some 250 short trainings.

Not among the tests that run by themselves; most of an hour on a core:

    pytest tests/models/every_pair.py
"""

import math

import commands
import data_files
import numpy as np
import pytest
from commands import CONFIGS, lines, ok

from sparse_search import build
from sparse_search.config import Model
from sparse_search.config_file import load_config
from sparse_search.train.single import load_dataset
from sparse_search.train.trials import model_shapes, sparse_shapes

IMAGES = "cifar10_resnet32", data_files.cifar10_binary
TEXT = "shakespeare_gpt", lambda folder: data_files.text(folder / "input.txt")
# The data, a width and a depth.
FAMILIES = {
    "mlp": (*IMAGES, 8, 1),
    "lenet_300_100": (*IMAGES, 12, 2),
    "lenet5": (*IMAGES, 8, 4),
    "vgg": (*IMAGES, 4, 11),
    "resnet": (*IMAGES, 4, 18),
    "cifar_resnet": (*IMAGES, 4, 8),
    "wrn": (*IMAGES, 8, 10),
    "mobilenet_v1": (*IMAGES, 4, 13),
    "vit": (*IMAGES, 8, 1),
    "gpt": (*TEXT, 8, 1),
    "gru": (*TEXT, 8, 1),
    "lstm": (*TEXT, 8, 1),
}
# Three colours are no four inputs: there the first layer stays dense.
PATTERN = {"sr_ste": "2:4"}
# Dense networks have no masks to rewire; the search trains them as the reference.
METHODS = [name for name in build.ALGORITHMS if name not in ("dense", *PATTERN)]


def test_all_families_are_here():
    assert FAMILIES.keys() == build.MODELS.keys()


@pytest.mark.parametrize("family", FAMILIES)
def test_every_algorithm_trains(family, tmp_path, monkeypatch):
    # Twenty programs of a deep network compile for minutes.
    monkeypatch.setattr(commands, "MOST_SECONDS", 3600)
    name, write, width, depth = FAMILIES[family]
    data = tmp_path / "data"
    write(data)
    path = f"{CONFIGS / name}.py:smoke"
    dataset = load_dataset(load_config(path, [f"data_dir={data}"]))
    found = model_shapes(Model(family), width, depth, dataset.classes, dataset.example)
    shapes = sparse_shapes(found).values()
    size = sum(map(math.prod, shapes))
    half = size // 2
    # With 2 of 4 inputs; where four do not divide them the layer is the first.
    whole = all(s[-2] % 4 == 0 for s in shapes)
    stored = sum(math.prod(s) // (1 if s[-2] % 4 else 2) for s in shapes)
    common = [f"--config={path}", f"--config.data_dir={data}"]
    common += [f"--config.model.name={family}", f"--config.model.depth={depth}"]
    common += ["--config.optimizer.options={}"]
    searched = [
        *("search", *common, f"--workdir={tmp_path / 'search'}"),
        *(f"--config.space.budgets=({half},)", f"--config.space.widths=({width},)"),
        *(f"--config.space.methods={METHODS!r}", "--config.space.seeds=(0,)"),
        "--config.space.learning_rates=(0.001,)",
        "--config.space.small_dense.depths=()",
        "--config.sparsity.allocation=uniform",
    ]
    ok(*searched)
    records = lines(tmp_path / "search" / "trials.jsonl")
    for method, pattern in PATTERN.items():
        ok(
            *("train", *common, f"--workdir={tmp_path / method}"),
            *(f"--config.sparsity.method={method}", f"--config.model.width={width}"),
            f"--config.sparsity.pattern={pattern}",
            f"--config.sparsity.nnz={stored}",
            f"--config.sparsity.allocation=uniform{'' if whole else '_dense_first'}",
        )
        records += lines(tmp_path / method / "trials.jsonl")
    trained = {record["method"]: record for record in records}
    assert trained.keys() == {*METHODS, *PATTERN}
    for method, record in trained.items():
        # In six steps not all come off chance level.
        assert record["status"] in ("done", "collapsed"), record
        assert np.isfinite(record["test_loss"]), method
        assert 0 < record["nnz"] <= size, method
