"""Samplers of Optuna: what they are told, what they find, what they need."""

import dataclasses
import importlib.util
import math

import optuna
import pytest

from sparse_search.config import freeze
from sparse_search.data import digits
from sparse_search.errors import UserError
from sparse_search.search import strategies
from sparse_search.search.strategies.objectives import objectives
from sparse_search.testing import strategies as contract
from sparse_search.train.trials import single_trial


def made(name, seed=0, **wanted):
    return strategies.make(freeze({"strategy": {"name": name, **wanted}, "seed": seed}))


@pytest.fixture
def studies(monkeypatch):
    """All studies that are made, in their order."""
    found, make = [], optuna.create_study

    def create_study(**given):
        found.append(make(**given))
        return found[-1]

    monkeypatch.setattr(optuna, "create_study", create_study)
    return found


@pytest.mark.parametrize("name", ["tpe", "nsga2"])
def test_what_a_sampler_is_told(studies, name):
    """The mean over seeds at the end; of what is infinite, the worst that is not."""
    widths, methods = (10, 20, 30, 40), ("a", "b", "c")
    problem = contract.problem(budgets=(100,), widths=widths, methods=methods)

    def loss(trial, rounds):
        return math.inf if trial.width == 40 else trial.width + trial.seed / rounds

    def breaks(trial):
        return trial.width == 20 and trial.seed == 1

    strategy = made(name, points=12, generation=11)
    contract.simulate(strategy, problem, loss, breaks=breaks)
    told = {}
    for one in studies[-1].trials[:11]:
        value = (one.values or [None])[0]
        told.setdefault(one.params["width"], set()).add((one.state.name, value))
        assert one.params.keys() == {"width", "method"}
    mean = 0.5 / 9  # of 9 rounds
    assert told == {
        0: {("COMPLETE", 10 + mean)},
        1: {("FAIL", None)},
        2: {("COMPLETE", 30 + mean)},
        3: {("COMPLETE", 30 + mean)},
    }


def test_generations_are_counted(studies):
    """Else NSGA would draw its first generation, at random, again and again."""
    problem = contract.problem(widths=tuple(range(10, 40)), seeds=1)
    contract.simulate(made("nsga2", points=24, generation=6), problem)
    numbers = [
        set(trial.system_attrs.values())
        for trial in studies[-1].trials
        if trial.state.name == "COMPLETE"
    ]
    assert numbers == [{0}] * 6 + [{1}] * 6 + [{2}] * 6
    assert {tuple(study.directions) for study in studies} == {
        (optuna.study.StudyDirection.MINIMIZE,) * 2
    }


def area(points, worst):
    """What two objectives dominate, up to a worst point: the hypervolume."""
    total, low = 0.0, worst[1]
    for first, second in sorted(points):
        if first < worst[0] and second < low:
            total += (worst[0] - first) * (low - second)
            low = second
    return total


def test_area():
    assert area([(1, 2), (2, 1), (2, 2), (5, 0)], (3, 3)) == 2 + 1
    assert area([], (3, 3)) == 0


@pytest.mark.parametrize("name", ["nsga2", "nsga3"])
def test_they_beat_random_at_equal_trials(name):
    """The loss against the number of weights, 20 times; the whole front is known."""
    problem = contract.problem(
        budgets=(100, 200, 400, 800, 1600, 3200),
        widths=tuple(range(8, 24)),
        methods=("a", "b", "c"),
        rates=(0.01, 0.03, 0.1),
        seeds=1,
    )
    found = {"random": [], name: []}
    for repeat in range(20):

        def loss(trial, rounds, repeat=repeat):
            width = abs(trial.width - (8 + 7 * repeat % 16)) / 16
            method = (ord(trial.method[0]) + repeat) % 3 / 6
            right = (0.01, 0.03, 0.1)[repeat % 3]
            rate = abs(math.log(trial.learning_rate / right)) / 9
            return 1 - math.log2(trial.nnz / 100) / 5 + width + method + rate

        def front(trials, loss=loss):
            return area([(loss(t, 1), math.log2(t.nnz)) for t in trials], (2, 13))

        sparse = [t for t in problem.trials if t.method != "dense"]
        for one, parts in found.items():
            strategy = made(one, repeat, points=64)
            ended = contract.simulate(strategy, problem, loss)
            chosen = [trial for trial in sparse if trial.name in ended]
            assert len(chosen) == 64
            parts.append(front(chosen) / front(sparse))
    pairs = list(zip(found[name], found["random"], strict=True))
    assert sum(n > r for n, r in pairs) >= 15
    # Of what random search leaves of the front, half.
    assert sum(1 - n for n, _ in pairs) < 0.5 * sum(1 - r for _, r in pairs)


def test_objectives_of_a_real_trial():
    names = ("bytes", "train_flops", "valid_loss", "nnz")
    config = freeze(
        {
            "strategy": {"objectives": names},
            "sparsity": {"method": "set", "nnz": 1000, "rewire_every": 10},
            "steps": 100,
            "batch_size": 4,
        }
    )
    trial = single_trial(config, digits.load())
    values = [objective.of(trial, 0.25) for objective in objectives(config)]
    # Each step of 4 examples: forward, and backward at twice its cost; 266 neurons.
    assert values[1:] == [100 * 4 * 3 * (2 * 1000 + 266), 0.25, 1000]
    layers = [(one.count, one.size) for one in trial.layers]
    assert sum(count for count, _ in layers) == 1000
    assert values[0] == sum(min(8 * n, 4 * n + size // 8) for n, size in layers)


def test_objectives_that_are_not_known():
    with pytest.raises(UserError, match="Did you mean 'nnz'"):
        made("nsga2", points=4, objectives=("valid_loss", "nz"))
    with pytest.raises(UserError, match="is empty; it has some of valid_loss, nnz"):
        made("nsga2", points=4, objectives=())
    own = made("nsga2", points=4, objectives=("valid_loss", "train_flops"))
    problem = contract.problem(methods=("set", "dsr"))
    counts, sizes = (("Conv_0", 50), ("Dense_0", 50)), (1000, 1000)
    windows = [
        dataclasses.replace(t, counts=counts, sizes=sizes, uses=(9, 1))
        for t in problem.trials
    ]
    with pytest.raises(UserError, match="layers of 'dsr' have on the way"):
        own.ask(problem._replace(trials=windows), {})
    contract.check(own)


def test_gp_where_torch_is_installed_or_what_to_install():
    if importlib.util.find_spec("torch") is None:
        with pytest.raises(UserError, match="with PyTorch; pip install torch"):
            made("gp", points=6)
        return
    problem = contract.problem(budgets=(100,), widths=tuple(range(10, 20)), seeds=1)
    more = {"points": 6, "generation": 3}
    whole = contract.simulate(made("gp", **more), problem)
    assert sum(not name.startswith("small_dense") for name in whole) == 6
    part = contract.simulate(made("gp", **more), problem, questions=1)
    assert contract.simulate(made("gp", **more), problem, history=part) == whole


def test_without_optuna(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'sparse_search\[optuna\]'"):
        made("tpe", points=6)


def test_optuna_s_own_log_is_left_as_it_was(capfd):
    before = optuna.logging.get_verbosity()
    contract.simulate(made("tpe", points=6), contract.problem())
    assert optuna.logging.get_verbosity() == before
    assert capfd.readouterr() == ("", "")
