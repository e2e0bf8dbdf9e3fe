"""Somebody else's tables: mapped like our own, and refused in one sentence."""

import csv
import json

import numpy as np
import pytest
import report_workdirs as workdirs
from commands import ROOT, run

from sparse_search.analysis.cells import sparse_cells
from sparse_search.analysis.table import read_trials
from sparse_search.errors import UserError
from sparse_search.report import (
    build_report,
    build_table_report,
    compare,
    foreign,
    series,
    workdir,
)

HEAD = "nnz,structure,seed,accuracy"


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """A workdir with its report."""
    path = tmp_path_factory.mktemp("own") / "digits_map"
    rows = workdirs.sparse_trials((64, 256), ("static", "rigl"))
    workdirs.write_workdir(path, rows + workdirs.dense_trials())
    build_report(path)
    return path


def regions(folder):
    return json.loads((folder / "regions.json").read_text())


def rows_of(own):
    with open(own / "report" / "curves.csv", newline="") as file:
        return list(csv.DictReader(file))


def write(path, rows, columns):
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_our_own_table_gives_our_own_map(own, tmp_path):
    table = own / "report" / "curves.csv"
    summary = build_table_report(table, tmp_path / "out", "accuracy")
    found, was = regions(tmp_path / "out"), regions(own / "report")
    assert found == was
    assert summary.counts["done"] == len(rows_of(own))


def test_four_columns_are_enough(own, tmp_path):
    table = write(
        tmp_path / "few.csv",
        [{**row, "accuracy": row["test_accuracy"]} for row in rows_of(own)],
        HEAD.split(","),
    )
    summary = build_table_report(table, tmp_path / "out")
    found, was = regions(tmp_path / "out"), regions(own / "report")
    assert found["chosen_on"] == "test" and was["chosen_on"] == "validation"
    for name in ("class", "nnz"):
        assert [b[name] for b in found["budgets"]] == [b[name] for b in was["budgets"]]
    assert any("no validation metric" in said for said in summary.verdict)
    page = (tmp_path / "out" / "index.html").read_text()
    assert "--from-csv=" in page and "is known to who made it" in page


def test_percent_and_errors_are_the_same_map(own, tmp_path):
    rows = rows_of(own)
    for row in rows:
        row["accuracy"] = f"{100 * float(row['test_accuracy']):.12g}"
        row["test_error"] = 1 - float(row["test_accuracy"])
        row["val_error"] = 1 - float(row["valid_accuracy"])
        row["val_acc"] = f"{100 * float(row['valid_accuracy']):.12g}"
    columns = [*HEAD.split(","), "method", "point", "val_acc"]
    percent = write(tmp_path / "percent.csv", rows, columns)
    columns = ["nnz", "structure", "seed", "test_error", "method", "point", "val_error"]
    error = write(tmp_path / "error.csv", rows, columns)
    build_table_report(percent, tmp_path / "percent")
    build_table_report(error, tmp_path / "error")
    was = regions(own / "report")
    one, other = regions(tmp_path / "percent"), regions(tmp_path / "error")
    assert was["chosen_on"] == one["chosen_on"] == other["chosen_on"] == "validation"
    assert one["metric"] == "test_accuracy" and other["metric"] == "test_error"
    for a, b, c in zip(was["budgets"], one["budgets"], other["budgets"], strict=True):
        assert a["class"] == b["class"] == c["class"]
        assert a["class_on_other_scale"] == c["class_on_other_scale"]
        for name, sign in (("weight_effect", -1), ("structure_sd", 1)):
            value = a[name]["value"]
            assert b[name]["value"] == pytest.approx(value, abs=1e-9)
            assert c[name]["value"] == pytest.approx(sign * value, abs=1e-9)
    pairs = zip(
        was["large_sparse_vs_small_dense"],
        other["large_sparse_vs_small_dense"],
        strict=True,
    )
    for a, b in pairs:
        assert b["difference"] == pytest.approx(-a["difference"], abs=1e-9)
        assert b["best_structure"] == a["best_structure"]


