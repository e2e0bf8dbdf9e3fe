"""The command `cost`, and what it says of users' mistakes."""

import json
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from commands import CONFIGS

import sparse_search
from sparse_search import cli, records
from sparse_search.costs import activations
from sparse_search.costs.traced import trace
from sparse_search.data import digits
from sparse_search.train import costs
from sparse_search.train.trials import single_trial


def cost(capsys, *arguments):
    status = cli.main(["cost", *arguments])
    out, err = capsys.readouterr()
    return status, out, err


def found(capsys, *arguments):
    status, out, err = cost(capsys, *arguments, "--json")
    assert status == 0, err
    return json.loads(out)


RESNET = ["--model=resnet50", "--input=224,224,3", "--density=0.2", "--allocation=erk"]
KEYS = (
    "weights nnz parameters inference_flops dense_inference_flops "
    "train_flops_per_sample bytes layers"
)


def test_resnet50_as_json(capsys):
    made = found(capsys, *RESNET)
    assert set(KEYS.split()) <= made.keys()
    assert made["weights"] == 25_502_912 and made["nnz"] == 5_100_582
    assert made["parameters"] == 5_100_582 + 25_557_032 - 25_502_912
    assert made["inference_flops"] / made["dense_inference_flops"] == pytest.approx(
        0.4146, abs=5e-5
    )
    train = made["train_flops_per_sample"]
    assert train["rigl"] / train["dense"] == pytest.approx(0.4165, abs=5e-5)
    assert len(made["layers"]) == 54
    layer = made["layers"][0]
    assert layer["shape"] == [7, 7, 3, 64] and layer["size"] == 9408
    assert layer["flops"] == 2 * layer["nnz"] * 112**2 + 64 * 112**2
    assert sum(row["nnz"] for row in made["layers"]) == made["nnz"]
    assert sum(row["flops"] for row in made["layers"]) == made["inference_flops"]


def test_for_people(capsys):
    status, out, _ = cost(capsys, *RESNET)
    assert status == 0
    assert "3,395,286,668 of 8,189,483,496 (0.4146)" in out
    assert len([line for line in out.splitlines() if "Conv_" in line]) == 53
    assert "  snfs                        14,980,056,832  0.6097" in out


def test_what_is_given_beside_a_name(capsys):
    made = found(
        capsys, "--model=mlp", "--width=7", "--depth=1", "--classes=3", "--input=5"
    )
    assert [row["shape"] for row in made["layers"]] == [[5, 7], [7, 3]]
    assert made["parameters"] == 35 + 21 + 10 and made["nnz"] == made["weights"] == 56
    half = "--allocation=uniform", "--pattern=2:4"
    made = found(capsys, "--model=vit_tiny", "--density=0.5", *half)
    assert made["nnz"] * 2 == made["weights"] and made["bytes"]["n_m"] > 0
    # Query times key, and weights times values, of 197 places in each of 12 blocks.
    assert made["attention_flops"] == 2 * 12 * 2 * 197**2 * 192


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--model=resnet51"], "Did you mean 'resnet5"),
        (["--model=resnet50", "--allocation=ekr", "--density=0.1"], "allocation 'ekr'"),
        (["--model=resnet50", "--density=1.5"], "at most 1, not 1.5"),
        (["--model=resnet50", "--density=0.1", "--allocation=lamp"], "before training"),
        (["--model=resnet50", "--density=1e-9"], "do not fit this network"),
        (["--model=resnet50", "--input=a,b"], "whole numbers as in 224,224,3"),
        (["--model=resnet50", "--width=-3"], "whole numbers from 1 on"),
        (["--model=resnet50", "--depth=51"], "18, 34, 50, 101, 152, not 51"),
        ([], "--model=NAME, --config=FILE or --from=DIR:TRIAL: one of them"),
        (["--config=x.py", "--density=0.1"], "--density goes with --model"),
        (["--model=mlp", "--config.steps=3"], "goes with --config=FILE only"),
        (["--from=nowhere"], "--from=DIR:TRIAL names a workdir"),
    ],
)
def test_mistakes_are_one_sentence(capsys, arguments, words):
    status, out, err = cost(capsys, *arguments)
    assert status == 2 and not out
    assert err.startswith("sparse-search: ") and words in err and err.count("\n") == 1


