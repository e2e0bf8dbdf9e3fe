"""Data that are read while training, and augmented: resumed to the bit."""

import data_files
import numpy as np
import pytest
from commands import lines, without_times

import sparse_search
from sparse_search.config import freeze
from sparse_search.errors import UserError
from sparse_search.train.lanes import Loaded
from sparse_search.train.single import load_dataset
from sparse_search.train.trials import check


def config(folder, **fields):
    return freeze(
        {
            "data": {
                "name": "image_folder",
                "options": {"size": 8},
                "validation": 8,
                "augment": ("crop", "flip", "cutout", "mixup"),
            },
            "data_dir": str(folder),
            "model": {"width": 8, "depth": 1},
            "sparsity": {"method": "dense", "rewire_every": 3},
            "representation": "masked",
            "steps": 12,
            "batch_size": 6,
            "checkpoint_every": 2,
            **fields,
        }
    )


def test_a_broken_run_ends_with_the_same_bits(tmp_path):
    """It breaks over an image that is first seen in the third of four rounds."""
    folder = data_files.image_folder(tmp_path / "images", each=40)
    given = config(folder)
    sparse_search.run_train(given, tmp_path / "whole")
    loaded = Loaded(given, load_dataset(given))
    row = first_seen_in_round(3, loaded)
    path = sorted((folder / "train").rglob("*.png"))[row]
    whole = path.read_bytes()
    path.write_bytes(whole[:100])
    with pytest.raises(UserError, match=f"{path.name} is no image that can be read"):
        sparse_search.run_train(given, tmp_path / "run")
    assert len(lines(tmp_path / "run" / "rounds.jsonl")) == 2
    path.write_bytes(whole)
    sparse_search.run_train(given, tmp_path / "run")
    for journal in ("rounds.jsonl", "trials.jsonl"):
        assert without_times(lines(tmp_path / "whole" / journal)) == without_times(
            lines(tmp_path / "run" / journal)
        )
    (file,) = (tmp_path / "whole" / "results").iterdir()
    with np.load(file) as one, np.load(tmp_path / "run" / "results" / file.name) as two:
        for name in one.files:
            np.testing.assert_array_equal(one[name], two[name])


def first_seen_in_round(number, loaded):
    before = np.asarray([loaded.rows([0], 3 * n) for n in range(number)])
    (row, *_) = np.setdiff1d(before[-1], before[:-1])
    return row


def test_one_device(tmp_path):
    folder = data_files.image_folder(tmp_path, each=8)
    given = config(folder, devices=0)
    with pytest.raises(UserError, match="is for one device: set config.devices=1"):
        check(given, load_dataset(given))
