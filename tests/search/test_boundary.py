"""What `boundary` trains and announces, in worlds whose classes are known."""

import numpy as np
import pytest
from commands import CONFIGS, lines, ok

from sparse_search.analysis import classes
from sparse_search.analysis.looks import levels
from sparse_search.config_file import load_config
from sparse_search.search.driver import plan
from sparse_search.search.strategies.base import Problem, is_reference
from sparse_search.search.strategies.boundary import (
    boundary,
    look_sizes,
    replay,
)
from sparse_search.testing import strategies as contract
from sparse_search.testing.worlds import World, contradicts, draw, truths

NNZ = (1000, 2000, 4000, 8000)
SPACE = contract.problem(budgets=NNZ, widths=(16, 32, 64), seeds=8)


def drawn(world, of=SPACE, repeat=0):
    return draw(world, of, np.random.default_rng(repeat))[0]


def seeds_at(names, budget, of=SPACE):
    """How many seeds each structure at a budget was trained with."""
    found = {}
    for trial in of.trials:
        if trial.budget == budget and not is_reference(trial):
            found.setdefault(trial.structure, 0)
            found[trial.structure] += trial.name in names
    return found


def test_it_looks_often_while_seeds_are_few():
    assert look_sizes(1) == (1,) and look_sizes(2) == (2,)
    assert look_sizes(10) == (2, 3, 4, 5, 6, 7, 8, 10)
    assert len(look_sizes(100)) == 20


def test_the_contract_with_many_looks():
    contract.check(boundary(0), SPACE)
    contract.check(boundary(60), SPACE)


def test_what_is_clear_is_decided_at_once():
    asks, looks = replay(SPACE, drawn(World(0.08, 0.004, noise=0.001, block=0.001)))
    assert asks == [] and len(looks) == 1
    assert set(looks[0].classes.values()) == {classes.WEIGHT}
    # All structures, and the reference, with two seeds.
    assert set(looks[0].trials) == {t.name for t in SPACE.trials if t.seed < 2}


def test_seeds_go_where_a_class_is_missing():
    """R is nearly 1 at the last budget, whose slope is to the one before it."""
    world = World(0.09, (0.002, 0.002, 0.002, 0.087), noise=0.004, block=0.004)
    asks, looks = replay(SPACE, drawn(world))
    names = looks[-1].trials
    assert asks == []
    few, few_too, beside, here = (set(seeds_at(names, n).values()) for n in NNZ)
    assert few == few_too == {2}
    assert max(beside) > 4 and max(here) > 4
    assert list(looks[-1].classes.values())[:3] == [classes.WEIGHT] * 3


def test_what_was_decided_stays():
    _, looks = replay(SPACE, drawn(World(0.016, 0.008)))
    assert len(looks) > 2
    for before, after in zip(looks, looks[1:], strict=False):
        assert set(before.trials) < set(after.trials)
        for nnz, name in before.classes.items():
            if name in (classes.WEIGHT, classes.STRUCTURE):
                assert after.classes[nnz] == name
            if name != classes.UNDETERMINED:
                assert after.classes[nnz] != classes.UNDETERMINED


def test_it_ends_with_the_seeds_or_the_trials():
    history = drawn(World(0.01, 0.01, shift=0.02))
    asks, looks = replay(SPACE, history)
    assert asks == [] and classes.UNDETERMINED in looks[-1].classes.values()
    for nnz in NNZ:
        assert set(seeds_at(looks[-1].trials, nnz).values()) == {8}
    first = len(looks[0].trials)
    for limit in (1, first - 1, first, first + 10, 150):
        asks, fewer = replay(SPACE, history, limit)
        assert asks == [] and len(fewer[-1].trials) == limit
        assert fewer[-1].trials == looks[-1].trials[:limit]


def test_it_looks_at_nothing_else():
    """The journals of a whole grid change neither its classes nor what it trains."""
    history = drawn(World(0.016, 0.008, shift=0.004))
    _, all_there = replay(SPACE, history)
    seen, rng = {}, np.random.default_rng(0)
    while asks := boundary(0).ask(SPACE, seen):
        # Killed again and again: any of what was asked for may be there.
        some = [ask.trial.name for ask in asks if rng.random() < 0.8]
        seen |= {name: history[name] for name in some}
    _, looks = replay(SPACE, seen)
    assert looks == all_there
    assert set(seen) == set(looks[-1].trials) < {t.name for t in SPACE.trials}


def test_slopes_take_structures_that_both_neighbours_have():
    """The widest networks are not at 1,000: they say nothing of the slope there."""
    trials = [t for t in SPACE.trials if (t.width, t.budget) != (64, 1000)]
    of = Problem(tuple(trials), SPACE.rounds)
    world = World(0.09, (0.085, 0.002, 0.002, 0.002), noise=0.009, block=0.004)
    asks, looks = replay(of, drawn(world, of))
    assert asks == []
    seeds = seeds_at(looks[-1].trials, 2000, of)
    narrow = {n for name, n in seeds.items() if "w64" not in name}
    wide = {n for name, n in seeds.items() if "w64" in name}
    assert max(wide) < 4 < min(narrow)
    assert looks[-1].classes[1000] == classes.BALANCED


