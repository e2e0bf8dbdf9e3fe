"""What was measured before training is kept, and shown while it is found."""

from types import SimpleNamespace

import pytest
from commands import CONFIGS

from sparse_search import load_config, records
from sparse_search.search import driver
from sparse_search.search.groups import Speed
from sparse_search.search.journals import Journals
from sparse_search.search.measured import Measured
from sparse_search.search.supervisor import Search
from sparse_search.search.worker import Job, Worker
from sparse_search.train import representation
from sparse_search.train import workdir as workdirs
from sparse_search.train.stopped import Stopped

FIELDS = ("space.seeds=(0,)", "space.widths=(16, 24, 32)", "executor=local", "lanes=1")


def config(*more):
    return load_config(f"{CONFIGS / 'digits_map.py'}:smoke", [*FIELDS, *more])


@pytest.fixture
def asked(monkeypatch):
    """What is measured, in order: layers by budget and width, programs by width."""
    found = []

    def measure(self, trials):
        found.append(("measure", trials[0].method == "dense", trials[0].width))
        return Speed(1, 0.001)

    def faster_layers(config, dataset, trial, trainings):
        found.append(("represent", trial.method, trial.width, trial.budget))
        return ()

    monkeypatch.setattr(Worker, "measure", measure)
    monkeypatch.setattr(representation, "faster_layers", faster_layers)
    return found


@pytest.mark.parametrize("phase", ["measuring layers", "measuring programs"])
def test_a_search_that_is_stopped_in_between_measures_nothing_twice(
    asked, tmp_path, phase
):
    stop = []

    def watch(progress):
        if progress.phase == phase and progress.done == 2:
            stop.append(True)

    with pytest.raises(Stopped):
        driver.search(config(), tmp_path, should_stop=lambda: stop, watch=watch)
    before = len(asked)
    assert not (tmp_path / "plan.jsonl").exists()
    told = []
    driver.search(config(), tmp_path, watch=told.append)
    assert 2 <= before < len(asked)
    assert len(asked) == len(set(asked))
    assert all(r["status"] != "failed" for r in records.read_trials(tmp_path).values())
    # What is left to measure is counted, to the last.
    last = [progress for progress in told if progress.phase == phase][-1]
    kind = {"measuring layers": "represent", "measuring programs": "measure"}[phase]
    assert last.done == last.total == sum(one[0] == kind for one in asked[before:])
    assert last.part == 1 and last.seconds_left == 0


@pytest.fixture
def begun(tmp_path):
    """What is known in a workdir, with some of the setting changed."""
    workdirs.write_environment(tmp_path, ["cpu:0"])

    def measured(*fields, workers=1):
        executor = SimpleNamespace(workers=workers)
        made = config(*fields)
        journals = Journals(tmp_path, 2)
        return Measured(Search(made, tmp_path, executor, journals, lambda: False))  # type: ignore

    return measured


def job(kind):
    return Job("a", kind, trials=("t", "u"))  # type: ignore


FOUND = {"represent": ("params/Dense_0/kernel",), "measure": Speed(4, 0.25)}


def test_a_measurement_is_of_a_number_of_trials_and_a_setting(begun, tmp_path):
    first = begun()
    for kind, found in FOUND.items():
        assert first.of(job(kind)) is None
        first.keep(job(kind), found)
    again = begun()
    for kind, found in FOUND.items():
        assert first.of(job(kind)) == again.of(job(kind)) == found
        assert type(again.of(job(kind))) is type(found)
        assert again.of(job(kind)._replace(trials=("t",))) is None
        assert again.of(job(kind)._replace(name="b")) is None
        assert begun("lanes=2").of(job(kind)) is None
        assert begun("devices=2").of(job(kind)) is None
        assert begun(workers=2).of(job(kind)) is None
    workdirs.write_environment(tmp_path, ["cuda:0"])
    assert begun().of(job("measure")) is None
    workdirs.write_environment(tmp_path, ["cpu:0"])
    assert begun().of(job("measure")) == Speed(4, 0.25)


def test_no_layer_is_an_answer_too(begun):
    begun().keep(job("represent"), ())
    assert begun().of(job("represent")) == ()