def test_a_map_of_losses(own, tmp_path):
    build_report(own, tmp_path / "out", "loss")
    found = regions(tmp_path / "out")
    assert found["metric"] == "test_loss"
    # 3.1 times the error, in this law.
    for a, b in zip(regions(own / "report")["budgets"], found["budgets"], strict=True):
        expected = -3.1 * a["weight_effect"]["value"]
        assert b["weight_effect"]["value"] == pytest.approx(expected)
    page = (tmp_path / "out" / "index.html").read_text()
    assert "Loss against weights" in page and "--metric=loss" in page
    assert "structure SD, loss" in page and "on the log scale" in page
    with pytest.raises(UserError, match="'los' is not known.*Did you mean 'loss'"):
        build_report(own, tmp_path / "out", "los")


@pytest.mark.parametrize("prefix", ["valid", "validation", "val"])
@pytest.mark.parametrize("metric", ["accuracy", "error", "loss"])
def test_choices_are_made_on_the_validation_metric(prefix, metric, tmp_path):
    # The better rate on validation is the worse one on test.
    file = tmp_path / "table.csv"
    better, worse = (0.6, 0.4) if metric == "accuracy" else (0.4, 0.6)
    lines = [f"nnz,structure,seed,learning_rate,{metric},{prefix}_{metric}"]
    for nnz in (100, 200):
        for seed in (0, 1):
            lines.append(f"{nnz},a,{seed},0.1,{worse},{better}")
            lines.append(f"{nnz},a,{seed},0.2,{better},{worse}")
    file.write_text("\n".join(lines))
    table = foreign.read(file)
    assert not any("no validation metric" in note for note in table.notes)
    cells = sparse_cells(read_trials(table.run.trials, metric))
    assert np.unique(cells.test).tolist() == [worse]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        (",,\n,,\n", "column '' |has a header and no rows"),
        (HEAD, "has a header and no rows"),
        ("nnz,seed,accuracy\n1,0,0.5", "no column 'structure'"),
        ("nnz,structur,seed,accuracy\n1,a,0,0.5", "Did you mean 'structur'"),
        ("nnz,structure,seed\n1,a,0", "has no metric; name a column accuracy, error"),
        (f"{HEAD},accuracy\n1,a,0,0.5,0.5", "the column 'accuracy' twice"),
        (f"{HEAD}\n100,a,0", "line 2: 3 cells for 4 columns"),
        (f"{HEAD}\n100,a,0,0.5\n200,a,0,half", "line 3: accuracy is 'half'"),
        (f"{HEAD}\n100,,0,0.5", "line 2: there is no structure"),
        (f"{HEAD}\n0,a,0,0.5", "nnz is 0, and must be above 0"),
        (f"{HEAD}\n-5,a,0,0.5", "nnz is -5"),
        (f"{HEAD}\n100,a,0,0.5\n100,a,0,0.6", "lines 2 and 3: both are a with 100"),
        (f"{HEAD}\n100,a,0,-0.5", "goes from -0.5 to -0.5; accuracy is between 0"),
        (f"{HEAD}\n100,a,0,250", "between 0 and 1, or 0 and 100"),
        (f"{HEAD}\n100,a,0,\n100,a,1,nan", "no number in its column 'accuracy'"),
        (f"{HEAD}\n1,a,0,5%\n1,a,1,0.5", "line 3: accuracy has no percent sign"),
        (f"{HEAD}\n1,a,0,250%", "goes from 250 to 250"),
        (f"{HEAD}\n1,a,0,0.5\n1,a,1,1.2\n1,b,0,0.7", "most of it below 1"),
        ("nnz|structure|seed|loss\n1|a|0|0.5", "a single column, 'nnz|structure"),
        (f"# of a paper\n{HEAD}\n1,a,0,0.5", "a single column, '# of a paper'"),
        ("nnz;structure;seed;loss\n1;a;0;0,5", "write decimals with a point"),
        ("nnz,structure,seed,val_loss\n1,a,0,0.5", "only val_loss; rename"),
        (f'{HEAD}\n1,a,0,"0.5\n2,a,0,0.5', "line 3, is no CSV"),
        (f"{HEAD},Accuracy\n1,a,0,0.5,0.5", "the column 'accuracy' twice"),
        (f"{HEAD},task\n9,a,0,0.5,x\n9,b,0,0.5,y", "mixes the tasks x, y"),
    ],
)
def test_what_is_no_table_is_refused_in_a_sentence(text, words, tmp_path):
    file = tmp_path / "table.csv"
    file.write_text(text)
    with pytest.raises(UserError, match=words) as caught:
        build_table_report(file, tmp_path / "out")
    assert str(file) in str(caught.value) and "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(UserError, match="cannot be read: No such file"):
        foreign.read(tmp_path / "none.csv")
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00nnz")
    with pytest.raises(UserError, match="it is no UTF-8 text"):
        foreign.read(tmp_path / "binary.csv")


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_other_delimiters_marks_and_names(delimiter, tmp_path):
    lines = ["NNZ,Structure,Seed,Test_Acc,note", "1e3,a,0,51.5%,x", "1000,b,0,,y", ""]
    file = tmp_path / "table.csv"
    text = "\r\n".join(lines).replace(",", delimiter)
    file.write_bytes(b"\xef\xbb\xbf" + text.encode())
    table = foreign.read(file)
    first, second = table.run.trials
    assert (first["nnz"], first["test_accuracy"], first["seed"]) == (1000, 0.515, 0)
    assert isinstance(first["nnz"], int)
    assert second["status"] == "diverged" and second["test_accuracy"] is None


