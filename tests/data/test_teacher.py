import jax
import jax.numpy as jnp
import numpy as np
import pytest

import sparse_search
from sparse_search.algorithms.static import static
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


def test_rigl_recovers_the_support_better_than_static_masks(tmp_path):
    """At equal nnz: the inputs that matter, and the connections themselves."""
    options = dict(inputs=64, width=8, classes=4, nnz=56, examples=8000)
    truth = teacher.masks(**options)
    counts = {name: int(mask.sum()) for name, mask in truth.items()}
    assert counts == {"Dense_0/kernel": 28, "Dense_1/kernel": 28}
    config = freeze(
        {
            "data": {"name": "teacher", "validation": 500, "options": options},
            "model": {"width": 8, "depth": 1},
            "sparsity": {
                "nnz": 56,
                "layer_nnz": {"Dense_0": 28, "Dense_1": 28},
                "rewire_every": 20,
            },
            "optimizer": {"name": "adam", "learning_rate": 0.02, "options": {}},
            "representation": "masked",
            "steps": 2000,
            "batch_size": 64,
        }
    )
    record = sparse_search.run_train(config, tmp_path / "run")
    found = sparse_search.load(tmp_path / "run").result(record["trial"])[1]
    inputs, connections = recovered(truth, found)
    # Static masks stay as they begin.
    params = {name: jnp.zeros(mask.shape) for name, mask in truth.items()}
    begin = jax.jit(lambda seed: static().init(jax.random.key(seed), params, counts)[1])
    by_chance = [recovered(truth, begin(seed).masks) for seed in range(20)]
    best_inputs, best_connections = np.max(by_chance, axis=0)
    assert inputs > best_inputs + 0.2, (inputs, best_inputs)
    assert connections > best_connections + 0.2, (connections, best_connections)


def recovered(truth, masks):
    """The share of the first layer that is on inputs of the teacher, and on its own."""
    truth = list(truth.values())
    first, second = structure.match(truth, [np.asarray(m) for m in masks.values()])
    assert first.sum() == second.sum() == 28
    used = truth[0].any(axis=1)
    return first[used].sum() / 28, (first & truth[0]).sum() / 28
