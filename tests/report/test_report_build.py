import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
import report_workdirs as workdirs

from sparse_search import records
from sparse_search.errors import UserError
from sparse_search.report import build_report, compare, files

FIGURES = (
    *("curves", "regions", "protocols", "decomposition", "small_dense"),
    *("plane", "pareto"),
)
FILES = {
    *("index.html", "curves.csv", "regions.json", "pareto.csv"),
    *(f"{name}.{kind}" for name in FIGURES for kind in ("png", "svg", "pdf")),
}
ODD = '<b>&"odd"$x_1$_\u2028</script>'


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "digits_map"
    workdirs.write_workdir(path, workdirs.realistic_trials())
    return path, build_report(path)


def built(tmp_path, trials, command="search", rounds=0):
    workdirs.write_workdir(tmp_path / "run", trials, command, rounds)
    return build_report(tmp_path / "run"), tmp_path / "run" / "report"


def data(page: Path, name: str) -> dict:
    pattern = rf'<script type="application/json" id="{name}">(.*?)</script>'
    found = re.search(pattern, page.read_text(), re.DOTALL)
    assert found, name
    return json.loads(found[1])


def test_every_column_has_its_head(digits):
    page = (digits[0] / "report" / "index.html").read_text()
    body = page.split(">Region map</h2>")[1]
    heads = re.findall(r'<th scope="col"[^>]*>(.*?)</th>', body.split("</thead>")[0])
    words = [re.sub("<[^>]*>", "", head) for head in heads]
    assert words == [
        *("methods", "class", "on the logit scale", "nnz"),
        *("weight effect, points per doubling", "structure SD, points"),
        *("dominance R", "seed SD, points", "structures × seeds", "remarks"),
    ]


def test_the_widths_of_a_single_budget_are_drawn(digits, tmp_path):
    several = (digits[0] / "report" / "index.html").read_text()
    assert ">Prune down, and widen at a fixed budget</h2>" in several
    rows = [
        workdirs.trial(f"static-{width}", "static", width, 512, 512, seed)
        for width in (16, 64, 256)
        for seed in (0, 1)
    ]
    _, report = built(tmp_path / "wider", rows)
    assert ">Widen at a fixed budget</h2>" in (report / "index.html").read_text()
    assert (report / "protocols.png").stat().st_size > 0
    _, report = built(tmp_path / "one", rows[:2])
    assert "fixed budget</h2>" not in (report / "index.html").read_text()


def test_writes_every_file_and_nothing_else(digits):
    path, summary = digits
    assert {file.name for file in (path / "report").iterdir()} == FILES
    assert summary.page == path / "report" / "index.html"
    assert summary.counts == {"done": 198, "collapsed": 1, "diverged": 1, "failed": 1}
    assert summary.verdict


def test_curves_csv_has_the_columns_a_row_a_trial_and_every_bit(digits):
    path, _ = digits
    with open(path / "report" / "curves.csv", newline="") as file:
        reader = csv.DictReader(file)
        rows = list(reader)
    assert tuple(reader.fieldnames or ()) == records.COLUMNS
    trials = {
        (row["point"], str(row["seed"])): row
        for row in records.read_trials(path).values()
    }
    assert len(rows) == len(trials) == 201
    for row in rows:
        value = trials[row["point"], row["seed"]]["test_accuracy"]
        assert row["test_accuracy"] == ("" if value is None else repr(value))
    keys = [(row["structure"], row["point"], int(row["seed"])) for row in rows]
    assert keys == sorted(keys)


def test_regions_json_is_strict_and_has_the_schema(digits):
    path, _ = digits

    def refuse(constant):
        raise AssertionError(constant)

    text = (path / "report" / "regions.json").read_text()
    regions = json.loads(text, parse_constant=refuse)
    assert regions["task"] == "digits"
    assert [entry["nnz"] for entry in regions["budgets"]] == list(workdirs.BUDGETS)
    assert set(regions["by_method"]) == set(workdirs.METHODS)


