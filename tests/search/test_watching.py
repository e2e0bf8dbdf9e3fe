"""A search that is watched while it runs: on a terminal, by status, by report."""

import os
import pty
import re
import signal
import subprocess
import threading
import time

from commands import CONFIGS, ROOT, command, ok

ARGUMENTS = (
    f"--config={CONFIGS / 'digits_map.py'}:smoke",
    "--config.executor=local",
    "--config.lanes=1",
)


def on_a_terminal(*arguments):
    """A running command whose standard error is a terminal, and what it draws there."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        command(*arguments),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=theirs,
        text=True,
        env={**os.environ, "COLUMNS": "120", "TERM": "xterm"},
    )
    os.close(theirs)
    drawn = bytearray()

    def read():
        try:
            while data := os.read(ours, 65536):
                drawn.extend(data)
        except OSError:  # the other end is closed
            pass

    reader = threading.Thread(target=read)
    reader.start()
    return process, drawn, reader


def test_a_search_is_watched(tmp_path):
    workdir = tmp_path / "map"
    process, drawn, reader = on_a_terminal("search", *ARGUMENTS, f"--workdir={workdir}")
    trials = workdir / "trials.jsonl"
    try:
        while not (trials.exists() and trials.read_bytes().count(b"\n")):
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGSTOP)  # so that it is still running below
        said = ok("status", workdir)
        ended = trials.read_bytes().count(b"\n")
        assert f"running, process {process.pid}" in said
        assert f"{ended} of 12 trials have ended" in said
        assert re.search(r"\d\.\d %", said)  # the best so far, sparse or dense
        first = ok("report", workdir)
        assert f"So far: {ended} of 12 trials have ended." in first
        page = workdir / "report" / "index.html"
        assert f"So far: {ended} of 12 trials have ended." in page.read_text()
    finally:
        process.send_signal(signal.SIGCONT)
    out, _ = process.communicate()
    reader.join()
    assert process.returncode == 0
    # The report of the whole search has taken the place of the first.
    assert "So far" not in out and "So far" not in page.read_text()
    assert "12 of 12 trials have ended" in ok("status", workdir)
    table = drawn.decode()
    # Small dense networks may end after the last look: tests/test_standing.py has them.
    for words in ("measuring", "training", "best on validation", "/6"):
        assert words in table, table
    assert "\x1b[" in table  # it is drawn over


def test_a_quiet_command_draws_nothing_on_a_terminal(tmp_path):
    process, drawn, reader = on_a_terminal(
        "train", *ARGUMENTS, "--quiet", f"--workdir={tmp_path / 'one'}"
    )
    out, _ = process.communicate()
    reader.join()
    assert process.returncode == 0 and not drawn
    assert out.startswith("trial:")