def test_half_a_percent_is_not_a_half(tmp_path):
    file = tmp_path / "table.csv"
    file.write_text("nnz,structure,seed,error,val_error\n9,a,0,0.5%,20\n9,b,0,0.4 %,30")
    table = foreign.read(file)
    assert [r["test_error"] for r in table.run.trials] == pytest.approx([0.005, 0.004])
    assert [r["valid_error"] for r in table.run.trials] == pytest.approx([0.2, 0.3])


def test_one_seed_or_one_structure_says_what_it_can(tmp_path):
    file = tmp_path / "one.csv"
    file.write_text(f"{HEAD}\n100,a,0,0.5\n200,a,0,0.6\n400,a,0,0.7\n")
    summary = build_table_report(file, tmp_path / "out")
    assert summary.verdict[0] == "Undetermined at all budgets."
    assert (tmp_path / "out" / "regions.png").stat().st_size > 0


def test_the_command(own, tmp_path):
    table = own / "report" / "curves.csv"
    status, _, err = run("report", f"--from-csv={table}")
    assert status == 2 and "--out=DIR" in err and "Traceback" not in err
    status, _, err = run("report", own, f"--from-csv={table}")
    assert status == 2 and "one of them" in err
    status, out, _ = run("report", f"--from-csv={table}", f"--out={tmp_path / 'out'}")
    assert status == 0 and "Report: " in out


def test_comparing_with_published_numbers(own, tmp_path):
    published = tmp_path / "published.csv"
    published.write_text(
        "task,structure,method,nnz,seed,test_accuracy,source\n"
        "digits,theirs,theirs,512,0,80.5,Nobody 2031\n"
        "digits,theirs,theirs,2048,0,90.5,Nobody 2031\n"
    )
    summary = compare([own, published], tmp_path / "out")
    assert "published: 2 trials of 1 sparse structure" in summary.verdict[1]
    assert summary.verdict[1].endswith("from Nobody 2031.")
    with open(tmp_path / "out" / "curves.csv", newline="") as file:
        theirs = [r for r in csv.DictReader(file) if r["workdir"] == "published"]
    assert {float(row["test_accuracy"]) for row in theirs} == {0.805, 0.905}
    # What all have in common that have it does not tell a layout from another.
    rows = {"own": workdir.read(own).trials, "t": foreign.read(published).run.trials}
    labels = {line.label for line in series.compared(rows)}
    widths = {"own: width 64", "own: width 256"}
    assert labels == {*widths, "own: small dense", "t: theirs"}


def test_tables_that_cannot_be_compared(own, tmp_path):
    file = tmp_path / "t.csv"
    file.write_text("structure,nnz,seed,test_accuracy\na,512,0,0.8\n")
    with pytest.raises(UserError, match="does not say of which task"):
        compare([own, file], tmp_path / "out")
    file.write_text("task,structure,nnz,seed,test_loss\ndigits,a,512,0,0.8\n")
    with pytest.raises(UserError, match="has no metric 'accuracy'; it has test_loss"):
        compare([own, file], tmp_path / "out")
    file.write_text("task,structure,nnz,seed,test_accuracy\nmnist,a,512,0,0.8\n")
    with pytest.raises(UserError, match="different tasks"):
        compare([own, file], tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "file", sorted((ROOT / "references").glob("*.csv")), ids=lambda file: file.name
)
def test_the_published_numbers_we_keep_say_where_they_are_from(file):
    table = foreign.read(file)
    assert table.metric == "accuracy" and table.run.task
    assert all(row["source"] and row["density"] for row in table.run.trials)
