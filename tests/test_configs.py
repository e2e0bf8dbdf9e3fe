import ast

import pytest
from commands import CONFIGS, lines, ok, small_images

from sparse_search.config_file import load_config
from sparse_search.errors import UserError

FILES = sorted(CONFIGS.glob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_config_trains_two_rounds(path, tmp_path):
    # (The digits' map is searched in tests/search.)
    command = "search" if path.stem == "fashion_mlp_map" else "train"
    data = small_images(tmp_path / "data")
    ok(
        command,
        f"--config={path}:smoke",
        f"--workdir={tmp_path / 'run'}",
        f"--config.data_dir={data}",
        "--config.executor=local",
    )
    rounds = lines(tmp_path / "run" / "rounds.jsonl")
    assert {record["round"] for record in rounds} == {1, 2}
    assert any(record["grown"] for record in rounds)


def test_any_algorithm_by_name():
    path = CONFIGS / "mnist_lenet.py"
    config = load_config(f"{path}:algorithm=granet")
    assert config.sparsity.method == "granet" and config.steps == 12000
    for wrong in ("smok", "algorithm", "algorithm="):
        with pytest.raises(UserError, match="no variant"):
            load_config(f"{path}:{wrong}")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_config_says_what_it_is_for(path):
    docstring = ast.get_docstring(ast.parse(path.read_text()))
    assert docstring
    for word in ("Question:", "Command:", "Cost:", "Expected:"):
        assert f"\n{word}" in docstring, word
