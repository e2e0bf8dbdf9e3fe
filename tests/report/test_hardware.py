import csv
import json

import numpy as np
import pytest
import report_workdirs as workdirs

from sparse_search import cli, results
from sparse_search.costs.hardware import inference, named, total
from sparse_search.costs.layers import Layer
from sparse_search.errors import UserError
from sparse_search.report import build_report, hardware
from sparse_search.report import workdir as reading

EXAMPLES = 64


def layers_of(trial):
    """A layer of 64 inputs and as many outputs as the trial is wide, and one more."""
    width = trial["width"]
    shapes = {"a": (64, width), "b": (width, 10)}
    sizes = {name: shape[0] * shape[1] for name, shape in shapes.items()}
    part = trial["nnz"] / sum(sizes.values())
    if trial["method"] == "dense":
        part = 1
    return [
        Layer(name, shape, 1, max(1, int(part * sizes[name])), True, *shape)
        for name, shape in shapes.items()
    ]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Two widths and budgets, with layers in all records but that of a failed trial."""
    path = tmp_path_factory.mktemp("runs") / "map"
    budgets = (512, 1024)
    trials = workdirs.sparse_trials((128, 256), ("rigl",), budgets, 2)
    trials += workdirs.dense_trials(budgets, 2)
    trials[0]["status"], trials[0]["test_accuracy"] = "failed", None
    for trial in trials[1:]:
        trial["layers"] = [layer._asdict() for layer in layers_of(trial)]
    workdirs.write_workdir(path, trials)
    config = json.loads((path / "config.json").read_text())
    config["config"]["batch_size"] = EXAMPLES
    (path / "config.json").write_text(json.dumps(config))
    return path


def row_of(path, found, index):
    """A trial of the journal, and what was modelled of it."""
    trials = {row["trial"]: row for row in reading.read(path).trials}
    name = list(found)[index]
    return trials[name], found[name]


def modelled(path, *arguments):
    made = hardware.modelled(reading.read(path), *arguments)
    return made, {row["trial"]: row for row in made.rows}


def test_a_trial_costs_what_its_layers_do(run):
    made, found = modelled(run, "eie", "accuracy", 0.5)
    trial, row = row_of(run, found, 0)
    costs = inference(named("eie"), layers_of(trial), EXAMPLES, activations={"b": 0.5})
    assert row["inference_seconds"] == total(list(costs.values())).seconds
    assert len(found) == len(reading.read(run).trials) - 1  # one failed
    dense = sum(trial["method"] == "dense" for trial in reading.read(run).trials)
    assert (made.examples, made.placed) == (EXAMPLES, dense)
    quantity = "inference_seconds"
    (point,) = [p for p in made.fronts[quantity] if p.name == trial["point"]]
    seconds = [r[quantity] for r in found.values() if r["point"] == trial["point"]]
    assert point.cost * made.units[quantity] == pytest.approx(np.mean(seconds))
    assert made.words[quantity].startswith("inference on eie, ")


def test_masks_that_were_kept_are_looked_at(run, tmp_path):
    first, before = modelled(run, "eie", "accuracy")
    trial, row = row_of(run, before, 0)
    layers = layers_of(trial)
    masks = {layer.name: np.zeros(layer.shape, bool) for layer in layers}
    for layer in layers:
        masks[layer.name].ravel()[: layer.nnz] = True
    # All weights of the first layer go into the outputs of one element.
    masks["a"][:] = False
    order = np.argsort(np.arange(layers[0].shape[1]) % 64, kind="stable")
    places = [(i, j) for j in order for i in range(64)][: layers[0].nnz]
    masks["a"][tuple(zip(*places, strict=True))] = True
    file = results.file(run, trial["trial"])
    params = {name: mask.astype(np.float32) for name, mask in masks.items()}
    results.save(file, results.Result(params, masks))
    try:
        made, after = modelled(run, "eie", "accuracy")
    finally:
        file.unlink()
    assert made.placed == first.placed + 1
    assert after[trial["trial"]]["inference_seconds"] > 2 * row["inference_seconds"]
    others = [name for name in before if name != trial["trial"]]
    assert [after[n] for n in others] == [before[n] for n in others]


def test_the_map_turns_with_the_machine(run):
    # What skips weights makes equal nnz cost about the same; what does not, width.
    _, found = modelled(run, "scnn", "accuracy")
    _, dense = modelled(run, "h100", "accuracy")
    trials = {row["trial"]: row for row in reading.read(run).trials}
    narrow, wide = (
        next(n for n in found if trials[n]["width"] == w and trials[n]["nnz"] == 1024)
        for w in (128, 256)
    )
    seconds = "inference_seconds"
    assert found[wide][seconds] < 1.4 * found[narrow][seconds]
    assert dense[wide][seconds] > 1.7 * dense[narrow][seconds]


def test_the_report_has_a_figure_a_table_and_a_sentence(run, tmp_path):
    names = ["scnn", "cpu"]
    summary = build_report(run, tmp_path, "accuracy", names, 0.5)
    page = summary.page.read_text()
    for name in names:
        assert (tmp_path / f"hardware_{name}.png").read_bytes().startswith(b"\x89PNG")
        assert f"Time and energy on {name}" in page
        assert any(f"against time on {name}" in line for line in summary.verdict)
    assert "--hardware=scnn --hardware=cpu --activations=0.5" in page
    with open(tmp_path / "hardware_scnn.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    points = {row["point"] for row in reading.read(run).trials}
    assert {row["point"] for row in rows} == points
    made, _ = modelled(run, "scnn", "accuracy", 0.5)
    for row in rows:
        (point,) = [
            p for p in made.fronts["training_step_joules"] if p.name == row["point"]
        ]
        joules = point.cost * made.units["training_step_joules"]
        assert float(row["training_step_joules"]) == pytest.approx(joules, rel=1e-8)
        assert int(row["training_step_joules_front"]) == point.member
    with open(tmp_path / "hardware_cpu.csv", newline="") as file:
        assert "inference_joules" not in next(csv.reader(file))


def test_a_single_run_says_what_it_takes(tmp_path):
    (trial,) = workdirs.sparse_trials((64,), ("rigl",), (1024,), 1)
    trial["layers"] = [layer._asdict() for layer in layers_of(trial)]
    path = workdirs.write_workdir(tmp_path / "run", [trial], "train", 2)
    config = json.loads((path / "config.json").read_text())
    config["config"]["batch_size"] = EXAMPLES
    (path / "config.json").write_text(json.dumps(config))
    made, found = modelled(path, "scnn", "accuracy")
    (said,) = hardware.sentences(made)
    size = made.units["inference_seconds"]
    value = found[trial["trial"]]["inference_seconds"] / size
    assert f"for 64 examples: {made.words['inference_seconds']}: {value:.3g}" in said


def test_the_command(run, capsys, tmp_path):
    for arguments, words in (
        ([str(run), "--hardware=eye"], "Did you mean 'eie'"),
        ([str(run), "--activations=0.5"], "goes with --hardware=NAME only"),
        (
            ["--from-csv=a.csv", f"--out={tmp_path}", "--hardware=eie"],
            "needs a workdir",
        ),
    ):
        assert cli.main(["report", *arguments]) == 2
        assert words in capsys.readouterr().err


def test_mistakes(run, tmp_path):
    read = reading.read(run)
    with pytest.raises(UserError, match="Did you mean 'scnn'"):
        hardware.modelled(read, "scn", "accuracy")
    with pytest.raises(UserError, match="lies above 0 and is at most 1"):
        hardware.modelled(read, "scnn", "accuracy", 1.5)
    old = [{**row, "layers": None} for row in read.trials]
    with pytest.raises(UserError, match="does not tell the layers"):
        hardware.modelled(read._replace(trials=old), "scnn", "accuracy")
