"""The section on structure: which networks it shows, and what it says of them."""

import re

import numpy as np
import pytest
import report_workdirs as workdirs

from sparse_search import results
from sparse_search.analysis.table import read_trials
from sparse_search.report import build_report, structures
from sparse_search.report import workdir as read_workdirs

LAYERS = ("params/Dense_0/kernel", "params/Dense_1/kernel")


def network(nnz, width, same, seed):
    """Masks of about `nnz` weights; the same for all seeds, or not."""
    rng = np.random.default_rng(0 if same else seed + 1)
    shapes = (64, width), (width, 10)
    masks = [rng.random(shape) < nnz / (74 * width) for shape in shapes]
    return results.Result(
        {
            name: mask.astype(np.float32)
            for name, mask in zip(LAYERS, masks, strict=True)
        },
        dict(zip(LAYERS, masks, strict=True)),
    )


def rounds(record):
    return [
        {
            "trial": record["trial"],
            "round": number,
            "step": 100 * number,
            "layers": {
                name: {"density": 0.1 * (place + 1), "turnover": 0.05 * number}
                for place, name in enumerate(LAYERS)
            },
        }
        for number in (1, 2, 3)
    ]


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    """A search whose RigL finds the same masks with every seed."""
    path = tmp_path_factory.mktemp("structures") / "run"
    rows = workdirs.sparse_trials((64, 256), ("static", "rigl"), (512, 1024))
    rows += workdirs.dense_trials((512, 1024))
    workdirs.write_workdir(path, rows)
    with open(path / "rounds.jsonl", "a") as journal:
        for row in rows:
            if row["method"] != "dense":
                made = network(
                    row["nnz"], row["width"], row["method"] == "rigl", row["seed"]
                )
                results.save(results.file(path, row["trial"]), made)
            for record in rounds(row):
                journal.write(f"{workdirs.line(record)}\n")
    return path


def test_the_best_of_every_method_at_every_budget(searched):
    run = read_workdirs.read(searched)
    found = structures.structures(run, read_trials(run.trials, "accuracy"))
    assert [(one.method, one.nnz) for one in found] == [
        (method, nnz) for method in ("rigl", "static") for nnz in (512, 1024)
    ]
    for one in found:
        rows = [row for row in run.trials if row["structure"] == one.name]
        here = [r["valid_accuracy"] for r in rows if r["budget"] == one.nnz]
        others = [
            row["valid_accuracy"]
            for row in run.trials
            if row["method"] == one.method
            and row["budget"] == one.nnz
            and row["structure"] != one.name
        ]
        assert np.mean(here) > np.mean(others)
        assert one.layers == list(LAYERS) and len(one.seeds) == len(one.trials) == 3
        assert 0 < one.effective < 1
        alike = [overlap.value for overlap in one.overlaps]
        if one.method == "rigl":
            assert alike == [1, 1]
        else:
            assert np.mean(alike) < 0.4
        by_hand = [
            results.load(results.file(searched, name)).masks[LAYERS[0]].mean()
            for name in one.trials
        ]
        assert one.mean("density")[0] == pytest.approx(np.mean(by_hand))


def test_the_page_has_it(searched, tmp_path):
    build_report(searched, tmp_path)
    page = (tmp_path / "index.html").read_text()
    assert "<h2" in page and "Structure</h2>" in page
    assert (tmp_path / "structures.png").stat().st_size > 0
    # All pairs of RigL's seeds are alike, so their interval is a point.
    sure = r"100\.0 <small>\[100\.0, 100\.0\]</small> <small>\((\d+\.\d)\)"
    cells = re.findall(sure, page)
    assert len(cells) == 4 and all(0 < float(cell) < 60 for cell in cells)
    again = tmp_path / "again"
    build_report(searched, again)
    for name in ("structures.svg", "structures.png", "index.html"):
        assert (again / name).read_bytes().replace(b"/again", b"") == (
            tmp_path / name
        ).read_bytes().replace(b"/again", b"")


def test_without_results_there_is_no_section(tmp_path):
    rows = workdirs.sparse_trials((64,), ("rigl",), (512,))
    workdirs.write_workdir(tmp_path / "run", rows)
    build_report(tmp_path / "run")
    assert "Structure</h2>" not in (tmp_path / "run/report/index.html").read_text()


def test_rounds_of_one_trial_of_each(searched):
    run = read_workdirs.read(searched)
    shown = structures.shown(
        structures.structures(run, read_trials(run.trials, "accuracy"))
    )
    assert [one.nnz for one in shown] == [512, 512]
    found = structures.rounds_of(searched, shown)
    assert found.keys() == {one.trials[0] for one in shown}
    assert all([r["round"] for r in of] == [1, 2, 3] for of in found.values())
