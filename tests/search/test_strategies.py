"""What strategies ask for; real searches with them; the contract's own checks."""

import csv
import math

import pytest
from commands import CONFIGS, lines, ok, run

from sparse_search.config import freeze
from sparse_search.errors import UserError
from sparse_search.search import strategies
from sparse_search.search.strategies.base import Ask, Seen, Strategy
from sparse_search.search.strategies.halving import halving
from sparse_search.search.strategies.hyperband import hyperband
from sparse_search.testing import strategies as contract

WANTED = [
    {"name": "grid"},
    {"name": "random", "points": 5},
    {"name": "random", "points": 1000},
    {"name": "quasi_random", "points": 5},
    {"name": "quasi_random", "points": 1000},
    {"name": "boundary"},
    {"name": "boundary", "trials": 10},
    {"name": "halving"},
    {"name": "halving", "first_rounds": 2, "reduction": 2},
    {"name": "halving", "first_rounds": 100},
    {"name": "hyperband"},
    {"name": "hyperband", "first_rounds": 100},
    {"name": "evolution", "points": 12, "generation": 2},
    {"name": "evolution", "points": 1000},
    {"name": "evolution", "points": 12, "generation": 2, "inherit": True},
    {"name": "tpe", "points": 12, "generation": 2},
    {"name": "tpe", "points": 1000},
    {"name": "nsga2", "points": 12, "generation": 2},
    {"name": "nsga2", "points": 12, "generation": 1},
    {"name": "nsga2", "points": 1000},
    {"name": "nsga3", "points": 12, "generation": 2},
]


def made(**wanted):
    return strategies.make(freeze({"strategy": wanted}))


@pytest.mark.parametrize("wanted", WANTED, ids=str)
def test_contract(wanted):
    contract.check(made(**wanted))
    contract.check(made(**wanted), contract.problem(methods=("set",), widths=(16,)))


def trained(strategy, problem, **more):
    seen = contract.simulate(strategy, problem, **more)
    return {name for name, one in seen.items() if one.ended}


def is_reference(name):
    return name.startswith("small_dense")


@pytest.mark.parametrize("name", ["evolution", "tpe", "nsga2", "nsga3"])
def test_what_is_asked_next_is_in_the_journals_alone(name):
    """A new process, which has drawn nothing yet, goes on as the old one would have."""
    problem = contract.problem(widths=tuple(range(10, 40)), seeds=1)
    # (NSGA has one population for all three budgets.)
    more = {"name": name, "points": 30 if "nsga" in name else 90, "generation": 5}
    whole = contract.simulate(made(**more), problem)
    for questions in range(1, 5):
        part = contract.simulate(made(**more), problem, questions=questions)
        assert len(part) < len(whole)
        turned = dict(reversed(part.items()))
        assert contract.simulate(made(**more), problem, history=turned) == whole


@pytest.mark.parametrize("name", ["evolution", "tpe"])
def test_they_beat_random_at_equal_trials(name):
    """A smooth objective whose best point is known, 20 times."""
    widths, depths = tuple(range(8, 8 + 40)), ("a", "b", "c", "d")
    problem = contract.problem(
        budgets=(100,), widths=widths, methods=depths, rates=(0.01, 0.03, 0.1), seeds=1
    )
    sparse = [trial for trial in problem.trials if not is_reference(trial.name)]
    excess = {"random": [], name: []}
    for repeat in range(20):

        def loss(trial, rounds, repeat=repeat):
            width = abs(trial.width - (10 + 7 * repeat % 36)) / 40
            method = (ord(trial.method[0]) + repeat) % 4 / 8
            right = (0.01, 0.03, 0.1)[repeat % 3]
            rate = abs(math.log(trial.learning_rate / right)) / 9
            return width + method + rate

        best = min(loss(trial, 1) for trial in sparse)
        for one, found in excess.items():
            own = {"strategy": {"name": one, "points": 48}, "seed": repeat}
            ended = trained(strategies.make(freeze(own)), problem, loss=loss)
            chosen = [trial for trial in sparse if trial.name in ended]
            assert len(chosen) == 48
            found.append(min(loss(trial, 1) for trial in chosen) - best)
    pairs = list(zip(excess[name], excess["random"], strict=True))
    assert sum(e < r for e, r in pairs) >= 15 and sum(e > r for e, r in pairs) <= 4
    assert sum(e for e, _ in pairs) < 0.5 * sum(r for _, r in pairs)


