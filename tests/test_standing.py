"""Where a search stands, read from journals as they grow; how it is shown."""

import io
import json
import math
import sys
from types import SimpleNamespace

import pytest
from rich.console import Console

from sparse_search import progress, records, status
from sparse_search.analysis.regions import region_map
from sparse_search.errors import UserError
from sparse_search.standing import Best, Standing
from sparse_search.train.workdir import write_json

BUDGETS, WIDTHS, SEEDS, ROUNDS = (512, 1024, 2048), (32, 64), (0, 1, 2), 4


def trial(structure, width, budget, seed, **more):
    """A finished trial: wider is better, and so are more weights; seeds hardly."""
    small = structure == "small_dense"
    accuracy = 0.5 + 0.1 * math.log2(budget / 512) + 0.0005 * width + 0.001 * seed
    accuracy -= 0.2 if small else 0
    return {
        "schema": records.SCHEMA,
        "trial": f"{structure}-w{width}-n{budget}-s{seed}",
        "point": f"{structure}-w{width}-n{budget}",
        "structure": "small_dense" if small else f"{structure} w{width}",
        "method": structure,
        "seed": seed,
        "nnz": budget,
        "budget": budget,
        "status": "done",
        "valid_accuracy": accuracy,
        "test_accuracy": accuracy - 0.01,
        **more,
    }


def whole():
    """Two methods of two widths at every budget, and the small dense family."""
    axes = [(m, w) for m in ("set", "rigl") for w in WIDTHS] + [("small_dense", 4)]
    return [trial(m, w, n, s) for n in BUDGETS for m, w in axes for s in SEEDS]


