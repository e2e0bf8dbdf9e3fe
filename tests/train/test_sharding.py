"""One network, and the lanes of a search, on eight devices."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from commands import CONFIGS, as_for_users, killed_in_round, lines, ok, without_times

from sparse_search.config import freeze
from sparse_search.errors import UserError
from sparse_search.search import executors
from sparse_search.train import sharding, single

EIGHT = {"JAX_NUM_CPU_DEVICES": "8"}
DIGITS = f"--config={CONFIGS / 'digits_map.py'}"
NETWORK = (
    DIGITS,
    "--config.model.width=48",
    "--config.sparsity.rewire_every=10",
    "--config.steps=80",
    "--config.checkpoint_every=2",
)
KERNEL = 256 * 256


def networks(workdir):
    """The final parameters and masks of every trial."""
    found = {}
    for file in (workdir / "results").iterdir():
        with np.load(file) as arrays:
            found[file.name] = {name: arrays[name] for name in arrays.files}
    return found


def bits(workdir):
    return {
        (trial, name): array.tobytes()
        for trial, arrays in networks(workdir).items()
        for name, array in arrays.items()
    }


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A network trained on eight devices, interrupted by nothing."""
    workdir = tmp_path_factory.mktemp("whole") / "run"
    ok("train", *NETWORK, "--config.devices=8", f"--workdir={workdir}", **EIGHT)
    return workdir


def test_eight_devices_agree_with_one(whole, tmp_path):
    one = tmp_path / "one"
    ok("train", *NETWORK, f"--workdir={one}")
    (ours,), (theirs,) = networks(whole).values(), networks(one).values()
    assert ours.keys() == theirs.keys()
    assert sum(name.endswith(":mask") for name in ours) == 3
    for name in ours:
        if name.endswith(":values"):
            np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-3, atol=1e-5)
        else:
            np.testing.assert_array_equal(ours[name], theirs[name])
    rounds, same = lines(whole / "rounds.jsonl"), lines(one / "rounds.jsonl")
    assert sum(record["grown"] for record in rounds) > 100
    for ours, theirs in zip(rounds, same, strict=True):
        assert ours["layers"].keys() == theirs["layers"].keys()
        for name in ("train_loss", "valid_loss", "gradient_norm_off"):
            assert ours[name] == pytest.approx(theirs[name], rel=1e-4)
        for name in ("nnz", "dropped", "grown", "effective_parameters"):
            assert ours[name] == theirs[name]
    (record,) = lines(whole / "trials.jsonl")
    assert record["devices"] == 8 and record["status"] == "done"


def test_killed_on_eight_devices_it_ends_with_the_same_bits(whole, tmp_path):
    workdir = tmp_path / "run"
    arguments = (*NETWORK, "--config.devices=0", f"--workdir={workdir}")
    status, _ = killed_in_round(workdir, 3, signal.SIGKILL, arguments, **EIGHT)
    assert status == -signal.SIGKILL
    assert list((workdir / "checkpoints" / "single").iterdir())
    ok("train", *arguments, **EIGHT)
    assert bits(workdir) == bits(whole)
    for journal in ("rounds.jsonl", "trials.jsonl"):
        ours, theirs = lines(workdir / journal), lines(whole / journal)
        assert without_times(ours) == without_times(theirs)


def test_the_lanes_of_eight_devices_are_those_of_one_to_the_bit(tmp_path):
    eight, one = tmp_path / "eight", tmp_path / "one"
    as_users = as_for_users()  # the bits depend on how they are compiled
    ok(
        "search",
        f"{DIGITS}:smoke",
        "--config.space.budgets=(656,)",
        "--config.space.methods=('rigl',)",
        f"--config.space.seeds={tuple(range(9))}",
        "--config.space.small_dense.depths=()",
        "--config.devices=8",
        "--config.lanes=16",
        f"--workdir={eight}",
        **EIGHT,
        **as_users,
    )
    assert len(networks(eight)) == 9
    # One device of two lanes; a lane does not depend on its neighbour.
    ok(
        "train",
        f"{DIGITS}:smoke",
        "--config.model.width=32",
        "--config.sparsity.nnz=656",
        "--config.seed=8",
        "--config.lanes=2",
        f"--workdir={one}",
        **as_users,
    )
    alone = bits(one)
    assert alone and alone.items() <= bits(eight).items()
    rounds, same = (
        without_times(lines(workdir / "rounds.jsonl")) for workdir in (eight, one)
    )
    assert len(rounds) == 9 * len(same) and same.items() <= rounds.items()
    assert sum(record["grown"] for record in same.values()) > 10
    # Repeated by itself, a trial is placed as it was.
    config, _ = single.from_search(eight, next(iter(same))[0])
    assert (config.devices, config.lanes) == (8, 16)


CASES = [
    f"{method} {pattern}"
    for method, pattern in (
        ("set", "unstructured"),
        ("rigl", "unstructured"),
        ("rigl", "2:4"),
    )
]


@pytest.fixture(scope="module")
def rounds_on_eight():
    here = Path(__file__).parent
    done = subprocess.run(
        [sys.executable, here / "sharded_round.py", *CASES],
        env={**os.environ, **EIGHT, "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = [json.loads(line) for line in done.stdout.splitlines()]
    return {record.pop("case"): record for record in found}


@pytest.mark.parametrize("case", CASES)
def test_no_kernel_is_gathered(rounds_on_eight, case):
    found = rounds_on_eight[case]
    assert found["grown"] > 0 and found["changed"] > 0
    assert found["largest"] < KERNEL / 2
    assert rounds_on_eight["sort"]["largest"] == KERNEL


@pytest.mark.parametrize("case", CASES)
def test_state_and_batches_lie_in_parts(rounds_on_eight, case):
    found = rounds_on_eight[case]
    assert found["parts_at_first"] and found["parts_at_last"]
    assert found["rows"] == [1, 2, 4]
    assert found["compiled"] == 1


@pytest.mark.parametrize(
    ("given", "lanes", "words"),
    [
        ({"devices": 9}, 1, "config.devices=9, but JAX has 8 here (cpu)"),
        ({"devices": 8, "batch_size": 60}, 1, "nearest: 56 and 64"),
        ({"devices": 8, "lanes": 12}, 12, "config.lanes=12 cannot be divided among 8"),
        ({"devices": 0, "lanes": 4}, 4, "nearest: 8"),
        ({"devices": 2, "representation": "compressed"}, 1, "is for one device"),
    ],
)
def test_what_cannot_be_divided_is_refused(monkeypatch, given, lanes, words):
    monkeypatch.setattr(jax, "device_count", lambda: 8)
    with pytest.raises(UserError) as error:
        sharding.devices(freeze(given), lanes)
    assert words in str(error.value)
    assert sharding.devices(freeze({"devices": 0}), 0) == 8


def test_what_began_on_more_devices_is_not_continued_on_fewer():
    with pytest.raises(UserError, match="begun on 8 devices, and JAX has 1 here"):
        sharding.placement(1, 8)


def test_several_devices_are_for_one_process():
    given = {"devices": 8, "executor": "processes"}
    with pytest.raises(UserError, match="one process that trains on all of them"):
        executors.check(freeze(given))
    assert executors.workers(freeze({"devices": 8}), devices=8, on_cpu=True) == 1
