import numpy as np
import pytest

import sparse_search
from sparse_search.analysis import structure
from sparse_search.config import freeze
from sparse_search.data import teacher
from sparse_search.errors import UserError
from sparse_search.testing import datasets


def test_the_contract():
    data = datasets.check(teacher.load, examples=60)
    assert data.train_inputs.shape == (60, 64) and data.classes == 4


def test_the_dials():
    for inputs, width, classes, nnz in ((64, 8, 4, 48), (10, 3, 5, 12), (5, 4, 2, 28)):
        options = dict(inputs=inputs, width=width, classes=classes, nnz=nnz)
        masks = teacher.masks(**options)
        first, second = masks["Dense_0/kernel"], masks["Dense_1/kernel"]
        assert first.shape == (inputs, width) and second.shape == (width, classes)
        assert first.sum() + second.sum() == nnz
        assert first.any(axis=0).all() and second.any(axis=0).all()
    assert (
        teacher.masks(seed=1)["Dense_0/kernel"] != teacher.masks()["Dense_0/kernel"]
    ).any()


def test_labels_are_the_teachers_and_noise_is_what_it_says():
    clean = teacher.load(examples=4000)
    share = np.bincount(clean.train_labels) / 4000
    assert share.min() > 0.15, "classes are about equal"
    # Only inputs that the teacher looks at change a label.
    noisy = teacher.load(examples=4000, noise=0.4)
    assert (noisy.train_inputs == clean.train_inputs).all()
    wrong = (noisy.train_labels != clean.train_labels).mean()
    assert wrong == pytest.approx(0.4 * 3 / 4, abs=0.03)


@pytest.mark.parametrize(
    "options", [{"nnz": 3}, {"nnz": 10**6}, {"noise": 1.5}, {"inputs": 0}]
)
def test_no_such_teacher(options):
    with pytest.raises(UserError):
        teacher.load(**options)


def test_rigl_recovers_the_support_better_than_a_static_mask(tmp_path):
    options = dict(inputs=64, width=8, classes=4, nnz=48, examples=4000)
    truth = list(teacher.masks(**options).values())
    shared = {}
    for method in ("static", "rigl"):
        config = freeze(
            {
                "data": {"name": "teacher", "validation": 500, "options": options},
                "model": {"width": 8, "depth": 1},
                "sparsity": {"method": method, "nnz": 48, "rewire_every": 20},
                "optimizer": {"learning_rate": 0.3},
                "steps": 800,
                "batch_size": 64,
            }
        )
        record = sparse_search.run_train(config, tmp_path / method)
        found = sparse_search.load(tmp_path / method).result(record["trial"])[1]
        assert sum(mask.sum() for mask in found.values()) == 48
        shared[method] = structure.overlap(truth, list(found.values())).matched
    print(shared)
    assert shared["rigl"] > shared["static"] + 0.2
