"""Two processes of this machine that train one network."""

import os
import signal
import socket
import subprocess

import numpy as np
import pytest
from commands import CONFIGS, ROOT, command, lines, ok, run, wait_for_rounds

from sparse_search.errors import UserError
from sparse_search.train import processes

ARGUMENTS = (
    f"--config={CONFIGS / 'digits_map.py'}",
    "--config.model.width=48",
    "--config.sparsity.rewire_every=10",
    "--config.steps=60",
    "--config.devices=0",
    "--config.checkpoint_every=2",
)
ENVIRONMENT = {"JAX_PLATFORMS": "cpu", "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}


def start(workdir):
    """Both processes, each with one device."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return [
        subprocess.Popen(
            [
                *command("train", *ARGUMENTS, f"--workdir={workdir}"),
                f"--distributed=127.0.0.1:{port},2,{index}",
            ],
            cwd=ROOT,
            env={**os.environ, **ENVIRONMENT},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for index in range(2)
    ]


def end(both):
    """Wait for their ends; returns status, standard output and error of each."""
    try:
        said = [process.communicate(timeout=300) for process in both]
    finally:
        for process in both:
            process.kill()
    return [(p.returncode, *words) for p, words in zip(both, said, strict=True)]


def network(workdir):
    (file,) = (workdir / "results").iterdir()
    with np.load(file) as arrays:
        return {name: arrays[name] for name in arrays.files}


def test_two_processes_end_as_one_with_two_devices_stopped_or_not(tmp_path):
    workdir, one = tmp_path / "two", tmp_path / "one"
    both = start(workdir)
    wait_for_rounds(both[0], workdir, 3)
    both[1].send_signal(signal.SIGTERM)  # the one that writes no journal
    (first, _, err), (second, *_) = end(both)
    assert second == 128 + signal.SIGTERM and first == 128 + signal.SIGINT, err
    assert "To go on: sparse-search train" in err
    done = len(lines(workdir / "rounds.jsonl"))
    assert 3 <= done < 6 and not (workdir / "trials.jsonl").read_text()

    (first, said, err), (second, silent, other) = end(start(workdir))
    assert (first, second) == (0, 0), err + other
    assert "test_accuracy" in said and "test_accuracy" not in silent

    two = {"JAX_NUM_CPU_DEVICES": "2"}
    ok("train", *ARGUMENTS, f"--workdir={one}", **ENVIRONMENT, **two)
    rounds, same = lines(workdir / "rounds.jsonl"), lines(one / "rounds.jsonl")
    assert [record["round"] for record in rounds] == list(range(1, 7))
    assert sum(record["grown"] for record in rounds) > 100
    for ours, theirs in zip(rounds, same, strict=True):
        for name in ("train_loss", "valid_loss"):
            assert ours[name] == pytest.approx(theirs[name], rel=1e-5)
        assert ours["grown"] == theirs["grown"]
    ours, theirs = network(workdir), network(one)
    masks = [name for name in ours if name.endswith(":mask")]
    assert len(masks) == 3
    for name in masks:
        np.testing.assert_array_equal(ours[name], theirs[name])
    (record,) = lines(workdir / "trials.jsonl")
    assert record["devices"] == 2 and record["status"] == "done"


@pytest.mark.parametrize("where", ["node0:1234", "node0,2,0", "node0:1234,2,first"])
def test_where_they_meet_is_said_in_one_form(where):
    with pytest.raises(UserError, match="is not HOST:PORT,NUMBER,INDEX"):
        processes.join(where)


def test_nothing_to_meet_at_is_said():
    arguments = (*ARGUMENTS, "--workdir=never", "--distributed")
    status, _, err = run("train", *arguments)
    assert status == 2
    assert "start them with srun or mpirun" in err


def test_what_fails_in_the_first_process_fails():
    def fail():
        raise ValueError("the disk is full")

    with pytest.raises(ValueError, match="disk is full"):
        processes.first(fail)
    assert processes.any_of(True) and not processes.any_of(False)