def test_pictures_parse(digits):
    path, _ = digits
    for name in FIGURES:
        png = (path / "report" / f"{name}.png").read_bytes()
        assert png.startswith(b"\x89PNG") and len(png) > 20_000
        assert ElementTree.parse(path / "report" / f"{name}.svg").getroot() is not None
        pdf = (path / "report" / f"{name}.pdf").read_bytes()
        assert pdf.startswith(b"%PDF") and b"Date" not in pdf


def test_the_page_holds_the_claims(digits):
    path, summary = digits
    text = summary.page.read_text()
    for title in ("At other equal costs", "All structures", "Nested models"):
        assert f"<h3>{title}</h3>" in text
    regions = json.loads((path / "report" / "regions.json").read_text())
    # Sparse networks of this many biases are larger than small dense ones.
    rows = regions["at_equal_cost"]["parameters"]["rows"]
    assert all(row["cost"] > row["nnz"] for row in rows)
    assert f"<td>{rows[0]['cost']:,.0f}</td>" in text
    share = regions["decomposition"]["shares"]["weights"]
    assert f"{100 * share['value']:.2f} <small>[{100 * share['low']:.2f}, " in text
    assert any("At equal" in sentence for sentence in summary.verdict)


def test_an_old_journal_has_no_bytes_to_compare(tmp_path):
    trials = workdirs.sparse_trials(seeds=2) + workdirs.dense_trials(seeds=2)
    for trial in trials:
        del trial["stored_bytes"]
    _, report = built(tmp_path, trials)
    found = json.loads((report / "regions.json").read_text())["at_equal_cost"]
    assert found["stored_bytes"]["rows"] == [] and found["parameters"]["rows"]
    said = "At equal stored bytes: no sparse trial has it in its record."
    assert said in (report / "index.html").read_text()


def test_the_page_is_one_offline_file_that_leads_with_the_verdict(digits):
    path, summary = digits
    text = summary.page.read_text()
    assert len(text.encode()) < 8e6
    assert 0 < text.index(summary.verdict[0]) < text.index("<h2>")
    assert text.count("plotly.js v") == 1
    loaded = re.findall(r'<(?:script|img|link)[^>]*(?:src|href)="([^"]*)"', text)
    assert loaded and all(url.startswith("data:") for url in loaded)
    assert "out of memory &lt;8 GiB&gt; &amp; $x" in text
    assert f"sparse-search report {path}" in text
    figure = data(summary.page, "curves-data")
    assert len(figure["data"]) == 12 + 3
    assert len(data(summary.page, "trials-data")["rows"]) == 201


def test_the_same_journal_gives_the_same_bytes(digits, tmp_path):
    path, _ = digits
    # Another process and hash seed: nothing may depend on the order of a set.
    code = (
        "import sys; from pathlib import Path;"
        "from sparse_search.report import build_report;"
        "build_report(Path(sys.argv[1]), Path(sys.argv[2]))"
    )
    subprocess.run(
        [sys.executable, "-c", code, path, tmp_path / "again"],
        check=True,
        env={**os.environ, "PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo"},
    )
    for name in FILES:
        first = (path / "report" / name).read_bytes()
        assert first == (tmp_path / "again" / name).read_bytes(), name


def test_order_of_the_journal_does_not_matter(digits, tmp_path):
    path, _ = digits
    shuffled = workdirs.realistic_trials()[::-1]
    workdirs.write_workdir(tmp_path / "run", shuffled)
    build_report(tmp_path / "run")
    for name in ("curves.csv", "curves.png"):
        assert (tmp_path / "run/report" / name).read_bytes() == (
            path / "report" / name
        ).read_bytes(), name


