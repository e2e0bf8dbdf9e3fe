import contextlib
import io
import os
import re
import subprocess
from unittest import mock

import pytest
from commands import CONFIGS, ROOT, command, ok, run, small_images

from sparse_search.cli import main

DIGITS = f"--config={CONFIGS / 'digits_map.py'}:smoke"


def said(*arguments, **environment):
    """The one sentence of a command that fails, without a traceback."""
    return sentence(*run(*arguments, **environment))


def said_here(*arguments):
    """The same of a command in this process, which saves it the time to start."""
    out, err = io.StringIO(), io.StringIO()
    with (
        mock.patch.dict(os.environ),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        status = main([*map(str, arguments)])
    return sentence(status, out.getvalue(), err.getvalue())


def sentence(status, out, err):
    assert status == 2, (status, out, err)
    assert "Traceback" not in err and "Traceback" not in out
    (line,) = [line for line in err.splitlines() if line.startswith("sparse-search:")]
    return line


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("missing", None, "does not exist"),
        ("syntax", "def get_config(:\n", "line 1: invalid syntax"),
        ("none", "x = 1\n", "does not define get_config"),
        (
            "raises",
            "def get_config():\n    return 1 / 0\n",
            "line 2: ZeroDivisionError",
        ),
        (
            "misspelt",
            "from sparse_search.config import defaults\n"
            "def get_config():\n"
            "    config = defaults()\n"
            "    config.stepz = 3\n"
            "    return config\n",
            "Did you mean 'steps'?",
        ),
    ],
)
def test_config_files(tmp_path, name, content, words):
    path = tmp_path / f"{name}.py"
    if content is not None:
        path.write_text(content)
    workdir = tmp_path / "run"
    assert words in said_here("train", f"--config={path}", f"--workdir={workdir}")
    assert not workdir.exists()


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("--config.stepz=3", "Did you mean 'steps'?"),
        ("--config.steps=many", "steps is of type int"),
        ("--config.steps=25", "not a whole number of rounds"),
        ("--config.sparsity.density=1.5", "config.sparsity.density is 1.5"),
        ("--config.space.budgets=()", "The grid is empty: config.space.budgets"),
        ("--config.space.budgets=(100000,)", "The budget 100,000"),
        ("--config.space.methods=('rigel',)", "Did you mean 'rigl'?"),
        ("--config.data.name=digit", "Did you mean 'digits'?"),
        ("--config.model.name=mlpp", "Did you mean 'mlp'?"),
        ("--config.optimizer.name=sdg", "Did you mean 'sgd'?"),
        ("--config.optimizer.options.momentun=0.5", "Did you mean 'momentum'?"),
        ("--config.optimizer.schedule=cosin", "Did you mean 'cosine'?"),
        ("--config.data.validation=1437", "leaves nothing to train on"),
        ("--config.batch_size=2000", "config.batch_size=2000 is more than"),
        ("--config.executor=proceses", "Did you mean 'processes'?"),
        ("--config.sparsity.pattern=unstructurd", "Did you mean 'unstructured'?"),
    ],
)
def test_fields(tmp_path, override, words):
    workdir = tmp_path / "run"
    assert words in said_here("search", DIGITS, f"--workdir={workdir}", override)
    assert not (workdir / "trials.jsonl").exists()


def test_the_command_line_itself(tmp_path):
    assert "Did you mean 'search'?" in said("serch")
    assert "--workdir" in said("train", DIGITS)
    assert "needs --config" in said("train", f"--workdir={tmp_path / 'run'}")
    assert "There is no workdir" in said("report", tmp_path / "nothing")
    assert "There is no workdir" in said("status", tmp_path / "nothing")
    assert "is not a workdir" in said("status", tmp_path)


def test_a_workdir_that_is_a_file_or_cannot_be_written(tmp_path):
    file = tmp_path / "file"
    file.write_text("mine")
    assert "a file is there" in said("train", DIGITS, f"--workdir={file}")
    assert file.read_text() == "mine"
    # The kernel's own folder takes no files from anybody, root included.
    assert "cannot be written" in said("train", DIGITS, "--workdir=/proc/run")


def test_the_workdir_of_another_command_or_data_set(tmp_path):
    workdir = tmp_path / "run"
    ok("train", DIGITS, f"--workdir={workdir}")
    before = (workdir / "trials.jsonl").read_bytes()
    assert "belongs to a train command" in said(
        "search", DIGITS, f"--workdir={workdir}"
    )
    line = said("train", DIGITS, "--config.steps=40", f"--workdir={workdir}")
    assert "config.steps: 20 there, 40 here" in line
    assert (workdir / "trials.jsonl").read_bytes() == before


SMALL_DISK = ["unshare", "--map-root-user", "--mount"]
FILL = """
mount -t tmpfs -o size=$SIZE none "$WORKDIR" || exit 99
"$@" --workdir="$WORKDIR/run"; echo "status $?" >&2
mount -o remount,size=100m "$WORKDIR"
exec "$@" --workdir="$WORKDIR/run"
"""


def has_small_disks():
    try:
        mount = [*SMALL_DISK, "mount", "-t", "tmpfs", "none", "/mnt"]
        return subprocess.run(mount, capture_output=True).returncode == 0
    except OSError:
        return False


@pytest.mark.skipif(not has_small_disks(), reason="needs the right to mount a disk")
@pytest.mark.parametrize(
    "name, size",
    [("train", "28k"), ("search", "32k")],
)
def test_a_full_disk(tmp_path, name, size):
    """A disk of a few pages; with space again, the same command goes on."""
    small = ["--config.checkpoint_every=1", "--config.space.methods=('rigl',)"]
    done = subprocess.run(
        [*SMALL_DISK, "sh", "-c", FILL, "sh", *command(name, DIGITS, *small)],
        env={**os.environ, "SIZE": size, "WORKDIR": str(tmp_path)},
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    before, after = done.stderr.split("status 2\n")
    *progress, line = before.splitlines()
    assert line.startswith("sparse-search: ")
    assert "disk is full" in line or "No space left on device" in line
    assert all(re.match("measuring|training|step", line) for line in progress), before
    assert "Traceback" not in after


def test_data_that_are_missing_or_truncated(tmp_path):
    config = f"--config={CONFIGS / 'mnist_lenet.py'}:smoke"
    workdir = f"--workdir={tmp_path / 'run'}"
    offline = {"https_proxy": "http://127.0.0.1:9"}
    line = said("train", config, workdir, f"--config.data_dir={tmp_path}", **offline)
    assert "train-images-idx3-ubyte" in line and "https://" in line
    assert "failed (no connection)" in line
    data = small_images(tmp_path / "data")
    images = data / "train-images-idx3-ubyte.gz"
    images.write_bytes(images.read_bytes()[:-1000])
    line = said("train", config, workdir, f"--config.data_dir={data}")
    assert str(images) in line
    assert not (tmp_path / "run").exists()
