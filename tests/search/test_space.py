"""The space: its dimensions, what follows from a budget, and what is left out."""

import dataclasses
import math

import jax
import pytest

from sparse_search import records, results, run_search
from sparse_search.config import freeze
from sparse_search.data import digits
from sparse_search.errors import UserError
from sparse_search.search import groups, space
from sparse_search.search.worker import Worker
from sparse_search.train import costs, representation
from sparse_search.train.lanes import Group, Loaded
from sparse_search.train.sharding import placement
from sparse_search.train.single import from_search
from sparse_search.train.trials import algorithm_of, single_trial


@pytest.fixture(scope="module")
def dataset():
    return digits.load()


@pytest.fixture(scope="module")
def loaded(dataset):
    return Loaded(freeze({}), dataset)


def found(dataset, *, sparsity=None, representation="auto", **axes):
    given = {"budgets": (600,), "widths": (32,), "seeds": (0,), **axes}
    config = freeze(
        {
            "space": given,
            "sparsity": sparsity or {},
            "representation": representation,
        }
    )
    return space.population(config, dataset)


def test_patterns_are_a_dimension(dataset):
    patterns = ("unstructured", "fan_in", "2:4")
    methods = ("set", "snfs")
    trials, skipped = found(
        dataset,
        patterns=patterns,
        methods=methods,
        allocations=("uniform",),
        budgets=(1700,),
        seeds=(0, 1),
    )
    sparse = {(t.method, t.pattern) for t in trials}
    assert sparse == {("set", p) for p in patterns} | {("snfs", "unstructured")}
    assert len(trials) == 2 * len(sparse) == len({t.name for t in trials})
    # A group is one program, so it has one pattern.
    members = groups.by_group(trials)
    assert all(len({t.pattern for t in of}) == 1 for of in members.values())
    assert len(members) == len(sparse)
    assert {t.structure for t in trials} == {
        "set w32 d2 uniform",
        "set w32 d2 uniform fan_in",
        "set w32 d2 uniform 2:4",
        "snfs w32 d2 uniform",
    }
    assert [(s.name, s.reason) for s in skipped] == [
        (
            f"snfs w32 d2 uniform {p} at 1,700 weights",
            f"The method 'snfs' takes no pattern, and is asked for {p!r}.",
        )
        for p in ("fan_in", "2:4")
    ]
    for trial in trials:
        algorithm = algorithm_of(freeze({}), trial)
        assert algorithm.pattern.name == trial.pattern


def test_combinations_that_exclude_each_other_are_skipped(dataset):
    trials, skipped = found(
        dataset,
        methods=("snip",),
        allocations=("er", "global"),
        patterns=("unstructured", "fan_in"),
    )
    assert {(t.allocation, t.pattern) for t in trials} == {
        ("er", "unstructured"),
        ("er", "fan_in"),
        ("global", "unstructured"),
    }
    (one,) = skipped
    assert one.name == "snip w32 d2 global fan_in at 600 weights"
    assert "the pattern 'fan_in' cannot have" in one.reason


def test_the_pattern_of_a_search_without_that_dimension(dataset):
    trials, _ = found(dataset, sparsity={"method": "set", "pattern": "fan_in"})
    assert {t.pattern for t in trials} == {"fan_in"}


def test_what_is_chosen_of_patterns(dataset):
    with pytest.raises(UserError, match="no pattern 'fanin'.* mean 'fan_in'"):
        found(dataset, patterns=("fanin",))
    with pytest.raises(UserError, match="config.space.patterns has no values"):
        found(dataset, patterns=())


def test_densities_are_of_one_network_and_shared_by_all(dataset):
    # The kernels of 64-128-128-10 are 25,856.
    trials, _ = found(
        dataset,
        budgets=None,
        densities=(0.01, 0.05, 0.0100001),
        widths=(32, 128),
        small_dense={"depths": (2,), "learning_rates": (0.1,), "tolerance": 0.05},
    )
    assert {t.budget for t in trials} == {259, 1293}
    assert {(t.width, t.nnz) for t in trials if t.method == "rigl"} == {
        (width, nnz) for width in (32, 128) for nnz in (259, 1293)
    }
    # Of 3 neurons small dense has 231 weights, of 4 312.
    assert {t.budget for t in trials if t.method == "dense"} == {1293}