def test_runs_without_jax(digits, tmp_path):
    code = (
        "import sys; sys.modules['jax'] = None; from pathlib import Path;"
        "from sparse_search.report import build_report;"
        "assert 'matplotlib' not in sys.modules and 'plotly' not in sys.modules;"
        "build_report(Path(sys.argv[1]), Path(sys.argv[2]));"
        "assert not [m for m in sys.modules if m.split('.')[0] in ('jaxlib', 'flax')]"
    )
    subprocess.run([sys.executable, "-c", code, digits[0], tmp_path / "o"], check=True)


@pytest.mark.parametrize(
    "trials",
    [
        workdirs.sparse_trials(seeds=1) + workdirs.dense_trials(seeds=1),
        workdirs.sparse_trials(budgets=(2048,)) + workdirs.dense_trials((2048,)),
        workdirs.dense_trials(),
        workdirs.sparse_trials(),
        workdirs.sparse_trials((256,), ("rigl",), (2048,), 1),
    ],
    ids=["one seed", "one budget", "only small dense", "only sparse", "one trial"],
)
def test_reports_what_there_is(trials, tmp_path):
    summary, report = built(tmp_path, trials)
    assert summary.verdict
    always = {"index.html", "curves.csv", "curves.png", "regions.json", "regions.png"}
    assert always <= {file.name for file in report.iterdir()}
    assert data(report / "index.html", "curves-data")["data"]


def test_all_failed(tmp_path):
    trials = workdirs.sparse_trials(budgets=(2048,))
    missing = {n: None for n in records.COLUMNS if n.endswith(("loss", "accuracy"))}
    trials = [{**t, **missing, "status": "failed", "reason": "no disk"} for t in trials]
    summary, report = built(tmp_path, trials)
    assert summary.counts["failed"] == len(trials)
    assert "no disk" in (report / "index.html").read_text()
    assert json.loads((report / "regions.json").read_text())["budgets"] == []


def test_a_single_run_shows_its_learning_curves(tmp_path):
    trials = workdirs.sparse_trials((256,), ("rigl",), (2048,), 1)
    summary, report = built(tmp_path, trials, "train", rounds=12)
    assert "test accuracy on digits" in summary.verdict[0]
    train, valid = data(report / "index.html", "learning-data")["data"]
    assert train["x"] == valid["x"] == [100 * n for n in range(1, 13)]
    assert "Region map" not in (report / "index.html").read_text()


@pytest.mark.parametrize("status", ["diverged", "failed"])
def test_a_single_run_without_result(status, tmp_path):
    (trial,) = workdirs.sparse_trials((256,), ("rigl",), (2048,), 1)
    trial |= {"status": status, "test_accuracy": None, "reason": "NaN in round 3"}
    summary, _ = built(tmp_path, [trial], "train")
    assert summary.verdict[0].endswith(f"{status}: NaN in round 3.")


@pytest.mark.filterwarnings("ignore:Glyph:UserWarning")
def test_odd_names_are_escaped(tmp_path):
    trials = [
        {**t, "structure": t["structure"] + ODD, "method": "_" + t["method"] + ODD}
        if t["structure"] != records.SMALL_DENSE
        else t
        for t in workdirs.sparse_trials(seeds=2) + workdirs.dense_trials(seeds=2)
    ]
    _, report = built(tmp_path, trials)
    text = (report / "index.html").read_text()
    assert ODD not in text and "<b>&" not in text
    rows = data(report / "index.html", "trials-data")["rows"]
    assert any(ODD in row[0] for row in rows)
    ElementTree.parse(report / "curves.svg")


def test_the_page_of_5000_trials_is_small(tmp_path):
    widths = (64, 96, 128, 192, 256, 384, 512, 768)
    trials = workdirs.sparse_trials(widths, seeds=40) + workdirs.dense_trials(seeds=40)
    assert len(trials) > 5000
    workdirs.write_workdir(tmp_path / "run", trials)
    summary = build_report(tmp_path / "run")
    assert summary.page.stat().st_size < 8e6


