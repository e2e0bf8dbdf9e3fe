"""The plane and the Pareto fronts of a report: what they show and leave out."""

import csv
import json
from functools import partial

import numpy as np
import pytest
import report_workdirs as workdirs

from sparse_search.analysis.regions import region_map
from sparse_search.analysis.table import read_trials
from sparse_search.report import build_report, plane_plot, plots, tables
from sparse_search.report.plane import read_plane


def plane_of(rows, metric):
    return read_plane(rows, read_trials(rows, metric))


def rows(widths=(64, 256), methods=("static", "rigl"), seeds=2, depths=(2,)):
    """Sparse trials of several depths."""
    return [
        workdirs.trial(
            f"{method}-{width}-{depth}", method, width, nnz, nnz, seed, depth=depth
        )
        for depth in depths
        for method in methods
        for width in widths
        for nnz in (512, 2048)
        for seed in range(seeds)
    ]


def read(trials):
    found = plane_of(trials, "accuracy")
    assert found is not None
    return found


def test_a_cell_is_the_mean_over_seeds():
    trials = rows()
    found = read(trials + workdirs.dense_trials())
    assert [panel.title for panel in found.panels] == ["rigl", "static"]
    assert found.nnz.tolist() == [512, 2048] and found.widths.tolist() == [64, 256]
    for panel in found.panels:
        for w, width in enumerate(found.widths):
            for b, nnz in enumerate(found.nnz):
                values = [
                    row["test_accuracy"]
                    for row in trials
                    if (row["method"], row["width"], row["nnz"])
                    == (panel.method, width, nnz)
                ]
                assert panel.mean[w, b] == pytest.approx(np.mean(values))
        sizes = [workdirs.kernel_size(int(width)) for width in found.widths]
        assert panel.sizes == pytest.approx(sizes)
    assert not found.left_out and not found.shared


def test_not_trained_collapsed_and_lost_are_different():
    trials = rows(methods=("rigl",), seeds=2)
    at = {(row["width"], row["nnz"], row["seed"]): row for row in trials}
    del at[64, 512, 0], at[64, 512, 1]
    at[64, 2048, 0] |= {"status": "collapsed", "test_accuracy": 0.1}
    for seed in range(2):
        at[256, 512, seed] |= {"status": "diverged", "test_accuracy": None}
    (panel,) = read([*at.values()] + rows((128,), ("rigl",))).panels
    assert np.isnan(panel.mean).tolist() == [
        [True, False],
        [False, False],
        [True, False],
    ]
    assert panel.lost.tolist() == [[False, False], [False, False], [True, False]]
    assert panel.collapsed.tolist() == [[0, 0.5], [0, 0], [0, 0]]


def test_only_where_there_are_several_widths_and_budgets():
    assert plane_of(rows((64,)), "accuracy") is None
    assert plane_of([r for r in rows() if r["nnz"] == 512], "accuracy") is None
    assert plane_of(workdirs.dense_trials(), "accuracy") is None
    nameless = [{**row, "width": None} for row in rows()]
    assert plane_of(nameless, "accuracy") is None


def test_layouts_are_panels_and_the_least_frequent_are_named():
    found = read(rows(depths=(1, 2)))
    assert [panel.title for panel in found.panels] == [
        *("rigl, depth 1", "static, depth 1"),
        *("rigl, depth 2", "static, depth 2"),
    ]
    many = rows(depths=tuple(range(1, 8))) + rows((32, 512), depths=(7,))
    found = read(many)
    assert len(found.panels) == 12 and found.left_out == ["depth 6"]
    # Two structures of one width: the cell is the mean of both.
    alike = [{**row, "structure": row["structure"] + "b"} for row in rows()]
    assert read(rows() + alike).shared == 8


@pytest.mark.parametrize("metric", ["accuracy", "loss"])
def test_draws_what_there_is(metric):
    trials = rows(depths=(1, 2)) + workdirs.dense_trials()
    trials[0] |= {"status": "collapsed", "test_accuracy": 0.1, "test_loss": 2.3}
    # Somebody else's table may know no density.
    trials = [{**row, "density": None} for row in trials]
    regions = tables.strict(region_map(trials, metric, "digits"))
    found = plane_of(trials, metric)
    assert found is not None
    files = plots.render(partial(plane_plot.draw_plane, found, regions))
    text = files["svg"].decode()
    assert text.count("pattern id=") > 0 and files["pdf"].startswith(b"%PDF")


def test_the_page_has_both_and_a_table_of_members(tmp_path):
    trials = workdirs.sparse_trials((64, 256), ("rigl",)) + workdirs.dense_trials()
    workdirs.write_workdir(tmp_path / "run", trials)
    page = build_report(tmp_path / "run").page.read_text()
    assert "<h2>The plane of width and weights</h2>" in page
    assert "<h2>Pareto fronts</h2>" in page
    for name in ("plane", "pareto", "curves", "regions"):
        assert f"<a href={name}.pdf>PDF</a>" in page
    with open(tmp_path / "run" / "report" / "pareto.csv", newline="") as file:
        members = list(csv.DictReader(file))
    costs = ["nnz", "train_flops", "inference_flops", "stored_bytes"]
    assert list(dict.fromkeys(member["cost"] for member in members)) == costs
    text = (tmp_path / "run" / "report" / "regions.json").read_text()
    assert "pareto" not in json.loads(text)
    for member in members:
        values = [
            row["test_accuracy"] for row in trials if row["point"] == member["point"]
        ]
        assert float(member["mean"]) == pytest.approx(np.mean(values))
        assert f"<td class=name>{member['point']}</td>" in page


def test_without_several_costs_there_are_no_fronts(tmp_path):
    trials = workdirs.sparse_trials((256,), ("rigl",), (2048,), 2)
    workdirs.write_workdir(tmp_path / "run", trials)
    build_report(tmp_path / "run")
    names = {file.stem for file in (tmp_path / "run" / "report").iterdir()}
    assert not names & {"plane", "pareto"}