def lines(rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


def rounds(names, number):
    return [
        {"schema": 1, "trial": name, "round": r, "step": 10 * r, "layers": {}}
        for r in range(1, number + 1)
        for name in names
    ]


@pytest.fixture
def workdir(tmp_path):
    content = {"schema": 1, "command": "search", "config": {}}
    write_json(tmp_path / "config.json", content)
    ask(tmp_path, whole())
    return tmp_path


def ask(workdir, rows, until=ROUNDS):
    write_json(
        workdir / "asked.json", {row["trial"]: (row["budget"], until) for row in rows}
    )


def append(workdir, journal, rows):
    with open(workdir / f"{journal}.jsonl", "a") as file:
        file.write(lines(rows))


def test_before_the_workdir_is_there(tmp_path):
    standing = Standing(tmp_path / "later")
    assert standing.budgets() == [] and standing.total == 0 and standing.classes() == {}


def test_a_row_a_budget(workdir):
    rows = whole()
    append(workdir, "trials", [row for row in rows if row["budget"] == 512])
    append(workdir, "trials", [trial("set", 64, 1024, s) for s in (0, 1)])
    bad = {"status": "failed", "valid_accuracy": None, "test_accuracy": None}
    append(workdir, "trials", [trial("rigl", 64, 1024, 0, **bad)])
    standing = Standing(workdir)
    first, second, third = standing.budgets()
    assert first[:5] == (512, 15, 0, 15, 0)
    assert first.sparse == Best("set w64", pytest.approx(0.533), 3)
    assert first.dense == Best("small_dense", pytest.approx(0.303), 3)
    assert second[:5] == (1024, 2, 1, 15, 0)
    assert second.sparse == Best("set w64", pytest.approx(0.6325), 2)
    assert third == (2048, 0, 0, 15, 0, None, None)
    assert standing.total == 45 and len(standing.waiting) == 45 - 15 - 3
    assert standing.counts() == {"done": 17, "collapsed": 0, "diverged": 0, "failed": 1}


def test_what_runs_is_what_has_new_rounds(workdir):
    names = [row["trial"] for row in whole()]
    append(workdir, "rounds", rounds(names[:2], 2))
    standing = Standing(workdir)
    assert standing.begun == dict.fromkeys(names[:2], 2)
    # They were begun by a search that is no more, perhaps.
    assert [at.running for at in standing.budgets()] == [0, 0, 0]
    append(workdir, "rounds", rounds(names[1:4], 3))
    standing.look()
    assert standing.budgets()[0].running == 3
    append(workdir, "trials", [whole()[1]])
    standing.look()
    assert standing.budgets()[0].running == 2
    # Asked anew: what had come to a pause is not running.
    ask(workdir, whole()[:3], until=2 * ROUNDS)
    standing.look()
    assert standing.budgets()[0].running == 0
    assert standing.begun == {names[0]: 2, names[2]: 3}


def test_what_a_strategy_gave_up_is_not_waited_for(workdir):
    rows = whole()
    append(workdir, "rounds", rounds([row["trial"] for row in rows], 1))
    append(workdir, "trials", rows[:5])
    ask(workdir, rows[5:8])
    assert Standing(workdir).total == 8
    ask(workdir, [])
    standing = Standing(workdir)
    assert standing.total == len(standing.ended) == 5 and not standing.begun


def test_growing_journals_are_read_once(workdir):
    rows = whole()
    standing = Standing(workdir)
    data = {
        "rounds": lines(rounds([row["trial"] for row in rows], ROUNDS)).encode(),
        "trials": lines(rows).encode(),
    }
    sizes = dict.fromkeys(data, 0)
    while any(sizes[name] < len(data[name]) for name in data):
        for name, whole_data in data.items():
            # What was read is made unreadable, but for a line that is not whole yet.
            read = whole_data[: sizes[name]].rfind(b"\n") + 1
            sizes[name] += len(whole_data) // 7 + 1
            grown = b"\n" * read + whole_data[read : sizes[name]]
            (workdir / f"{name}.jsonl").write_bytes(grown)
        standing.look()
    for name, whole_data in data.items():
        (workdir / f"{name}.jsonl").write_bytes(whole_data)
    fresh = Standing(workdir)
    assert standing.ended == fresh.ended and len(fresh.ended) == len(rows)
    assert standing.reached == fresh.reached
    assert set(fresh.reached.values()) == {ROUNDS}


def test_a_later_record_supersedes(workdir):
    failed = trial("set", 32, 512, 0, status="failed", valid_accuracy=None)
    append(workdir, "trials", [failed])
    standing = Standing(workdir)
    assert standing.counts()["failed"] == 1
    append(workdir, "trials", [trial("set", 32, 512, 0)])
    standing.look()
    assert standing.counts()["failed"] == 0 and standing.budgets()[0].done == 1


def test_names_that_json_escapes(workdir):
    name = 'my_module:"é'
    append(workdir, "rounds", rounds([name], 3))
    assert Standing(workdir).reached == {name: 3}


def test_a_journal_that_something_else_changed(workdir):
    append(workdir, "trials", whole()[:2])
    with open(workdir / "trials.jsonl", "a") as file:
        file.write("mine\n")
    with pytest.raises(UserError, match="trials.jsonl, line 3 is not a journal record"):
        Standing(workdir)


def test_a_workdir_of_a_single_run_has_a_plan_alone(tmp_path):
    row = trial("set", 32, 512, 0)
    plan = {
        "schema": 1,
        "chunk": "single",
        "rounds": ROUNDS,
        "names": [row["trial"]],
        "trials": [{"budget": 512}],
    }
    append(tmp_path, "plan", [plan])
    assert Standing(tmp_path).waiting == {row["trial"]: (512, ROUNDS)}


def test_classes_are_the_map_s_on_validation_data(workdir):
    rows = whole()
    append(workdir, "trials", rows)
    on_validation = [{**r, "test_accuracy": r["valid_accuracy"]} for r in rows]
    expected = region_map(on_validation)["budgets"]
    found = Standing(workdir).classes()
    assert found == {budget["nnz"]: budget["class"] for budget in expected}
    assert set(found.values()) == {"weight-dominated"}


def test_a_class_is_found_where_a_pattern_has_fewer_weights(workdir):
    rows = [{**row, "nnz": row["nnz"] - 4} for row in whole()]
    append(workdir, "trials", rows)
    assert set(Standing(workdir).classes()) == set(BUDGETS)


# How it is shown.


def told(**more):
    at = {"phase": "training", "done": 0, "total": 1, "part": 0.4, "seconds_left": 90.0}
    return SimpleNamespace(**{**at, **more})


def drawn(standing, width=110):
    console = Console(file=io.StringIO(), width=width)
    console.print(progress.live_table(told(), standing, standing.classes()))
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_the_live_table(workdir):
    rows = whole()
    append(workdir, "trials", [row for row in rows if row["budget"] < 2048])
    standing = Standing(workdir)
    append(workdir, "rounds", rounds([rows[-1]["trial"], rows[-2]["trial"]], 1))
    standing.look()
    first, header, *body = drawn(standing).splitlines()
    assert first.startswith("training  ━") and "30 of 45 trials done" in first
    assert "about 90 s left" not in first and "about 2 min left" in first
    assert (
        header.split()
        == "weights done running best on validation small dense so far".split()
    )
    cells = [" ".join(line.split()) for line in body]
    assert cells == [
        "512 15/15 53.3 % set w64 30.3 % weight-dominated",
        "1,024 15/15 63.3 % set w64 40.3 % weight-dominated",
        "2,048 0/15 2",
    ]


def test_the_live_table_fits_a_narrow_terminal(workdir):
    append(workdir, "trials", whole())
    assert all(len(line) <= 60 for line in drawn(Standing(workdir), 60).splitlines())


def test_lines_where_there_is_no_terminal(workdir, capsys, monkeypatch):
    now = 1000.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    with progress.SearchProgress(False, workdir) as watch:
        watch(told(phase="measuring layers", done=3, total=12))
        append(workdir, "trials", whole()[:3])
        append(workdir, "trials", [trial("rigl", 64, 2048, 0, status="failed")])
        watch(told())  # too soon
        now += 11
        watch(told(seconds_left=200.0))
    out, err = capsys.readouterr()
    assert not out and err.splitlines() == [
        "measuring layers: 3 of 12 done, about 2 min left",
        "training: 3 of 45 trials done, 1 failed, about 3 min left",
        "best on validation so far, by weights: 512: 51.7 % (set w32); "
        "2,048: 73.2 % (rigl w64)",
    ]


@pytest.mark.parametrize("terminal", [False, True])
def test_quiet_draws_nothing(workdir, capsys, monkeypatch, terminal):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal, raising=False)
    with progress.SearchProgress(True, workdir) as watch:
        watch(told())
    line = progress.RoundLines(100, quiet=True)
    line({"step": 10})
    line({"step": 100})
    assert capsys.readouterr() == ("", "")


