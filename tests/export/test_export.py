import csv
import json

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st

from sparse_search import cli, records, results
from sparse_search.errors import UserError
from sparse_search.export import export, scipy_npz, statistics, tensors, two_four

FIRST, CONV = "params/Dense_0/kernel", "params/Conv_0/kernel"


def two_of_four(rng, inputs, outputs):
    """A mask with two in every four inputs of an output."""
    ranks = rng.random((inputs // 4, 4, outputs)).argsort(axis=1)
    return (ranks < 2).reshape(inputs, outputs)


def network(seed=0, pattern="2:4"):
    """Two sparse layers, a convolution among them, and what is dense."""
    rng = np.random.default_rng(seed)
    conv = two_of_four(rng, 3 * 2 * 4, 5).reshape(3, 2, 4, 5)
    first = two_of_four(rng, 12, 7)
    if pattern != "2:4":
        first[:3] = True
    masks = {CONV: conv, FIRST: first}
    params = {
        name: np.where(mask, rng.standard_normal(mask.shape), 0).astype(np.float32)
        for name, mask in masks.items()
    }
    params[FIRST][np.nonzero(first)[0][0], np.nonzero(first)[1][0]] = 0  # stored
    params["params/Dense_0/bias"] = rng.standard_normal(7).astype(np.float32)
    params["params/head/kernel"] = rng.standard_normal((7, 3)).astype(np.float32)
    return results.Result(params, masks, {"batch_stats/mean": np.arange(3.0)})


def same(one, other):
    for part, there in zip(one, other, strict=True):
        assert part.keys() == there.keys()
        for name, array in part.items():
            assert array.dtype == there[name].dtype and array.shape == there[name].shape
            np.testing.assert_array_equal(array, there[name])


@pytest.fixture
def workdir(tmp_path):
    folder, names = tmp_path / "run", ["rigl-2:4-s0", "rigl-s1"]
    folder.mkdir()
    (folder / "config.json").write_text('{"config": {}}')
    layers = [{"name": FIRST, "uses": 1}, {"name": CONV, "uses": 36}]
    with records.open_journal(folder / "trials.jsonl") as journal:
        journal.append({"trial": names[0], "layers": layers}, {"trial": names[1]})
    for name, pattern in zip(names, ("2:4", "any"), strict=True):
        results.save(results.file(folder, name), network(pattern=pattern))
    return folder, names


def test_a_folder_of_scipy_matrices_and_back(workdir, tmp_path):
    folder, names = workdir
    out = tmp_path / "matrices"
    assert export(f"{folder}:{names[1]}", "npz", out) == names[1]
    whole = network(pattern="any")
    same(scipy_npz.load(out), whole)
    read = scipy.sparse.load_npz(out / "params.Conv_0.kernel.npz")
    assert read.shape == (24, 5) and read.nnz == whole.masks[CONV].sum()
    np.testing.assert_array_equal(read.toarray(), whole.params[CONV].reshape(24, 5))


@pytest.mark.parametrize("form", ["safetensors", "safetensors-2:4"])
def test_safetensors_and_back(workdir, tmp_path, form):
    folder, names = workdir
    out = tmp_path / "net.safetensors"
    export(f"{folder}:{names[0]}", form, out)
    same(tensors.load(out), network())
    from safetensors.numpy import load_file

    arrays = load_file(out)
    if form == "safetensors":
        np.testing.assert_array_equal(arrays[FIRST], network().params[FIRST])
        assert arrays[f"{FIRST}.mask"].dtype == bool
    else:
        # Half of the values, and two bits each; bytes are whole for an output.
        assert arrays[f"{CONV}.values"].shape == (5, 12)
        assert arrays[f"{CONV}.metadata"].shape == (5, 3)
        assert FIRST not in arrays


def test_the_layout_of_two_four_by_hand():
    # One output; inputs 1 and 3 of the first four, 0 and 2 of the next, 2 and 3.
    mask = np.array([0, 1, 0, 1, 1, 0, 1, 0, 0, 0, 1, 1], bool)[:, None]
    weights = np.where(mask, np.arange(12.0)[:, None], 0)
    values, metadata = two_four.compress("layer", weights, mask)
    assert values.tolist() == [[1, 3, 4, 6, 10, 11]]
    assert metadata.tolist() == [[0b10_00_11_01, 0b00_00_11_10]]


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 9), st.integers(1, 6), st.integers(0, 99))
def test_two_four_is_exact(groups, outputs, seed):
    rng = np.random.default_rng(seed)
    mask = two_of_four(rng, 4 * groups, outputs)
    weights = np.where(mask, rng.standard_normal(mask.shape), 0)
    packed = two_four.compress("layer", weights, mask)
    back = two_four.decompress(*packed, mask.shape)
    np.testing.assert_array_equal(back[0], weights)
    np.testing.assert_array_equal(back[1], mask)