def test_compare(digits, tmp_path):
    other = workdirs.sparse_trials((64, 256), ("rigl",)) + workdirs.dense_trials()
    workdirs.write_workdir(tmp_path / "other", other)
    summary = compare([digits[0], tmp_path / "other"], tmp_path / "out")
    assert {file.name for file in (tmp_path / "out").iterdir()} == {
        *("index.html", "curves.csv", "curves.png", "curves.svg", "curves.pdf"),
    }
    assert sum(summary.counts.values()) == 201 + len(other)
    with open(tmp_path / "out" / "curves.csv", newline="") as file:
        reader = csv.DictReader(file)
        names = [row["workdir"] for row in reader]
    assert tuple(reader.fieldnames or ()) == ("workdir", *records.COLUMNS)
    assert names == ["digits_map"] * 201 + ["other"] * len(other)


def test_compare_tells_workdirs_of_one_name_apart(tmp_path):
    trials = workdirs.sparse_trials((64,), ("rigl",))
    paths = [tmp_path / "a" / "run", tmp_path / "b" / "run"]
    for path in paths:
        workdirs.write_workdir(path, trials)
    compare(paths, tmp_path / "out")
    table = (tmp_path / "out" / "curves.csv").read_text()
    assert all(f"\n{path}," in table for path in paths)


def test_compare_refuses_different_tasks(digits, tmp_path):
    trials = [{**t, "task": "fashion_mnist"} for t in workdirs.dense_trials()]
    workdirs.write_workdir(tmp_path / "fashion", trials)
    with pytest.raises(UserError, match=r"digits \(.*fashion_mnist \("):
        compare([digits[0], tmp_path / "fashion"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_workdirs_that_cannot_be_reported(tmp_path):
    with pytest.raises(UserError, match="no workdir"):
        build_report(tmp_path / "missing")
    (tmp_path / "plain").mkdir()
    with pytest.raises(UserError, match="config.json"):
        build_report(tmp_path / "plain")
    workdirs.write_workdir(tmp_path / "empty", [])
    with pytest.raises(UserError, match="no finished trial"):
        build_report(tmp_path / "empty")
    (tmp_path / "empty" / "config.json").write_text("{")
    with pytest.raises(UserError, match="cannot be read"):
        build_report(tmp_path / "empty")
    both = [*workdirs.dense_trials(), {**workdirs.dense_trials()[0], "trial": "x"}]
    both[-1]["task"] = "mnist"
    workdirs.write_workdir(tmp_path / "both", both)
    with pytest.raises(UserError, match="mixes the tasks digits, mnist"):
        build_report(tmp_path / "both")


def test_output_that_cannot_be_written(digits, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="Cannot write .*--out"):
        build_report(digits[0], tmp_path / "file" / "report")

    def full(_):
        raise OSError(28, "No space left on device")

    (tmp_path / "curves.csv").write_text("old")
    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(UserError, match="No space left on device"):
        build_report(digits[0], tmp_path)
    assert (tmp_path / "curves.csv").read_text() == "old"
    assert {file.name for file in tmp_path.iterdir()} == {"file", "curves.csv"}


def test_a_search_that_is_not_done_says_so(tmp_path):
    trials = workdirs.realistic_trials()
    path = workdirs.write_workdir(tmp_path / "run", trials[:100])
    asked = {row["trial"]: (row["budget"], 12) for row in trials}
    (path / "asked.json").write_text(json.dumps(asked))
    summary = build_report(path)
    assert summary.verdict[0] == "So far: 100 of 201 trials have ended."
    assert summary.verdict[0] in summary.page.read_text()
    others = workdirs.write_workdir(tmp_path / "other", trials)
    both = compare([path, others], tmp_path / "both").verdict
    assert both[0].startswith("run: 100 of 201 trials of")
    assert both[1].startswith("other: 201 trials of")
    # A strategy that has nothing more to ask is done, whatever was planned.
    (path / "asked.json").write_text("{}")
    assert "So far" not in build_report(path).verdict[0]
