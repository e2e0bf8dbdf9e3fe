"""What a round says of its topology, from the journal of a real run."""

import json
import math

import numpy as np
import pytest

import sparse_search
from sparse_search.costs.parameters import effective
from sparse_search.names import natural

CONFIG = [
    "steps=60",
    "sparsity.rewire_every=10",
    "sparsity.density=0.1",
    "model.width=32",
    "sparsity.rewire_until=0.5",
]


def run(workdir, method, *more):
    config = sparse_search.load_config(
        "configs/digits_map.py", [*CONFIG, f"sparsity.method={method}", *more]
    )
    record = sparse_search.run_train(config, workdir)
    rounds = [json.loads(line) for line in (workdir / "rounds.jsonl").open()]
    masks = sparse_search.load(workdir).result(record["trial"]).masks
    return record, rounds, masks


def test_a_round_of_rigl(tmp_path):
    record, rounds, masks = run(tmp_path / "w", "rigl")
    first, last = rounds[0], rounds[-1]
    assert len(rounds) == 6 and first["dropped"] == first["grown"] > 0
    assert rounds[1]["grown"] > 0 and not any(r["grown"] for r in rounds[3:])
    assert last["nnz"] == record["nnz"] and last["density"] == record["density"]
    assert last["effective_parameters"] == record["effective_parameters"]
    order = sorted(masks, key=natural)
    found = effective([masks[name] for name in order], biases=True)
    hidden = sum(masks[name].shape[1] for name in order[:-1])
    assert last["dead_neurons"] == hidden - sum(found.neurons[1:])
    assert record["effective_neurons"] == list(found.neurons)
    for name, mask in masks.items():
        layer = last["layers"][name]
        fan_in = mask.sum(axis=0)
        assert layer["nnz"] == mask.sum()
        assert layer["density"] == pytest.approx(mask.mean())
        assert layer["fan_in_spread"] == pytest.approx(fan_in.std() / fan_in.mean())
    # What was explored only grows, and what is stored was explored.
    explored = [r["exploration"] for r in rounds]
    assert explored == sorted(explored) and explored[0] > record["density"]
    turnover = first["turnover"]
    assert turnover == pytest.approx(first["grown"] / first["nnz"])
    assert all(r["gradient_norm_on"] > 0 < r["gradient_norm_off"] for r in rounds)


def test_rounds_of_a_static_and_of_a_dense_network(tmp_path):
    _, rounds, _ = run(tmp_path / "static", "static")
    assert {r["turnover"] for r in rounds} == {0}
    assert all(r["exploration"] == pytest.approx(0.1, abs=1e-3) for r in rounds)
    record, rounds, _ = run(tmp_path / "dense", "dense")
    assert rounds[-1]["nnz"] == record["nnz"] and rounds[-1]["layers"] == {}
    assert rounds[-1]["density"] == 1 and rounds[-1]["gradient_norm_off"] == 0
    assert rounds[-1]["effective_parameters"] is None


def test_growing_intervals_rewire_less_often(tmp_path):
    more = ("sparsity.interval_growth=2.0", "sparsity.rewire_until=1.0")
    record, rounds, _ = run(tmp_path / "w", "set", *more)
    # After rounds 1 and 3, and at the last.
    assert [r["grown"] > 0 for r in rounds] == [True, False, True, False, False, True]
    assert math.isfinite(record["train_loss"]) and np.isfinite(record["train_flops"])
