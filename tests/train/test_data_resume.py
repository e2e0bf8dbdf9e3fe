"""Data that are read while training, and augmented: resumed to the bit."""

import data_files
import numpy as np
import pytest
from commands import lines, without_times

import sparse_search
from sparse_search.config import freeze
from sparse_search.errors import UserError

pytestmark = pytest.mark.usefixtures("quick_compilation")


class Killed(Exception):
    pass


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
            "sparsity": {"method": "static", "density": 0.5, "rewire_every": 3},
            "steps": 12,
            "batch_size": 6,
            "checkpoint_every": 2,
            **fields,
        }
    )


def test_a_broken_run_ends_with_the_same_bits(tmp_path):
    folder = data_files.image_folder(tmp_path / "images")
    sparse_search.run_train(config(folder), tmp_path / "whole")

    def kill(record):
        if record["round"] == 3:  # between two checkpoints
            raise Killed

    with pytest.raises(Killed):
        sparse_search.run_train(config(folder), tmp_path / "run", on_round=kill)
    sparse_search.run_train(config(folder), tmp_path / "run")
    for journal in ("rounds.jsonl", "trials.jsonl"):
        assert without_times(lines(tmp_path / "whole" / journal)) == without_times(
            lines(tmp_path / "run" / journal)
        )
    (file,) = (tmp_path / "whole" / "results").iterdir()
    with np.load(file) as one, np.load(tmp_path / "run" / "results" / file.name) as two:
        for name in one.files:
            np.testing.assert_array_equal(one[name], two[name])


def test_a_damaged_image_ends_training_with_a_sentence(tmp_path):
    folder = data_files.image_folder(tmp_path / "images")
    (folder / "train" / "bee" / "007.png").write_bytes(b"not an image")
    with pytest.raises(UserError, match="007.png is no image that can be read"):
        sparse_search.run_train(config(folder), tmp_path / "run")
    with pytest.raises(UserError, match="is for one device: set config.devices=1"):
        sparse_search.run_train(config(folder, devices=0), tmp_path / "other")