@pytest.mark.parametrize(
    "axes, words",
    [
        ({"densities": (0.1,)}, "are both set; a search takes one"),
        ({"budgets": None}, "or config.space.densities"),
        ({"budgets": None, "densities": ()}, "config.space.densities has no values"),
        (
            {"budgets": None, "densities": (0.9,), "widths": (16,)},
            "The budget 23,270 in config.space.densities fits none",
        ),
    ],
)
def test_budgets_or_densities(dataset, axes, words):
    with pytest.raises(UserError, match=words):
        found(dataset, **axes)


def test_rates_and_seeds_share_a_network(dataset):
    trials, _ = found(dataset, learning_rates=(0.1, 0.2), seeds=(3, 4, 5))
    assert [(t.learning_rate, t.seed) for t in trials] == [
        (rate, seed) for rate in (0.1, 0.2) for seed in (3, 4, 5)
    ]
    assert len({t.counts for t in trials}) == 1


# Caps.


def test_training_above_a_cap_is_left_out(dataset):
    # 2,000 steps of 128 examples, 3 times 2 FLOPs a weight and one a neuron.
    def cost(weights, neurons):
        return 2000 * 128 * 3 * (2 * weights + neurons)

    axes = {
        "budgets": (600, 1200),
        "methods": ("static", "set", "gradual"),
        "small_dense": {"depths": (1,), "learning_rates": (0.1,), "tolerance": 0.02},
    }
    trials, skipped = found(dataset, **axes, max_train_flops=cost(1000, 0))
    assert {(t.method, t.budget) for t in trials} == {
        ("static", 600),
        ("set", 600),
        ("dense", 600),
    }
    named = {one.name: one.reason for one in skipped}
    assert named["set w32 d2 er at 1,200 weights"] == (
        f"it takes {cost(1200, 74):,} FLOPs to train, and "
        "config.space.max_train_flops=1,536,000,000"
    )
    # Pruned from dense: 3,392 weights at first, at either budget.
    for budget, weights in (("600", 600), ("1,200", 1200)):
        reason = named[f"gradual w32 d2 er at {budget} weights"]
        taken = int(reason.split()[2].replace(",", ""))
        assert cost(weights, 74) < taken < cost((weights + 3392) / 2, 74)
    # Small dense networks too: 16 neurons of 74 weights.
    assert named["small_dense d1 at 1,200 weights"].startswith(
        f"it takes {cost(16 * 74, 26):,} FLOPs"
    )
    whole, nothing = found(dataset, **axes, max_train_flops=cost(3392, 74))
    assert len(whole) == 8 and not nothing


def test_the_cost_of_training_is_what_a_trial_records(dataset):
    config = freeze({"sparsity": {"method": "rigl"}})
    trial = single_trial(config, dataset)
    algorithm = algorithm_of(config, trial)
    assert costs.train_flops(config, trial) == costs.most_train_flops(
        config, trial, algorithm
    )
    config = freeze({"sparsity": {"method": "dsr"}})
    algorithm = algorithm_of(config, trial := single_trial(config, dataset))
    known = costs.train_flops(config, trial)
    assert known == costs.most_train_flops(config, trial, algorithm)
    # Layers share their weights; where those count differently, nothing is known but
    # that they cannot cost more than where they cost most.
    windows = dataclasses.replace(trial, uses=(9, 1, 1))
    assert costs.train_flops(config, windows) is None
    most = costs.most_train_flops(config, windows, algorithm)
    steps = 3 * config.steps * config.batch_size
    assert most == known + steps * 2 * 8 * min(trial.nnz, trial.sizes[0])


def test_inference_above_a_cap_is_left_out(dataset):
    axes = {"budgets": (600, 1200), "methods": ("set",)}
    trials, (skipped,) = found(dataset, **axes, max_inference_flops=1274)
    assert {t.budget for t in trials} == {600}
    assert "takes 2,474 FLOPs an example" in skipped.reason


