import os
import signal
import subprocess
import time

import pytest
from commands import CONFIGS, ROOT, command, lines, ok, run, without_times

ARGUMENTS = (
    f"--config={CONFIGS / 'digits_map.py'}:smoke",
    "--config.space.budgets=(656,)",
    "--config.workers=2",
    "--config.lanes=2",  # else it is measured, and bits depend on it
    "--config.representation=masked",
)
# The same bits, and one process to start instead of three.
ALONE = (*ARGUMENTS, "--config.executor=local")
HERE = {"PYTHONPATH": str(ROOT / "tests")}


def statuses(workdir):
    last = {record["trial"]: record for record in lines(workdir / "trials.jsonl")}
    return {name: record["status"] for name, record in last.items()}


def test_an_algorithm_that_breaks_fails_alone_and_is_tried_again(tmp_path):
    workdir = tmp_path / "map"
    methods = "--config.space.methods=('static','their_algorithms:broken')"
    out = ok("search", *ARGUMENTS, methods, f"--workdir={workdir}", **HERE)
    assert "2 trials failed" in out
    found = statuses(workdir)
    broken = {name for name, status in found.items() if status == "failed"}
    assert len(found) == 6 and len(broken) == 2
    assert all(name.startswith("their_algorithms:broken") for name in broken)
    said = ok("status", workdir)
    assert "failed: 2" in said and "ValueError: this algorithm is broken" in said
    before = without_times(lines(workdir / "trials.jsonl"))
    ok("search", *ALONE, methods, f"--workdir={workdir}", REPAIRED="1", **HERE)
    assert "failed" not in statuses(workdir).values()
    after = without_times(lines(workdir / "trials.jsonl"))
    for key, record in before.items():
        if record["status"] != "failed":
            assert after[key] == record
    name = sorted(broken)[0]
    again = tmp_path / "again"
    env = {**HERE, "REPAIRED": "1"}
    ok("train", f"--from={workdir}:{name}", f"--workdir={again}", **env)
    (record,) = lines(again / "trials.jsonl")
    assert record["test_loss"] == after[name, None]["test_loss"]


def test_what_is_no_algorithm_is_refused_before_anything_is_trained(tmp_path):
    workdir = tmp_path / "map"
    methods = "--config.space.methods=('static','their_algorithms:five')"
    status, _, err = run("search", *ALONE, methods, f"--workdir={workdir}", **HERE)
    assert status == 2 and "'their_algorithms:five' made int: 5" in err, err
    assert "Traceback" not in err and not workdir.exists()


def test_an_algorithm_that_kills_its_worker_is_given_up(tmp_path):
    workdir = tmp_path / "map"
    methods = "--config.space.methods=('static','their_algorithms:deadly')"
    ok("search", *ARGUMENTS, methods, f"--workdir={workdir}", **HERE)
    found = statuses(workdir)
    assert len(found) == 6
    for name, status in found.items():
        assert (status == "failed") == name.startswith("their_algorithms:deadly")
    reasons = {r.get("reason") for r in lines(workdir / "trials.jsonl")} - {None}
    assert reasons == {"its worker process ended with status 1 (3 times)"}


def test_a_worker_that_hangs_is_replaced(tmp_path):
    workdir = tmp_path / "map"
    methods = "--config.space.methods=('static','their_algorithms:stuck')"
    marker = tmp_path / "was here"
    more = ("--config.patience=30", f"--workdir={workdir}")
    ok("search", *ARGUMENTS, methods, *more, MARKER=str(marker), **HERE)
    assert marker.exists()
    assert set(statuses(workdir).values()) == {"done"}


@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="needs /proc")
def test_a_worker_that_is_killed_is_replaced(tmp_path):
    whole, workdir = tmp_path / "whole", tmp_path / "map"
    ok("search", *ALONE, f"--workdir={whole}")
    process = subprocess.Popen(
        command("search", *ARGUMENTS, f"--workdir={workdir}"),
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    rounds = workdir / "rounds.jsonl"
    while process.poll() is None and not (rounds.exists() and rounds.stat().st_size):
        time.sleep(0.01)
    for worker in workers_of(process.pid):
        os.kill(worker, signal.SIGKILL)
    _, err = process.communicate()
    assert process.returncode == 0, err
    for journal in ("rounds.jsonl", "trials.jsonl"):
        assert without_times(lines(workdir / journal)) == without_times(
            lines(whole / journal)
        )


def workers_of(parent):
    """The spawned processes that compute, not Python's own resource tracker."""
    found = []
    for number in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{number}/stat") as file:
                fields = file.read().rpartition(")")[2].split()
            with open(f"/proc/{number}/cmdline") as file:
                spawned = "spawn_main" in file.read()
        except OSError:
            continue
        if int(fields[1]) == parent and spawned:
            found.append(int(number))
    return found


def test_users_own_algorithms_are_in_the_map_if_they_keep_what_they_declare(tmp_path):
    workdir = tmp_path / "map"
    names = "'static','their_algorithms:still','their_growth:factory'"
    methods = f"--config.space.methods=({names},'their_algorithms:greedy')"
    out = ok("search", *ALONE, methods, f"--workdir={workdir}", **HERE)
    done = {
        (r["method"], r["seed"]): r["test_loss"]
        for r in lines(workdir / "trials.jsonl")
        if r["status"] == "done"
    }
    for seed in (0, 1):  # the same functions: the same bits
        assert done["static", seed] == done["their_algorithms:still", seed]
    table = (workdir / "report" / "curves.csv").read_text()
    assert table.count("their_growth:factory w32 d2 er,") == 2  # seeds
    assert "Failed 2 times: RuntimeError: their_algorithms:greedy ended with" in out
    for name, status in statuses(workdir).items():
        assert (status == "failed") == name.startswith("their_algorithms:greedy")
