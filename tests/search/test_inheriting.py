"""A search whose children begin with what their parents ended with."""

import csv

import numpy as np
import pytest
from commands import CONFIGS, ok, without_times

from sparse_search import load_config, records, results
from sparse_search.report.build import build_report
from sparse_search.search import driver
from sparse_search.train.stopped import Stopped

FIELDS = (
    "space.budgets=(656,)",
    "space.widths=(16, 32)",
    "space.methods=('static', 'set')",
    "space.seeds=(0, 1)",
    "steps=40",
    "checkpoint_every=1",
    "strategy.name=evolution",
    "strategy.points=4",
    "strategy.generation=1",
    "strategy.inherit=True",
    "executor=local",
    "lanes=2",
)


def config():
    return load_config(f"{CONFIGS / 'digits_map.py'}:smoke", list(FIELDS))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("inheriting") / "map"
    driver.search(config(), workdir)
    return workdir


def heirs(workdir):
    return [r for r in records.read_trials(workdir).values() if r["parent"]]


def test_children_have_their_own_number_of_weights(whole):
    trials = records.read_trials(whole)
    assert len(trials) == 4 * 2 + 2  # and small dense
    assert heirs(whole)
    for record in heirs(whole):
        assert record["status"] == "done"
        assert record["nnz"] == record["budget"] == 656
        assert trials[record["parent"]]["seed"] == record["seed"]


def test_a_static_child_keeps_the_mask_that_it_inherits(whole):
    (one, *_) = [r for r in heirs(whole) if r["method"] == "static"]
    child, parent = (
        results.load(results.file(whole, name))
        for name in (one["trial"], one["parent"])
    )
    name = "params/Dense_0/kernel"
    mine, theirs = child.masks[name], parent.masks[name]
    width = min(mine.shape[1], theirs.shape[1])
    both = (mine[:, :width] & theirs[:, :width]).sum()
    assert both == min(mine.sum(), theirs[:, :width].sum())


def test_children_begin_where_their_parents_ended(whole):
    rounds = records.read_rounds(whole)
    first = [rounds[r["trial"], 1]["train_loss"] for r in heirs(whole)]
    alone = [
        rounds[name, 1]["train_loss"]
        for name, record in records.read_trials(whole).items()
        if not record["parent"] and record["method"] != "dense"
    ]
    assert max(first) < min(alone)


def test_interrupted_again_and_again_it_is_the_same_search(whole, tmp_path):
    def rounds():
        return len(records.read_rounds(tmp_path))

    def has_children():
        plan = records.read_plan(tmp_path).values()
        return any(trial["parent"] for chunk in plan for trial in chunk["trials"])

    # Twice in the first generation, and at the children at the latest: which waiting
    # group is trained first depends on what was measured.
    for stop in (lambda: rounds() > 2, lambda: rounds() > 6, has_children):
        with pytest.raises(Stopped):
            driver.search(config(), tmp_path, should_stop=stop)
    assert len(records.read_trials(tmp_path)) < len(records.read_trials(whole))
    driver.search(config(), tmp_path)
    for read in (records.read_trials, records.read_rounds):
        found = without_times(read(tmp_path).values())
        assert found == without_times(read(whole).values())


def test_a_child_is_repeated_to_the_bit(whole, tmp_path):
    one = heirs(whole)[-1]
    ok("train", f"--from={whole}:{one['trial']}", f"--workdir={tmp_path / 'again'}")
    (same,) = records.read_trials(tmp_path / "again").values()
    assert same["valid_loss"] == one["valid_loss"]
    found, was = (
        results.load(results.file(folder, one["trial"]))
        for folder in (tmp_path / "again", whole)
    )
    for name, value in was.params.items():
        assert (np.asarray(found.params[name]) == value).all()


def test_the_report_leaves_children_out_of_curves_and_map(whole, tmp_path):
    summary = build_report(whole, tmp_path / "report")
    assert any(
        "trials began with the weights of a parent" in s for s in summary.verdict
    )
    with open(tmp_path / "report" / "curves.csv") as file:
        rows = list(csv.DictReader(file))
    assert sum(bool(row["parent"]) for row in rows) == len(heirs(whole))