def test_status_says_how_each_budget_stands(workdir):
    rows = whole()
    append(workdir, "trials", [row for row in rows if row["budget"] < 2048][:-1])
    broken = trial("set", 64, 2048, 0, status="failed", reason="x", valid_accuracy=None)
    append(workdir, "trials", [broken])
    begun = [row["trial"] for row in rows if row["budget"] == 2048]
    begun = [name for name in begun if name != broken["trial"]][-12:]
    append(workdir, "rounds", rounds(begun, 2))
    plan = {
        "schema": 1,
        "chunk": "one",
        "rounds": ROUNDS,
        "seconds": 45 * 40.0,
        "workers": 2,
        "names": [row["trial"] for row in rows],
    }
    append(workdir, "plan", [plan])
    said = "\n".join(" ".join(line.split()) for line in status.status(workdir))
    assert "30 of 45 trials have ended\ndone: 29\nfailed: 1\nbegun: 12\n" in said
    assert "round 2 of 4\n… and 2 more\nwaiting: 3\n" in said
    assert "failed: set-w64-n2048-s0: x" in said
    assert "512 15/15 53.3 % set w64 30.3 %" in said
    # Half of 12 trials and all of 3, 40 s each, two at a time.
    assert "The rest takes about 180 s" not in said and "about 3 min" in said


def test_status_names_what_is_undetermined(workdir):
    append(workdir, "trials", [trial("set", 32, n, 0) for n in (512, 1024)])
    assert "Undetermined so far: 512, 1,024 weights." in status.status(workdir)


def test_skipped_combinations_are_counted_in_words(workdir):
    assert status.skipped(workdir) == ["No combination is skipped."]
    left_out = [{"name": "a", "reason": "b"}]
    write_json(workdir / "skipped.json", left_out)
    assert status.skipped(workdir) == ["1 combination is skipped:", "  a: b"]
    pairs = [(str(n), "no") for n in range(7)]
    found = status.describe_skipped(pairs, most=5)
    assert found[0] == "7 combinations are skipped:" and found[-1] == "  … and 2 more"
    assert len(found) == 1 + 5 + 1
