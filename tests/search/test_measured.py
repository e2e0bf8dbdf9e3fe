"""What was measured before training is kept, and shown while it is found."""

import pytest
from commands import CONFIGS

from sparse_search import load_config, records
from sparse_search.search import driver
from sparse_search.search.groups import Speed
from sparse_search.search.measured import Measured
from sparse_search.search.worker import Job, Worker
from sparse_search.train import representation
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
    # What is left to measure is counted, with an estimate from the second on.
    last = [progress for progress in told if progress.phase == phase][-1]
    assert last.total == len([a for a in asked[before:] if a[0] in _kinds(phase)])
    assert 0 < last.done <= last.total and last.seconds_left is not None


def _kinds(phase):
    return {"measuring layers": "represent", "measuring programs": "measure"}[phase]


def test_a_measurement_is_of_a_device_a_number_of_trials_and_what_is_pinned(
    tmp_path, monkeypatch
):
    jobs = {
        "represent": Job("a", "represent", trials=("t", "u")),  # type: ignore
        "measure": Job("a", "measure", trials=("t", "u")),  # type: ignore
    }
    found = {"represent": ("params/Dense_0/kernel",), "measure": Speed(4, 0.25)}
    kept = Measured(tmp_path, config())
    for kind, job in jobs.items():
        assert kept.of(job) is None
        kept.keep(job, found[kind])
    again = Measured(tmp_path, config())
    for kind, job in jobs.items():
        assert kept.of(job) == again.of(job) == found[kind]
        assert type(again.of(job)) is type(found[kind])
        assert again.of(job._replace(trials=job.trials[:1])) is None
        assert again.of(job._replace(name="b")) is None
        assert Measured(tmp_path, config("lanes=2")).of(job) is None
        assert Measured(tmp_path, config("devices=2")).of(job) is None
    monkeypatch.setattr("jax.devices", lambda: [type("D", (), {"device_kind": "x"})])
    assert Measured(tmp_path, config()).of(jobs["measure"]) is None


def test_no_layer_is_an_answer_too(tmp_path):
    job = Job("a", "represent", trials=("t",))  # type: ignore
    Measured(tmp_path, config()).keep(job, ())
    assert Measured(tmp_path, config()).of(job) == ()