def test_a_cap_below_everything_is_a_mistake(dataset):
    with pytest.raises(UserError, match="config.space.max_inference_flops=5"):
        found(dataset, max_inference_flops=5)


@pytest.mark.parametrize("method", ["dense", "static", "rigl", "srigl"])
@pytest.mark.parametrize("name", ["sgd", "adam", "adafactor"])
def test_the_bytes_of_a_masked_trial(loaded, method, name):
    check_bytes(loaded, {"method": method}, name, "masked")


@pytest.mark.parametrize("name", ["sgd", "adam"])
def test_the_bytes_of_a_compressed_trial(loaded, name):
    check_bytes(loaded, {"method": "set", "density": 0.03}, name, "compressed")


def check_bytes(loaded, sparsity, name, kept):
    """What is counted is what a training carries, but for counters and the like."""
    config = freeze(
        {
            "sparsity": sparsity,
            "optimizer": {"name": name, "options": {}},
            "representation": kept,
            "model": {"width": 200},
        }
    )
    dataset = loaded.dataset
    trial = representation.resolve(config, dataset, single_trial(config, dataset))
    assert bool(trial.rooms) == (kept == "compressed")
    state = Group(config, trial, loaded).shapes([trial], placement(1, 1)).train
    carried = sum(math.prod(x.shape) * x.dtype.itemsize for x in jax.tree.leaves(state))
    assert carried - 100 <= costs.state_bytes(config, dataset, trial) <= carried


def test_memory_above_a_cap_is_left_out(dataset):
    axes = {"methods": ("set",), "widths": (64, 512), "max_bytes": 400_000}
    trials, (skipped,) = found(dataset, **axes, representation="masked")
    assert {t.width for t in trials} == {64}
    # Weights and momentum, 4 bytes each, and a byte a mask; biases; a step count.
    size, biases = 512 * (64 + 512 + 10), 2 * 512 + 10
    assert f"takes {9 * size + 8 * biases + 4:,} bytes of memory" in skipped.reason
    assert "max_bytes=400,000" in skipped.reason
    # What a measurement decides counts as masked; compressed, it fits.
    assert found(dataset, **axes, representation="auto").skipped == (skipped,)
    trials, skipped = found(dataset, **axes, representation="compressed")
    assert {t.width for t in trials} == {64, 512} and not skipped


# In a workdir.


def test_a_search_over_patterns_and_densities(tmp_path):
    axes = {
        "budgets": None,
        "densities": (0.06,),
        "patterns": ("fan_in", "unstructured"),
        "methods": ("static",),
        "widths": (32,),
        "seeds": (0,),
    }
    config = freeze(
        {
            "space": axes,
            "steps": 10,
            "batch_size": 16,
            "sparsity": {"rewire_every": 10},
            "executor": "local",
            "lanes": 1,
        }
    )
    run_search(config, tmp_path)
    one, other = records.read_trials(tmp_path).values()
    assert (one["pattern"], other["pattern"]) == ("fan_in", "unstructured")
    assert other["nnz"] == other["budget"] == one["budget"] == round(0.06 * 25856)
    assert one["nnz"] < one["budget"] and one["status"] == other["status"]
    # Masks have the pattern of their trial, and so has what repeats it.
    masks = results.load(tmp_path / "results" / f"{one['trial']}.npz").masks
    for mask in masks.values():
        assert len(set(mask.sum(axis=0).tolist())) == 1
    again, trial = from_search(tmp_path, one["trial"])
    assert again.sparsity.pattern == trial.pattern == "fan_in"


def test_speed_is_measured_of_methods_that_compare_all_layers(dataset, tmp_path):
    config = freeze({"steps": 20, "sparsity": {"rewire_every": 10}, "lanes": 1})
    trials = found(dataset, methods=("snip",), allocations=("global",)).trials
    config = dataclasses.replace(config, batch_size=16)
    assert Worker(config, tmp_path).measure(trials).seconds > 0
