import collections
import dataclasses

import numpy as np
import pytest

from sparse_search.config import freeze
from sparse_search.data import digits
from sparse_search.errors import UserError
from sparse_search.search import groups, space
from sparse_search.search.driver import search
from sparse_search.search.groups import Planned, Speed
from sparse_search.search.worker import Job, Worker, mapped
from sparse_search.train import representation, sharding
from sparse_search.train.lanes import Group, Loaded
from sparse_search.train.run import Chunk, run_chunk


def config(**more):
    given = {
        "steps": 30,
        "batch_size": 16,
        "sparsity": {"rewire_every": 10},
        "space": {
            "budgets": (300, 600),
            "widths": (16, 24),
            "methods": ("static", "rigl"),
            "seeds": (0, 1),
            "small_dense": {"depths": (1,), "learning_rates": (0.1,)},
        },
    }
    return freeze({**given, **more})


@pytest.fixture(scope="module")
def dataset():
    return digits.load()


@pytest.fixture(scope="module")
def trials(dataset):
    return space.population(config(), dataset).trials


def test_budgets_are_met_to_the_unit(trials):
    for trial in trials:
        if trial.structure != "small_dense":
            assert trial.nnz == trial.budget
        assert sum(trial.sizes) * trial.density == pytest.approx(trial.nnz)


def test_small_dense_takes_the_nearest_width(dataset):
    # One hidden layer on digits has 74 weights a neuron: 8 make 592, 4 make 296.
    found = [
        (t.budget, t.width, t.nnz)
        for t in space.population(config(), dataset).trials
        if t.structure == "small_dense" and t.seed == 0
    ]
    assert found == [(300, 4, 296), (600, 8, 592)]
    with_gap = dataclasses.replace(
        config(), space=dataclasses.replace(config().space, budgets=(330, 600))
    )
    (skipped,) = space.population(with_gap, dataset).skipped
    assert skipped.name == "small_dense d1 at 330 weights"


def test_a_budget_that_fits_some_widths_is_skipped_for_the_others(dataset):
    large = dataclasses.replace(config().space, budgets=(1500,))
    found = space.population(dataclasses.replace(config(), space=large), dataset)
    assert {t.width for t in found.trials if t.method == "rigl"} == {24}
    assert any("w16" in s.name and "1,440" in s.reason for s in found.skipped)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"budgets": ()}, "config.space.budgets has no values"),
        ({"budgets": None}, "config.space.budgets is not set"),
        ({"seeds": ()}, "config.space.seeds has no values"),
        ({"methods": ("rigel",)}, "Did you mean 'rigl'?"),
        ({"methods": ("dense",)}, "config.space.small_dense"),
        ({"allocations": ("erx",)}, "Did you mean 'er"),
        ({"budgets": (10**9,)}, "The budget 1,000,000,000"),
        ({"budgets": (2,)}, "between 3"),
    ],
)
def test_what_cannot_be_enumerated(dataset, change, words):
    changed = dataclasses.replace(config().space, **change)
    with pytest.raises(UserError, match=words):
        space.population(dataclasses.replace(config(), space=changed), dataset)


def test_the_plan_is_kept_and_extended(tmp_path, trials):
    speeds = {groups.shape_of(t): Speed(3, 0.01) for t in trials}
    first = groups.extend_plan(tmp_path, config(), {}, trials[:5], speeds, 2)
    assert groups.read_plan(tmp_path) == first
    assert not groups.extend_plan(tmp_path, config(), first, [], {}, 2)
    more = {shape: Speed(7, 0.01) for shape in speeds}
    new = groups.extend_plan(tmp_path, config(), first, trials[5:], more, 2)
    second = groups.read_plan(tmp_path)
    assert second == {**first, **new} and not first.keys() & new.keys()
    chunks = [planned.chunk for planned in second.values()]
    names = collections.Counter(t.name for c in chunks for t in c.trials)
    assert names == {t.name: 1 for t in trials}
    # A group that has chunks goes on with its lanes; new groups take the new number.
    begun = {c.trials[0].group for c in (p.chunk for p in first.values())}
    for chunk in chunks:
        assert chunk.lanes == (3 if chunk.trials[0].group in begun else 7)


def test_bundles_hold_every_chunk_once_and_one_group_each(trials):
    pending = [
        Planned(Chunk(f"c{i}", (t,), 1), float(i % 5 + 1)) for i, t in enumerate(trials)
    ]
    made = groups.bundles(pending, 2)
    assert sorted(p.chunk.name for b in made for p in b) == sorted(
        p.chunk.name for p in pending
    )
    for bundle in made:
        assert len({p.chunk.trials[0].group for p in bundle}) == 1
    lengths = [sum(p.seconds for p in b) for b in made]
    assert lengths == sorted(lengths, reverse=True)


