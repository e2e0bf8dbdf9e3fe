"""From a config to an algorithm and its counts: what is refused, and how."""

import pytest
from commands import CONFIGS

from sparse_search import load_config
from sparse_search.data import digits
from sparse_search.errors import UserError
from sparse_search.train.trials import (
    algorithm_of,
    rewires,
    single_trial,
    updates,
)

DIGITS = str(CONFIGS / "digits_map.py")


def trial(*overrides):
    config = load_config(DIGITS, [f"sparsity.{text}" for text in overrides])
    return config, single_trial(config, digits.load(""))


@pytest.mark.parametrize(
    "overrides, words",
    [
        (["options.batchs=2"], "not an argument of rigl; .*Did you mean 'batches'"),
        (["options.batches=2.5"], "batches is a whole number, as in 1, not 2.5"),
        (["options={'candidates': 'x'}"], "candidates is a number, not 'x'"),
        (["options.schedule=3"], "schedule is text, as in 'cosine', not 3"),
        (["options.batches=200"], "between 1 and those"),
        (["options.new=one"], "zero, random, gradient"),
        (["options.pattern=fan_in"], "options.pattern is not an argument"),
        (["drop_schedule=cosin"], "Did you mean 'cosine'"),
        (["method=snip", "drop_schedule=cosine", "pattern=2:3"], "that 3 divides"),
        (["method=snfs", "pattern=fan_in"], "'snfs' takes no pattern"),
        (["allocation=global"], "keeps the number of every layer; .* snip, grasp"),
        (["method=gradual", "rewire_until=0.0"], "leaves no rewire"),
        (["layer_nnz.Dense_9=5"], "names 0 of the layers"),
        (["layer_nnz.kernel=5"], "names 3 of the layers"),
        (["layer_nnz.Dense_0=90000"], "a whole number from 1 to 8,192"),
        (["layer_nnz={'Dense_0': 0.5}"], "cannot have 0.5 weights"),
        (["nnz=300", "layer_nnz.Dense_0=299"], "are left for 2 other layers"),
        (["pattern=fan_in", "nnz=200"], "a weight for each of 128 neurons"),
        (["pattern=2:4", "density=0.45"], "stores at least"),
        (["pattern=blok"], "There is no pattern 'blok'"),
        (["allocation=er^x"], "Did you mean 'er"),
    ],
)
def test_what_cannot_be_is_told_in_a_sentence(overrides, words):
    with pytest.raises(UserError, match=words):
        trial(*overrides)


def test_options_reach_the_algorithm():
    config, one = trial("method=mest", "options.soft_bound=0.1")
    assert algorithm_of(config, one).conserves == "end"
    assert algorithm_of(*trial("method=mest")).conserves == "layer"
    config, one = trial("method=granet", "allocation=lamp")
    assert algorithm_of(config, one).conserves == "total_end"
    assert one.group.endswith("-lamp")


def test_the_numbers_of_single_layers():
    _, one = trial("nnz=1000", "layer_nnz.Dense_0=500", "layer_nnz.Dense_2=100")
    assert dict(one.counts) == {
        "params/Dense_0/kernel": 500,
        "params/Dense_1/kernel": 400,
        "params/Dense_2/kernel": 100,
    }
    _, one = trial("allocation=uniform_dense_first", "density=0.5")
    assert dict(one.counts)["params/Dense_0/kernel"] == 64 * 128


def test_the_exponent_of_er():
    counts = [dict(trial(f"allocation={a}")[1].counts) for a in ("er^0", "uniform")]
    assert counts[0] == counts[1]
    counts = [dict(trial(f"allocation={a}")[1].counts) for a in ("er^1", "er")]
    assert counts[0] == counts[1]
    first = [
        dict(trial(f"allocation=er^{p}")[1].counts)["params/Dense_1/kernel"]
        for p in (0, 0.5, 1, 1.5)
    ]
    assert first == sorted(first, reverse=True) and first[0] > first[-1]


def test_a_pattern_is_part_of_the_structure_and_of_the_name():
    _, one = trial("pattern=fan_in", "density=0.2")
    assert one.structure == "rigl w128 d2 er fan_in"
    assert "-fan_in-" in one.point and one.pattern == "fan_in"
    for (_, count), neurons in zip(one.counts, (128, 128, 10), strict=True):
        assert count % neurons == 0


@pytest.mark.parametrize("growth, expected", [(1.0, 7), (2.0, 3), (100.0, 2)])
def test_rewires_of_growing_intervals(growth, expected):
    # 750 of 1,000 steps in rounds of 100: the last that may rewire is the seventh.
    config, one = trial(f"interval_growth={growth}")
    assert rewires(config, algorithm_of(config, one)) == expected
    config, one = trial("method=static")
    assert rewires(config, algorithm_of(config, one)) == 0


def test_trainings_share_the_steps():
    config, one = trial("method=lottery")
    assert updates(config, one) == (1000 - 7) // 4


def test_scaling_initial_weights_reaches_the_algorithm():
    assert algorithm_of(*trial("method=set")).init.keywords.get("scaled", True)
    assert not algorithm_of(*trial("method=set", "scale_init=False")).init.keywords[
        "scaled"
    ]
