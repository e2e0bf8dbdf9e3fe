import csv
import json
import random
import shutil
import signal
import subprocess
import time

import numpy as np
import pytest
from commands import CONFIGS, ROOT, command, ok, run, without_times

from sparse_search import records
from sparse_search.report import hardware
from sparse_search.report import workdir as report_workdir

ARGUMENTS = (
    f"--config={CONFIGS / 'digits_map.py'}:smoke",
    "--config.steps=40",
    "--config.checkpoint_every=1",
    "--config.workers=2",
    "--config.lanes=2",  # else it is measured, and bits depend on it
)
# The same bits, and one process to start instead of three.
ALONE = (*ARGUMENTS, "--config.executor=local")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A search that nothing interrupted."""
    workdir = tmp_path_factory.mktemp("whole") / "map"
    ok("search", *ARGUMENTS, f"--workdir={workdir}")
    return workdir


def curves(workdir):
    """The table of a report, without its times."""
    with open(workdir / "report" / "curves.csv") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        del row["wall_seconds"]
    return rows


def test_every_trial_of_the_grid_is_in_the_table(whole):
    rows = curves(whole)
    assert len(rows) == 2 * 2 * 2 + 2 * 2  # method × budget × seed; small dense
    assert {row["structure"] for row in rows} == {
        "static w32 d2 er",
        "rigl w32 d2 er",
        "small_dense",
    }
    for row in rows:
        assert int(row["nnz"]) in (656, 1440)
        assert row["steps"] == "40"
        assert int(row["effective_parameters"]) <= int(row["parameters"])


def test_the_workdir_has_what_is_promised(whole):
    report = {path.name for path in (whole / "report").iterdir()}
    assert report >= {
        "index.html",
        "curves.csv",
        "curves.png",
        "curves.svg",
        "regions.json",
        "regions.png",
        "regions.svg",
    }
    assert len(list((whole / "results").iterdir())) == 12
    assert not any((whole / "checkpoints").iterdir())
    regions = json.loads((whole / "report" / "regions.json").read_text())
    assert [b["nnz"] for b in regions["budgets"]] == [656, 1440]
    assert set(regions["by_method"]) == {"static", "rigl"}


def test_a_search_killed_anywhere_goes_on_and_repeats_nothing(whole, tmp_path):
    workdir = tmp_path / "map"
    dice = random.Random(0)
    for _ in range(3):
        process = subprocess.Popen(
            command("search", *ARGUMENTS, f"--workdir={workdir}"),
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        # Until something more is journaled than before, and a little longer.
        before = journaled(workdir)
        while process.poll() is None and journaled(workdir) <= before + 2:
            time.sleep(0.01)
        time.sleep(dice.random())
        process.send_signal(signal.SIGKILL)
        process.wait()
        for name in ("rounds.jsonl", "trials.jsonl"):
            with open(workdir / name, "ab") as file:
                file.write(b'{"schema": 1, "tri')  # a torn last line
    status, _, err = run("search", *ARGUMENTS, f"--workdir={workdir}")
    assert status == 0 and "Traceback" not in err, err
    assert curves(workdir) == curves(whole)
    for journal in ("rounds.jsonl", "trials.jsonl"):
        # (A journal that was complete before the last kill keeps its torn line.)
        assert without_times(records.read(workdir / journal)) == without_times(
            records.read(whole / journal)
        )
    names = [record["trial"] for record in records.read(workdir / "trials.jsonl")]
    assert len(names) == len(set(names)) == 12


def test_a_trial_killed_before_its_result_is_trained_to_its_end(whole, tmp_path):
    workdir = tmp_path / "map"
    shutil.copytree(whole, workdir)
    journal = workdir / "trials.jsonl"
    *kept, _ = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(kept))
    ok("search", *ALONE, f"--workdir={workdir}")
    assert curves(workdir) == curves(whole)


def test_records_tell_what_models_of_hardware_need(whole):
    for trial in records.read_trials(whole).values():
        layers = trial["layers"]
        assert [layer["shape"] for layer in layers[1:]] == [
            [trial["width"], trial["width"]],
            [trial["width"], 10],
        ]
        assert sum(layer["nnz"] for layer in layers) == trial["nnz"]
    found = hardware.modelled(report_workdir.read(whole), "eie", "accuracy")
    assert (len(found.rows), found.placed) == (12, 12)


def journaled(workdir):
    rounds = workdir / "rounds.jsonl"
    return rounds.read_bytes().count(b"\n") if rounds.exists() else 0


def test_a_stopped_search_saves_and_goes_on(whole, tmp_path):
    workdir = tmp_path / "map"
    process = subprocess.Popen(
        command("search", *ALONE, f"--workdir={workdir}"),
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    while process.poll() is None and journaled(workdir) < 4:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()
    assert process.returncode == 130
    assert "To go on: sparse-search search" in err
    assert "Traceback" not in err
    out = ok("status", workdir)
    assert "not running" in out and "to go on" in out
    ok("search", *ALONE, f"--workdir={workdir}")
    assert curves(workdir) == curves(whole)


def test_a_finished_search_grows_and_keeps_what_it_has(whole, tmp_path):
    workdir = tmp_path / "map"
    shutil.copytree(whole, workdir)
    first = (workdir / "trials.jsonl").read_bytes()
    larger = (*ALONE, "--config.space.seeds=(0, 1, 2)")
    ok("search", *larger, f"--workdir={workdir}")
    assert (workdir / "trials.jsonl").read_bytes().startswith(first)
    assert {row["seed"] for row in curves(workdir)} == {"0", "1", "2"}
    # Lists may grow, but not lose what was trained.
    status, _, err = run("search", *ALONE, f"--workdir={workdir}")
    assert status == 2 and "config.space.seeds: [0, 1, 2] there, [0, 1] here" in err


def test_a_trial_is_repeated_to_the_bit(whole, tmp_path):
    name = "rigl-w32-d2-er-n656-lr0.1-s1"
    again = tmp_path / "again"
    ok("train", f"--from={whole}:{name}", f"--workdir={again}")
    (record,) = records.read(again / "trials.jsonl")
    original = without_times(records.read(whole / "trials.jsonl"))[name, None]
    for field, value in original.items():
        if field != "chunk":
            assert record[field] == value, field
    file = f"{name}.npz"
    with np.load(whole / "results" / file) as one:
        with np.load(again / "results" / file) as other:
            for array in one.files:
                np.testing.assert_array_equal(one[array], other[array])
    status, _, err = run("train", f"--from={whole}:{name}x", f"--workdir={again}")
    assert status == 2 and f"Did you mean '{name}'" in err


def test_two_searches_in_one_workdir(tmp_path):
    workdir = tmp_path / "map"
    process = subprocess.Popen(
        command("search", *ALONE, f"--workdir={workdir}"),
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while not (workdir / "config.json").exists():
            assert process.poll() is None
            time.sleep(0.01)
        status, _, err = run("search", *ALONE, f"--workdir={workdir}")
        assert status == 2
        assert f"is in use by process {process.pid} on " in err
        assert f"running, process {process.pid}" in ok("status", workdir)
    finally:
        process.kill()
        process.wait()


def test_a_dry_run_writes_nothing(tmp_path):
    workdir = tmp_path / "map"
    more = "--config.space.small_dense.depths=(1, 2)"
    budgets = "--config.space.budgets=(330, 1440)"
    out = ok("search", *ALONE, more, budgets, "--dry-run", f"--workdir={workdir}")
    assert "rigl-w32-d2: 4 trials" in out
    assert "static-w32-d2-er-n330-lr0.1-s0" in out
    assert "small_dense d1 at 330 weights: the nearest width, 4, has 296" in out
    assert "Estimate: about" in out
    assert not workdir.exists()


def test_compare_draws_two_workdirs(whole, tmp_path):
    out, other = tmp_path / "both", tmp_path / "other"
    status, _, err = run("compare", whole, whole, f"--out={out}")
    assert status == 2 and "given twice" in err and not out.exists()
    shutil.copytree(whole, other)
    said = ok("compare", whole, other, f"--out={out}")
    assert str(out / "index.html") in said
    header = (out / "curves.csv").read_text().splitlines()[0]
    assert header.startswith("workdir,point,structure")


def test_report_needs_no_jax(whole, tmp_path):
    blocker = tmp_path / "jax.py"
    blocker.write_text("raise ImportError('no jax here')\n")
    out = tmp_path / "report"
    ok("report", whole, f"--out={out}", PYTHONPATH=str(tmp_path))
    assert (out / "curves.csv").read_bytes() == (
        whole / "report" / "curves.csv"
    ).read_bytes()


def test_methods_by_name_and_combinations_that_cannot_work(tmp_path):
    workdir = tmp_path / "map"
    out = ok(
        "search",
        *ALONE,
        f"--workdir={workdir}",
        "--config.space.methods=('rigl','snip')",
        "--config.space.allocations=('er','global')",
        "--config.space.small_dense.depths=()",
        "--config.space.budgets=(1440,)",
        "--config.space.seeds=(0,)",
    )
    reason = "The method 'rigl' keeps the number of every layer"
    assert reason in out
    out = ok("status", workdir, "--skipped")
    assert "1 combination is skipped:" in out and reason in out
    with open(workdir / "report" / "curves.csv") as file:
        rows = [(r["method"], r["allocation"], r["nnz"]) for r in csv.DictReader(file)]
    pairs = [("rigl", "er"), ("snip", "er"), ("snip", "global")]
    assert sorted(rows) == sorted((m, a, "1440") for m, a in pairs)


def test_a_budget_becomes_the_nearest_that_a_pattern_reaches(tmp_path):
    workdir = tmp_path / "one"
    out = ok(
        "train",
        f"--config={CONFIGS / 'digits_map.py'}:smoke",
        f"--workdir={workdir}",
        "--config.sparsity.pattern=block4x4",
        "--config.sparsity.nnz=1001",
    )
    (record,) = records.read_trials(workdir).values()
    assert record["budget"] == 1001 and 981 <= record["nnz"] <= 1001
    assert f"{record['nnz']} (the nearest that 1,001 weights allow)" in out