def test_statistics_by_hand():
    mask = np.zeros((8, 6), bool)
    mask[0, 0] = mask[1, 0] = mask[0, 5] = True
    whole = results.Result({FIRST: mask * 1.0}, {FIRST: mask})
    (layer,) = statistics.of_result(whole, {FIRST: 9})
    assert [layer[key] for key in "MNK"] == [9, 6, 8]
    assert (layer["nnz"], layer["density"]) == (3, 3 / 48)
    assert layer["fan_in"]["histogram"] == [[0, 4], [1, 1], [2, 1]]
    assert layer["fan_out"]["histogram"] == [[0, 6], [1, 1], [2, 1]]
    assert (layer["fan_out"]["mean"], layer["fan_out"]["most"]) == (3 / 8, 2)
    # Of 2 × 2 blocks of 4 × 4, the last overhanging, the upper two hold weights.
    assert layer["blocks"]["4"] == {"all": 4, "occupied": 2}
    assert layer["blocks"]["8"] == {"all": 1, "occupied": 1}


def test_statistics_of_a_matrix_are_those_of_its_mask():
    rng = np.random.default_rng(0)
    mask = rng.random((70, 33)) < 0.05
    dense = results.Result({FIRST: mask * 1.0}, {FIRST: mask})
    compressed = results.Result({FIRST: scipy.sparse.csr_array(mask * 1.0)}, {})
    assert statistics.of_result(dense, {}) == statistics.of_result(compressed, {})


def test_statistics_as_table_and_as_json(workdir, tmp_path):
    folder, names = workdir
    for suffix in ("csv", "json"):
        export(f"{folder}:{names[0]}", "statistics", tmp_path / f"layers.{suffix}")
    with open(tmp_path / "layers.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    layers = json.loads((tmp_path / "layers.json").read_text())["layers"]
    assert [row["layer"] for row in rows] == [CONV, FIRST, "params/head/kernel"]
    assert [row["M"] for row in rows] == ["36", "1", ""]
    assert [row["sparse"] for row in rows] == ["1", "1", "0"]
    for row, layer in zip(rows, layers, strict=True):
        assert float(row["fan_in_sd"]) == layer["fan_in"]["sd"]
        blocks = layer["blocks"]["16"]
        assert float(row["occupied_16x16"]) == blocks["occupied"] / blocks["all"]


def test_mistakes_leave_nothing_and_say_what_was_wrong(workdir, tmp_path):
    folder, names = workdir
    out = tmp_path / "out"
    for source, form, words in (
        (f"{folder}:{names[0]}x", "npz", f"Did you mean '{names[0]}'"),
        (f"{folder}", "npz", "has 2 finished trials; name one"),
        (f"{folder}:{names[0]}", "npy", "Did you mean 'npz'"),
        (f"{folder}:{names[1]}", "safetensors-2:4", "groups of four do not store two"),
        (f"{tmp_path / 'none'}:{names[0]}", "npz", "There is no workdir"),
        (f"{tmp_path}:{names[0]}", "npz", "is not a workdir"),
    ):
        with pytest.raises(UserError, match=words):
            export(source, form, out)
        assert [path.name for path in tmp_path.iterdir()] == ["run"], source
    out.write_text("mine")
    with pytest.raises(UserError, match="exists already"):
        export(f"{folder}:{names[0]}", "npz", out)
    assert out.read_text() == "mine"
    results.file(folder, names[0]).unlink()
    with pytest.raises(UserError, match="config.save_results"):
        export(f"{folder}:{names[0]}", "npz", tmp_path / "other")


def test_what_is_not_two_four():
    mask = np.ones((6, 1), bool)
    with pytest.raises(UserError, match="6 inputs are not whole groups of four"):
        two_four.compress("layer", mask * 1.0, mask)
    dense = network()._replace(masks={})
    with pytest.raises(UserError, match="no sparse layer"):
        tensors.save_two_four(dense, None, "trial")
    large = dense._replace(params={FIRST: scipy.sparse.csr_array(np.eye(4))})
    with pytest.raises(UserError, match="too large to be written dense"):
        tensors.save(large, None, "trial")


def test_the_command(workdir, tmp_path, capsys):
    folder, names = workdir
    out = tmp_path / "layers.csv"
    arguments = ["export", f"{folder}:{names[0]}", f"--out={out}"]
    assert cli.main([*arguments, "--format=statistics"]) == 0
    assert capsys.readouterr().out == f"Exported {names[0]}: {out}\n" and out.is_file()
    assert cli.main([*arguments, "--format=statistics"]) == 2
    assert "exists already" in capsys.readouterr().err
    assert cli.main(arguments) == 2
    assert "--format" in capsys.readouterr().err
