"""The scaling command: from a table or a workdir to numbers, figure and sentences."""

import html
import json
import xml.etree.ElementTree as ET

import pytest
from commands import ok, run
from report_workdirs import dense_trials, sparse_trials, write_workdir

from sparse_search.errors import UserError
from sparse_search.report import build_report
from sparse_search.report.scaling import build_scaling, columns_of, fitted, only_of


def table(path, sparsities=(0, 0.5, 0.75), data=(1e4, 4e4, 16e4)):
    lines = ["scale,sparsity,steps,val-loss"]
    for k, n in enumerate((1e4, 4e4, 16e4, 64e4)):
        for i, s in enumerate(sparsities):
            for j, d in enumerate(data):
                loss = (3 * (1 - s) ** 0.8 + 5) * n**-0.25 + (30 / d) ** 0.3 + 1.2
                wiggle = 1 + 0.004 * ((7 * k + 5 * i + 3 * j) % 4 - 1.5)
                lines.append(f"{n / (1 - s)},{s},{d},{loss * wiggle}")
    path.write_text("\n".join(lines) + "\n")
    return path


def test_the_command_writes_numbers_figure_and_sentences(tmp_path):
    source, out = table(tmp_path / "t.csv"), tmp_path / "out"
    said = ok("scaling", source, f"--out={out}", "--columns=size=scale")
    assert "Read 36 rows of 36 settings" in said
    assert "as good as a dense one" in said and "held out" in said
    content = json.loads((out / "scaling.json").read_text())
    told = content["forms"]["sparse"]["multipliers"]
    # ((3 + 5) / (3 × 0.5^0.8 + 5))^4
    assert told[0]["low"] < 1.994 < told[0]["high"]
    assert content["verdict"] == said.splitlines()[:-1]
    assert (out / "scaling.png").read_bytes()[:4] == b"\x89PNG"
    ET.fromstring((out / "scaling.svg").read_text())


def test_a_mistake_is_one_sentence(tmp_path):
    source = table(tmp_path / "t.csv")
    status, _, said = run("scaling", source, f"--out={tmp_path / 'out'}")
    assert status == 2 and "Traceback" not in said
    assert "--columns=size=scale or --columns=nnz=scale" in said
    assert not (tmp_path / "out").exists()


def test_the_same_table_gives_the_same_bytes(tmp_path):
    source = table(tmp_path / "t.csv", data=(1e4,))
    for name in ("one", "two"):
        build_scaling(source, tmp_path / name, {"size": "scale"})
    for name in ("scaling.json", "scaling.png", "scaling.svg", "scaling.pdf"):
        one, two = ((tmp_path / part / name).read_bytes() for part in ("one", "two"))
        assert one == two


def test_a_workdir_and_its_report_give_the_same_fit(tmp_path):
    trials = sparse_trials((64, 256), ("rigl", "set"), seeds=1) + dense_trials(seeds=1)
    workdir = write_workdir(tmp_path / "run", trials)
    build_report(workdir)
    page = workdir / "report" / "index.html"
    assert f"scaling {workdir} --out={workdir}/scaling" in page.read_text()
    said = build_scaling(workdir, workdir / "scaling")
    assert any("The methods rigl, set were taken as one" in text for text in said)
    curves = workdir / "report" / "curves.csv"
    build_scaling(curves, tmp_path / "two")
    told = [
        json.loads((folder / "scaling.json").read_text())
        for folder in (workdir / "scaling", tmp_path / "two")
    ]
    assert told[0]["forms"] == told[1]["forms"]
    assert told[0]["columns"]["loss"] == "test_loss"
    build_report(workdir)
    text = page.read_text()
    assert f"--out={workdir}/scaling" not in text
    assert 'alt="scaling law"' in text and html.escape(said[0]) in text
    # One more trial: the fit is no longer of all.
    trials += sparse_trials((64,), ("rigl",), (512,), seeds=2)[1:]
    assert fitted(write_workdir(workdir, trials), len(trials)) is None


def test_one_shape_pruned_further_is_drawn_without_sparsity(tmp_path):
    trials = sparse_trials(widths=(256,), methods=("rigl",))
    workdir = write_workdir(tmp_path / "run", trials)
    said = build_scaling(workdir, tmp_path / "out")
    assert any("Sparsity follows from nnz" in text for text in said)
    content = json.loads((tmp_path / "out" / "scaling.json").read_text())
    assert list(content["forms"]) == ["dense"]


def test_options_are_pairs():
    assert columns_of(["nnz=scale,loss=val-loss", "data=steps"]) == {
        "nnz": "scale",
        "loss": "val-loss",
        "data": "steps",
    }
    assert only_of(["method=rigl,dense", "seed=0"]) == {
        "method": ["rigl", "dense"],
        "seed": ["0"],
    }
    with pytest.raises(UserError, match="'nnz' is no NAME=VALUE"):
        columns_of(["nnz"])