def test_names_need_no_jax():
    script = (
        "import sys; sys.modules['jax'] = None\n"
        "from sparse_search.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, "cost", "--model=gpt2", "--density=0.1"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "parameters:" in done.stdout


CONFIG = [
    "steps=30",
    "sparsity.method=granet",
    "sparsity.rewire_every=10",
    "sparsity.density=0.1",
    "model.width=32",
    "model.depth=1",
]


def test_a_config_and_what_it_trained(capsys, tmp_path):
    file = CONFIGS / "digits_map.py"
    config = sparse_search.load_config(str(file), CONFIG)
    record = sparse_search.run_train(config, tmp_path)
    rounds = list(records.read_rounds(tmp_path).values())
    trial = single_trial(config, digits.load())
    # Half of all weights at first, and dense gradients at the rewires.
    assert len(rounds) == 3 and rounds[0]["nnz"] > trial.nnz
    spent = record["train_flops"]
    assert spent == costs.recorded_train_flops(config, trial, rounds)
    assert spent == costs.train_flops(config, trial)
    inference = record["inference_flops"]
    assert inference == costs.inference_flops(trial)
    examples = config.steps * config.batch_size
    assert 3 * inference * examples < spent
    made = found(capsys, f"--config={file}", *(f"--config.{one}" for one in CONFIG))
    assert made["nnz"] == record["nnz"] and made["parameters"] == record["parameters"]
    assert made["inference_flops"] == inference
    train = made["train_flops_per_sample"]
    assert train["granet"] * examples == pytest.approx(spent, abs=examples / 2)
    assert train["static"] == 3 * inference
    trained = found(capsys, f"--from={tmp_path}:{record['trial']}")
    total = trained["total"]
    assert total["weights"] == 100 * record["nnz"]
    assert total["products"] == 100 * made["weights"]
    assert 0 < total["both"] < min(total["weights"], total["activations"])
    assert [row["name"] for row in trained["layers"]] == [
        row["name"] for row in made["layers"]
    ]
    status, out, _ = cost(capsys, f"--from={tmp_path}:{record['trial']}")
    assert status == 0 and out.splitlines()[-1].startswith("all")
    assert cost(capsys, f"--from={tmp_path}:nobody")[0] == 2


def test_multiplications_by_hand():
    rng = np.random.default_rng(0)
    kernel = jnp.asarray(rng.random((3, 3, 2, 4)) * (rng.random((3, 3, 2, 4)) < 0.5))
    state = jnp.asarray(rng.random((4, 4)) * (rng.random((4, 4)) < 0.5))
    x = jnp.asarray(rng.random((2, 5, 5, 2)) * (rng.random((2, 5, 5, 2)) < 0.5))

    def forward(params, constants, x):
        own = params["params"]
        y = jax.lax.conv_general_dilated(
            x,
            own["a"]["kernel"],
            (1, 1),
            "VALID",
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )
        h = jax.nn.relu(y - 1).reshape(-1, 9, 4)
        step = lambda h, x: (jax.nn.relu(h @ own["b"]["kernel"] + x - 0.5), None)  # noqa: E731
        return jax.lax.scan(step, h[:, 0], h.swapaxes(0, 1))[0]

    params = {"params": {"a": {"kernel": kernel}, "b": {"kernel": state}}}
    measured = activations.measure(forward, params, {}, x)
    # Of the convolution, window by window.
    there, weights = np.asarray(x) != 0, np.asarray(kernel) != 0
    windows = [(n, r, c) for n in range(2) for r in range(3) for c in range(3)]
    cut = [there[n, r : r + 3, c : c + 3, :, None] for n, r, c in windows]
    assert measured["params/a/kernel"] == {
        "products": 18 * 72,
        "weights": 18 * int(weights.sum()),
        "activations": sum(int(one.sum()) * 4 for one in cut),
        "both": sum(int((one & weights).sum()) for one in cut),
    }
    # Of what is carried, step by step.
    h = np.asarray(forward({"params": {**params["params"]}}, {}, x))
    row = measured["params/b/kernel"]
    assert row["products"] == 9 * 2 * 16 and h.shape == (2, 4)
    assert row["weights"] == 18 * int((np.asarray(state) != 0).sum())
    assert 0 < row["both"] < row["activations"] < row["products"]
    found = trace(forward, params, {}, x[:1])
    assert [layer.uses for layer in found.layers] == [9, 9]