@pytest.mark.parametrize("name", ["random", "quasi_random"])
def test_some_points_with_all_their_seeds(name):
    problem = contract.problem()
    every = {trial.name for trial in problem.trials}
    few = trained(made(name=name, points=5), problem)
    sparse = {one for one in few if not is_reference(one)}
    assert len(sparse) == 5 * 2
    assert {one.replace("-s0", "-s1") for one in sparse if one.endswith("-s0")} < sparse
    assert few - sparse == {one for one in every if is_reference(one)}
    assert trained(made(name=name, points=1000), problem) == every


def test_random_points_stay_when_more_are_chosen():
    problem = contract.problem()
    few = trained(made(name="random", points=5), problem)
    assert few < trained(made(name="random", points=9), problem)


def test_quasi_random_points_are_spread():
    widths = tuple(range(1, 65))
    problem = contract.problem(budgets=(100,), widths=widths, methods=("set",), seeds=1)
    few = trained(made(name="quasi_random", points=8), problem)
    chosen = sorted(int(one.split("-")[1][1:]) for one in few if not is_reference(one))
    # One in each eighth of the axis, as a Sobol sequence has it.
    assert [(width - 1) // 8 for width in chosen] == list(range(8))


def test_halving_by_hand():
    # Nine widths, of which the wider are better: 9 for 1 round, 3 for 3, 1 for 9.
    widths = tuple(range(10, 100, 10))
    problem = contract.problem(
        budgets=(100,), widths=widths, methods=("set",), seeds=1, rounds=9
    )
    seen = contract.simulate(halving(first=1, reduction=3), problem)
    rounds = {
        int(name.split("-")[1][1:]): len(one.losses)
        for name, one in seen.items()
        if not is_reference(name)
    }
    expected = dict.fromkeys(widths, 1) | {70: 3, 80: 3, 90: 9}
    assert rounds == expected


def test_halving_judges_by_the_mean_over_seeds_at_the_rung():
    problem = contract.problem(
        budgets=(100,), widths=(1, 2, 3), methods=("set",), seeds=2, rounds=3
    )
    # Width 2 is best at round 1 in the mean; width 3 would be best at the end.
    first = {1: (0.1, 0.9), 2: (0.4, 0.4), 3: (0.5, 0.5)}

    def loss(trial, rounds):
        value = first.get(trial.width, (1, 1))[trial.seed]
        return 0.0 if trial.width == 3 and rounds > 1 else value

    ended = trained(halving(1, 3), problem, loss=loss)
    assert {one.split("-")[1] for one in ended if not is_reference(one)} == {"w2"}


def test_halving_finds_the_best_of_64_at_a_third_of_the_cost():
    found = 0
    for repeat in range(20):

        def loss(trial, rounds, repeat=repeat):
            # Curves that cross: what a point ends at, and how fast it comes there.
            end = (trial.width * 37 + repeat * 11) % 64 / 64
            speed = 1 + (trial.width * 17 + repeat) % 3
            return end + 0.3 * math.exp(-speed * rounds / 9)

        problem = contract.problem(
            budgets=(100,),
            widths=tuple(range(1, 65)),
            methods=("set",),
            seeds=1,
            rounds=27,
        )
        seen = contract.simulate(halving(3, 3), problem, loss)
        cost = sum(len(one.losses) for one in seen.values())
        assert cost <= 27 * len(problem.trials) / 3
        sparse = [trial for trial in problem.trials if not is_reference(trial.name)]
        best = min(sparse, key=lambda trial: loss(trial, 27))
        found += seen[best.name].ended
    assert found == 20


def test_hyperband_by_hand():
    # 17 points are just one of the paper's sets for 9 rounds and η = 3: 9 begin with 1
    # round, of which 3 and then 1 go on; 5 with 3 rounds, of which 2 go on; 3 with 9.
    widths = tuple(range(10, 180, 10))
    problem = contract.problem(
        budgets=(100,), widths=widths, methods=("set",), seeds=1, rounds=9
    )
    seen = contract.simulate(hyperband(1, 3, seed=0), problem)
    rounds = [len(v.losses) for k, v in seen.items() if not is_reference(k)]
    assert sorted(rounds) == [1] * 6 + [3] * (2 + 3) + [9] * (1 + 2 + 3)
    # The widest is the best, whichever bracket it is in.
    assert any(one.ended for name, one in seen.items() if "-w170-" in name)
    other = contract.simulate(hyperband(1, 3, seed=1), problem)
    assert {k for k, v in other.items() if v.ended} != {
        k for k, v in seen.items() if v.ended
    }


def test_hyperband_finds_what_begins_slowly():
    """The better a point ends, the worse it begins: 20 times, at two thirds of it all.

    Halving gives the best ones up, all of them.
    """
    problem = contract.problem(
        budgets=(100,),
        widths=tuple(range(1, 65)),
        methods=("set",),
        seeds=1,
        rounds=27,
    )
    found = {"halving": [], "hyperband": []}
    for repeat in range(20):

        def loss(trial, rounds, repeat=repeat):
            end = (trial.width * 37 + repeat * 11) % 64 / 64
            return end if rounds > 9 else 2 - end

        for name, ranks in found.items():
            own = freeze({"strategy": {"name": name}, "seed": repeat})
            seen = contract.simulate(strategies.make(own), problem, loss)
            cost = sum(len(one.losses) for one in seen.values())
            assert cost <= 27 * len(problem.trials) * 2 / 3
            ended = [t for t in problem.trials if seen[t.name].ended]
            ends = [loss(t, 27) for t in ended if not is_reference(t.name)]
            ranks.append(min(ends))
    assert min(found["halving"]) > 0.9
    # Few are trained whole from the start, but some are: the best of about five.
    assert sum(found["hyperband"]) / 20 < 0.3


@pytest.mark.parametrize(
    "wrong, words",
    [
        (lambda problem, history: [], "trains nothing"),
        (
            lambda problem, history: [Ask(problem.trials[0], problem.rounds)] * 2,
            "twice at once",
        ),
        (lambda problem, history: [Ask(problem.trials[0], 1)], "pauses=True"),
        (
            lambda problem, history: [Ask(problem.trials[0], problem.rounds)],
            "has been trained",
        ),
        (
            lambda problem, history: [
                Ask(trial, problem.rounds)
                for trial in problem.trials[: 1 if len(history) % 2 else 2]
                if not history.get(trial.name, Seen()).ended
            ],
            "asks again for what has failed",
        ),
    ],
)
def test_the_contract_sees_what_is_wrong(wrong, words):
    with pytest.raises(AssertionError, match=words):
        contract.check(Strategy(wrong))


def test_what_cannot_be_asked_for():
    with pytest.raises(UserError, match="Did you mean 'halving'"):
        made(name="halvin")
    with pytest.raises(UserError, match="set how many"):
        made(name="random")
    with pytest.raises(UserError, match="made str: 'no strategy'"):
        made(name="their_strategy:nothing")
    heirs = {"name": "evolution", "points": 2, "inherit": True}
    with pytest.raises(UserError, match="save_results=True"):
        strategies.make(freeze({"strategy": heirs, "save_results": False}))
    with pytest.raises(UserError, match="begins with masked layers"):
        strategies.make(freeze({"strategy": heirs, "representation": "compressed"}))


def test_children_inherit_from_the_point_they_were_made_of():
    problem = contract.problem(methods=("static", "set", "snip"), seeds=2)
    wanted = {"name": "evolution", "points": 21, "generation": 2}
    seen, asked = {}, []
    strategy = made(**wanted, inherit=True)
    while asks := strategy.ask(problem, seen):
        asked += [ask.trial for ask in asks]
        seen = contract.simulate(strategy, problem, history=seen, questions=1)
    heirs = [trial for trial in asked if trial.parent]
    named = {trial.name: trial for trial in asked}
    assert len(heirs) > 8
    for trial in heirs:
        parent = named[trial.parent_name]
        assert parent.budget == trial.budget and parent.seed == trial.seed
        assert trial.method != "snip"  # it chooses its own mask
        axes = ("width", "depth", "method")
        assert sum(getattr(trial, x) != getattr(parent, x) for x in axes) == 1
    assert any(named[trial.parent_name].parent for trial in heirs)
    # The points are those of an evolution without inheritance, in the same places.
    alone = trained(made(**wanted), problem)
    assert len(alone) == len(asked)
    assert not any(trial.parent for trial in asked if trial.method == "dense")


def test_nothing_is_inherited_from_what_broke():
    problem = contract.problem(seeds=1)
    strategy = made(name="evolution", points=12, generation=2, inherit=True)
    for breaks, loss in (
        (lambda trial: True, contract.falling),
        (lambda trial: False, lambda trial, rounds: math.inf),
    ):
        seen = contract.simulate(strategy, problem, loss, breaks=breaks)
        assert not any("-of" in name for name in seen)


def test_a_user_s_own_strategy():
    own = strategies.make(
        freeze({"strategy": {"name": "their_strategy:widest"}, "model": {"width": 32}})
    )
    contract.check(own)
    ended = trained(own, contract.problem())
    assert {one.split("-")[1] for one in ended} == {"w32", "w64"}


ARGUMENTS = (
    f"--config={CONFIGS / 'digits_map.py'}:smoke",
    "--config.space.budgets=(1440,)",
    "--config.space.widths=(16,32)",
    "--config.space.methods=('set',)",
    "--config.space.seeds=(0,)",
    "--config.steps=30",
    "--config.strategy.name=halving",
    "--config.executor=local",
    "--config.representation=masked",  # which else is measured
)


def test_a_search_by_halving(tmp_path):
    workdir = tmp_path / "map"
    ok("search", *ARGUMENTS, f"--workdir={workdir}")
    rounds = {}
    for record in lines(workdir / "rounds.jsonl"):
        rounds.setdefault(record["trial"], []).append(record["round"])
    # Every round once: what went on did so from its checkpoint.
    assert all(seen == list(range(1, len(seen) + 1)) for seen in rounds.values())
    lengths = sorted(map(len, rounds.values()))
    assert lengths == [1, 3, 3]  # one point given up; the reference
    ended = {record["trial"] for record in lines(workdir / "trials.jsonl")}
    assert ended == {name for name, seen in rounds.items() if len(seen) == 3}
    with open(workdir / "report" / "curves.csv") as file:
        assert len(list(csv.DictReader(file))) == 2
    # The grid trains what was given up, and nothing again.
    before = (workdir / "trials.jsonl").read_bytes()
    more = ("--config.strategy.name=grid", f"--workdir={workdir}")
    ok("search", *ARGUMENTS, *more)
    assert (workdir / "trials.jsonl").read_bytes().startswith(before)
    assert len(lines(workdir / "trials.jsonl")) == 3
    found = [r["trial"] for r in lines(workdir / "rounds.jsonl")]
    assert len(found) == 3 * 3


def test_lanes_are_not_for_halving(tmp_path):
    status, _, err = run(
        "search", *ARGUMENTS, "--config.lanes=4", f"--workdir={tmp_path / 'map'}"
    )
    assert status == 2 and "leave it at 0" in err
    assert not (tmp_path / "map").exists()
