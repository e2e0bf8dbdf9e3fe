import signal

import numpy as np
import pytest
from commands import CONFIGS, killed_in_round, lines, ok, run, without_times

from sparse_search.config import freeze
from sparse_search.train import run as train_run
from sparse_search.train import single
from sparse_search.train.checkpoint import Checkpoints

pytestmark = pytest.mark.usefixtures("compiled_as_for_users")

ARGUMENTS = (
    f"--config={CONFIGS / 'digits_map.py'}",
    "--config.model.width=48",
    "--config.sparsity.rewire_every=20",
    "--config.steps=400",
    "--config.checkpoint_every=3",
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that nothing interrupted."""
    workdir = tmp_path_factory.mktemp("whole") / "run"
    ok("train", *ARGUMENTS, f"--workdir={workdir}")
    return workdir


def assert_same(one, other):
    """The same bits: every round, the result, the final parameters and masks."""
    for journal in ("rounds.jsonl", "trials.jsonl"):
        assert without_times(lines(one / journal)) == without_times(
            lines(other / journal)
        )
    (file,) = (one / "results").iterdir()
    with np.load(file) as first, np.load(other / "results" / file.name) as second:
        assert first.files == second.files
        for name in first.files:
            np.testing.assert_array_equal(first[name], second[name])


def killed(workdir, at_least, number):
    arguments = (*ARGUMENTS, f"--workdir={workdir}")
    return killed_in_round(workdir, at_least, number, arguments)


def test_a_killed_run_ends_with_the_same_bits(whole, tmp_path):
    workdir = tmp_path / "run"
    for rounds in (2, 8):  # before the first checkpoint, and between two
        status, _ = killed(workdir, rounds, signal.SIGKILL)
        assert status == -signal.SIGKILL
        # A crash of the machine may also tear the last line.
        with open(workdir / "rounds.jsonl", "ab") as file:
            file.write(b'{"schema": 1, "trial": "ri')
    ok("train", *ARGUMENTS, f"--workdir={workdir}")
    assert_same(whole, workdir)
    grown = [record["grown"] for record in lines(workdir / "rounds.jsonl")]
    assert sum(n > 0 for n in grown) >= 14  # it was killed among rewires


def test_a_checkpoint_that_a_crash_of_the_machine_tore(whole, tmp_path):
    workdir = tmp_path / "run"
    killed(workdir, 8, signal.SIGTERM)
    steps = [p for p in (workdir / "checkpoints" / "single").iterdir() if p.is_dir()]
    newest, before = sorted(steps, key=lambda p: -int(p.name))
    for file in newest.rglob("*"):
        if file.is_file():
            file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    ok("train", *ARGUMENTS, f"--workdir={workdir}")
    assert_same(whole, workdir)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_run_saves_and_says_how_to_go_on(whole, tmp_path, number):
    workdir = tmp_path / "run"
    status, err = killed(workdir, 4, number)
    assert status == 128 + number
    again = f"sparse-search train {' '.join(ARGUMENTS)} --workdir={workdir}"
    assert again in err.replace("'", "")
    done = len(lines(workdir / "rounds.jsonl"))
    assert done < 20 and list((workdir / "checkpoints" / "single").iterdir())
    ok("train", *ARGUMENTS, f"--workdir={workdir}")
    assert_same(whole, workdir)


def test_a_finished_run_is_not_run_again(whole):
    before = (whole / "rounds.jsonl").read_bytes()
    out = ok("train", *ARGUMENTS, f"--workdir={whole}")
    assert "test_accuracy" in out
    assert (whole / "rounds.jsonl").read_bytes() == before


def test_another_config_is_refused_by_field(whole):
    arguments = (*ARGUMENTS, "--config.optimizer.learning_rate=0.05")
    status, _, err = run("train", *arguments, f"--workdir={whole}")
    assert status == 2
    assert "config.optimizer.learning_rate: 0.1 there, 0.05 here" in err
    # How a run is kept is not its result.
    ok("train", *ARGUMENTS, "--config.save_results=False", f"--workdir={whole}")


def test_the_workdir_has_what_is_promised(whole):
    names = {path.name for path in whole.iterdir()}
    assert names >= {
        "config.json",
        "env.json",
        "trials.jsonl",
        "rounds.jsonl",
        "results",
        "tb",
    }
    board = b"".join(path.read_bytes() for path in (whole / "tb").iterdir())
    for tag in (b"accuracy/valid", b"topology/turnover", b"density/params/Dense_0"):
        assert tag in board


@pytest.mark.parametrize(
    "every, seconds, kept", [(0, 1e9, []), (0, 0, [1, 2, 3]), (2, 0, [2])]
)
def test_checkpoints_come_by_time_or_by_rounds(
    every, seconds, kept, tmp_path, monkeypatch
):
    saved = []

    class Noted(Checkpoints):
        def save(self, state, of):
            saved.append(of.rounds)
            super().save(state, of)

    monkeypatch.setattr(train_run, "Checkpoints", Noted)
    monkeypatch.setattr(train_run, "_SECONDS_BETWEEN", seconds)
    fields = {"steps": 40, "sparsity": {"rewire_every": 10}}
    single.train(freeze({**fields, "checkpoint_every": every}), tmp_path)
    assert saved == kept  # never after the last round, whose result is kept