def test_what_no_seed_can_decide_is_not_trained_again():
    one_structure = contract.problem(
        budgets=NNZ, widths=(16,), methods=("set",), seeds=8
    )
    one_budget = contract.problem(budgets=(1000,), widths=(16, 32, 64), seeds=8)
    for of in (one_structure, one_budget):
        history = {t.name: contract.Seen((), 0.5, True) for t in of.trials}
        asks, looks = replay(of, history)
        assert asks == [] and len(looks) == 1


def test_open_budgets_share_the_error():
    """Those that are dominated leave their part of it to the others (Holm)."""
    asked = []

    def spy(sizes, error):
        asked.append(error)
        return levels(sizes, error)

    world = World(0.09, (0.002, 0.002, 0.002, 0.087), noise=0.006, block=0.004)
    _, looks = replay(SPACE, drawn(world), levels=spy)
    closed = [0] + [
        sum(
            name in (classes.WEIGHT, classes.STRUCTURE)
            for name in look.classes.values()
        )
        for look in looks[:-1]
    ]
    assert asked == [pytest.approx(0.05 / (len(NNZ) - number)) for number in closed]
    assert len(asked) <= len(look_sizes(8)) and max(closed) == 3


def test_looking_often_does_not_announce_what_is_not_there():
    """At R = 1; benchmarks/boundary.py has more worlds and more maps."""
    of = contract.problem(budgets=NNZ[:3], widths=(16, 32, 64), seeds=8)
    world, repeats = World(0.02, 0.02), 40
    truth = truths(world, 3)
    rules = {"boundary": levels, "naive": lambda sizes, error: [error] * len(sizes)}
    wrong = dict.fromkeys(rules, 0)
    for repeat in range(repeats):
        history = drawn(world, of, repeat)
        for rule, of_looks in rules.items():
            named = replay(of, history, levels=of_looks)[1][-1].classes
            pairs = zip(named.values(), truth, strict=True)
            wrong[rule] += any(contradicts(c, t) for c, t in pairs)
    assert wrong["boundary"] <= 0.05 * repeats, wrong
    assert wrong["naive"] >= 2 * wrong["boundary"], wrong


def test_worlds_are_what_they_say():
    world = World((0.1, 0.2, 0.4, 0.0), 0.05, noise=0.03, block=0.04, shift=0.12)
    found = truths(world, 4)
    assert [t.weight for t in found] == pytest.approx([0.1, 0.15, 0.3, 0.4])
    assert [t.structure for t in found] == [0.05] * 4
    assert found[0].seed_sd == pytest.approx(0.13)
    assert contradicts(classes.WEIGHT, found[0]._replace(weight=0.05))
    assert not contradicts(classes.WEIGHT, found[0])
    assert contradicts(classes.STRUCTURE, found[0])
    assert contradicts(classes.BALANCED, found[1])
    assert not contradicts(classes.BALANCED, found[0])
    assert not contradicts(classes.SATURATED, found[0])
    assert contradicts(classes.SATURATED, found[1])
    assert not contradicts(classes.UNDETERMINED, found[1])
    _, test = draw(World(0.1, 0.05, 1e-9, 0.0), SPACE, np.random.default_rng(0))
    levels = np.array(
        [
            [
                test[t.name]
                for t in SPACE.trials
                if t.budget == n and not is_reference(t)
            ]
            for n in NNZ
        ]
    )
    assert np.diff(levels.mean(axis=1)) == pytest.approx(0.1)
    assert levels[:, ::8].std(axis=1, ddof=1) == pytest.approx(0.05)


def test_a_search_by_boundary(tmp_path):
    arguments = (
        f"--config={CONFIGS / 'digits_map.py'}:smoke",
        "--config.space.methods=('set',)",
        "--config.space.allocations=('er','uniform')",
        "--config.space.seeds=(0,1,2)",
        "--config.space.small_dense.depths=()",
        "--config.executor=local",
        "--config.strategy.name=boundary",
    )
    workdir = tmp_path / "map"
    ok("search", *arguments, "--config.strategy.trials=3", f"--workdir={workdir}")
    before = (workdir / "trials.jsonl").read_bytes()
    assert len(lines(workdir / "trials.jsonl")) == 3
    # Without a limit it goes on to the first look, which decides nothing.
    ok("search", *arguments, f"--workdir={workdir}")
    assert (workdir / "trials.jsonl").read_bytes().startswith(before)
    trained = [record["trial"] for record in lines(workdir / "trials.jsonl")]
    assert len(trained) == len(set(trained)) == 2 * 2 * 3
    overrides = [one.removeprefix("--config.") for one in arguments[1:]]
    config = load_config(arguments[0].removeprefix("--config="), overrides)
    assert plan(config, workdir).asks == []
