import ast

import data_files
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from commands import CONFIGS, lines, ok, small_images

import sparse_search
from sparse_search.config_file import load_config
from sparse_search.data.streamed import Streamed
from sparse_search.errors import UserError
from sparse_search.train.lanes import hyper, make_spec
from sparse_search.train.rounds import Examples, make_train
from sparse_search.train.single import load_dataset, single_trial
from sparse_search.train.trials import check

FILES = sorted(CONFIGS.glob("*.py"))
# What their files are made by; the others learn MNIST's, and digits.
MAKERS = {
    "cifar10": lambda folder: data_files.cifar10_binary(folder),
    "imagenet": lambda folder: data_files.image_folder(folder, each=8),
    "shakespeare": lambda folder: data_files.text(folder / "input.txt"),
}


def maker(path):
    return MAKERS.get(path.stem.partition("_")[0])


RECIPES = [path for path in FILES if maker(path)]


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_is_whole(path, tmp_path):
    """Its round is traced, not compiled; tests of models train all families."""
    folder = tmp_path / "data"
    maker(path)(folder)
    assert load_config(str(path)).steps >= 2000
    config = load_config(f"{path}:smoke", [f"data_dir={folder}"])
    dataset = load_dataset(config)
    check(config, dataset)
    trial = single_trial(config, dataset)
    train = make_train(make_spec(config, trial, dataset))
    inputs = dataset.train_inputs
    if not isinstance(inputs, Streamed):
        inputs = jnp.asarray(inputs)
    examples = Examples(inputs, jnp.asarray(dataset.train_labels))
    given = hyper(config, trial, train.shapes(examples))
    rows = jnp.zeros((config.sparsity.rewire_every, config.batch_size), jnp.int32)
    drawn = jax.eval_shape(train.weights, 0, examples)
    state = jax.eval_shape(train.init, given, drawn, rows[0], examples)
    after, metrics = jax.eval_shape(train.round, given, state, rows, rows[0], examples)
    assert jax.tree.map(jnp.shape, after) == jax.tree.map(jnp.shape, state)
    assert metrics.valid_loss.shape == () and metrics.topology.grown.shape == ()
    with pytest.raises(UserError, match="there is no variant 'smok'"):
        load_config(f"{path}:smok")


def test_a_text_is_learned(tmp_path):
    data_files.text(tmp_path / "input.txt")
    path = CONFIGS / "shakespeare_gpt.py"
    more = [f"data_dir={tmp_path}", "steps=60", "sparsity.rewire_every=30"]
    more += ["optimizer.learning_rate=0.02", "sparsity.method=static"]
    more += ["representation=masked"]
    config = load_config(f"{path}:smoke", more)
    record = sparse_search.run_train(config, tmp_path / "run")
    assert record["status"] == "done"
    # Nats a character, of 28: each follows from the last ones.
    assert record["test_loss"] < 1.5 < np.log(28)
    assert record["test_accuracy"] > 0.5


def test_the_perceptrons_have_the_sizes_of_their_papers(tmp_path):
    data_files.cifar10_binary(tmp_path, each=1)
    for name, size, nnz in (
        ("cifar10_nerva_mlp", 3_675_136, 367_514),  # as in references/
        ("cifar10_set_mlp", 20_328_000, 278_630),
    ):
        config = load_config(f"{CONFIGS / name}.py", [f"data_dir={tmp_path}"])
        trial = single_trial(config, load_dataset(config))
        assert sum(trial.sizes) == size and trial.nnz == nnz


@pytest.mark.parametrize(
    "path", [path for path in FILES if not maker(path)], ids=lambda path: path.stem
)
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