@pytest.fixture(scope="module")
def group(trials, dataset):
    members = [t for t in trials if t.group == "rigl-w24-d2"]
    return Group(config(), members[0], Loaded(config(), dataset)), members


def train(group, trials, lanes, workdir):
    workdir.mkdir()
    found = {}

    def note(kind, record):
        if kind == "trial":
            found[record["trial"]] = record

    chunk = Chunk("chunk", tuple(trials), lanes)
    run_chunk(group, chunk, workdir, lambda: False, note)
    return found


def test_a_group_compiles_once(group, tmp_path):
    group, members = group
    for number in range(3):
        train(group, members[number : number + 1], 2, tmp_path / f"{number}a")
        train(group, members[:2], 2, tmp_path / f"{number}b")
    programs = group.programs(sharding.placement(2, 1))
    for name in ("weights", "init", "round", "evaluate"):
        assert getattr(programs, name)._cache_size() == 1, name


def test_a_lane_does_not_depend_on_its_place_or_its_neighbours(group, tmp_path):
    group, members = group
    alone = train(group, members[:1], 4, tmp_path / "alone")
    first = train(group, members, 4, tmp_path / "first")
    last = train(group, members[::-1], 4, tmp_path / "last")
    times = {"wall_seconds": 0.0}
    for name in first:
        assert {**first[name], **times} == {**last[name], **times}
    name = members[0].name
    assert {**alone[name], **times} == {**first[name], **times}


def test_lanes_agree_with_single_runs_within_rounding(group, tmp_path):
    group, members = group
    single = train(group, members[:1], 1, tmp_path / "single")
    lanes = train(group, members, 4, tmp_path / "lanes")
    name = members[0].name
    assert single[name]["nnz"] == lanes[name]["nnz"]
    np.testing.assert_allclose(
        single[name]["train_loss"], lanes[name]["train_loss"], rtol=0.05
    )


def test_a_seed_shares_split_and_order_across_structures(group):
    group, members = group
    loaded = group.loaded
    part = np.asarray(loaded.part([0, 0, 1]))
    assert (part[0] == part[1]).all() and (part[0] != part[2]).any()
    assert (part == 1).sum(axis=1).tolist() == [287] * 3
    rows = np.asarray(loaded.rows([0, 1], 10))
    assert rows.shape == (2, 10, 16)
    for lane in range(2):  # never an example that is held out
        assert (part[[0, 2][lane]][rows[lane]] == 0).all()
    # A pure function of seed and step.
    np.testing.assert_array_equal(rows[0], np.asarray(loaded.rows([0], 10))[0])


def test_trials_of_equal_sizes_are_worth_one_measurement(monkeypatch, tmp_path):
    asked = []

    def faster_layers(config, dataset, trial, trainings):
        asked.append((trial.budget, trainings))
        return ()

    monkeypatch.setattr(representation, "faster_layers", faster_layers)
    fields = config().space.__dict__ | {"widths": (24,), "methods": ("set",)}
    made = config(executor="local", space=fields | {"small_dense": {"depths": ()}})
    search(made, tmp_path)
    assert sorted(asked) == [(300, 2), (600, 2)]  # two seeds each


def test_a_worker_drops_the_programs_of_the_group_it_met_the_longest_ago(
    monkeypatch, tmp_path, trials
):
    (tmp_path / "checkpoints").mkdir()
    worker = Worker(config(), tmp_path)
    of_group = {t.group: t for t in trials if t.method == "rigl" and t.seed == 0}
    first, second = of_group.values()
    other = next(t for t in trials if t.method == "static")

    def train(trial):
        chunk = Chunk(f"{trial.group}-{trial.seed}", (trial,), 1)
        worker.perform(Job(chunk.name, "train", chunks=(chunk,)), lambda: False)

    train(first)
    train(second)
    train(dataclasses.replace(first, seed=1))  # the same group
    used = mapped()
    monkeypatch.setattr(
        "sparse_search.search.worker.mapped",
        lambda: 0.1 if len(worker._groups) < 2 else 0.6,
    )
    train(other)
    assert list(worker._groups) == [first.group, other.group]
    if used:  # where it is known: the programs of two groups, not of three
        train(second)
        assert list(worker._groups) == [other.group, second.group]
        assert mapped() < 1.2 * used
