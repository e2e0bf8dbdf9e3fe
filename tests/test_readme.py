import re
import subprocess
import sys

from commands import ROOT

README = (ROOT / "README.md").read_text()


def test_the_python_example_runs(tmp_path):
    example, _ = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len(example.strip().splitlines()) <= 15
    example = example.replace('"configs/', f'"{ROOT}/configs/')
    done = subprocess.run(
        [sys.executable, "-c", example], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "params/Dense_0/kernel (64, 128)" in done.stdout


def test_the_loop_of_your_own_runs(tmp_path):
    _, example = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    done = subprocess.run(
        [sys.executable, "-c", example], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    # ERK: 115 weights as 70 : 53 are 65.4 + 49.6.
    assert done.stdout == "{'first': 65, 'second': 50}\n"


def test_every_algorithm_has_a_row():
    from sparse_search import build

    for name in build.ALGORITHMS:
        assert re.search(rf"^\| `{name}` \|", README, re.MULTILINE), name


def test_links_and_pictures_exist():
    for target in re.findall(r"\]\((?!https?://)([^)]+)\)", README):
        assert (ROOT / target).exists(), target
    for path in re.findall(r"`((?:configs|benchmarks|docs)/[\w/.]+)`", README):
        assert (ROOT / path).exists(), path
