"""DESIGN's "who may import whom", and what must work without JAX."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import sparse_search

ROOT = Path(sparse_search.__file__).parent

# Left is lower, and lower never imports higher. What stands on no common line may not
# import each other. A new part of the package gets its place here and in DESIGN.md.
ORDER = """
errors < records
errors < data
types < keys < trees < masks < algorithms < build
errors < masks
errors < sparse
masks < sparse < algorithms
sparse < models < build
types < data < build
errors < config < config_file < cli
errors < arguments < cli
config < build
build < train < search < cli < __main__
masks < costs < train
records < analysis < report < cli
analysis < search
records < train
errors < results < train
results < report
names < masks
names < report
analysis < standing < progress < status < cli
train < status
train < notebook < export < cli
sparse < costs < export
costs < report
names < export
search < testing
train < transform
train < costing < cli
"""


def lower_parts():
    """For every part, all that it may import."""
    below = {}
    for line in ORDER.strip().splitlines():
        parts = line.split(" < ")
        for lower, higher in zip(parts, parts[1:], strict=False):
            below.setdefault(lower, set())
            below.setdefault(higher, set()).add(lower)
    while True:
        wider = {p: b.union(*(below[q] for q in b)) for p, b in below.items()}
        if wider == below:
            return below
        below = wider


LOWER = lower_parts()


def module_name(path):
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(ROOT.rglob("*.py"))}


def imported(node, module):
    """The modules that one import statement names, ours down to the file."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    assert node.level == 0, f"{module} imports relatively"
    inner = (f"{node.module}.{alias.name}" for alias in node.names)
    return [name if name in MODULES else node.module for name in inner]


def imports(module, *, at_import_time=False):
    """What a module imports: anywhere in it, or only when it is itself imported."""
    found = set()

    def visit(node):
        if isinstance(node, ast.Import | ast.ImportFrom):
            found.update(imported(node, module))
        if at_import_time and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            return
        if (
            at_import_time
            and isinstance(node, ast.If)
            and "TYPE_CHECKING" in ast.dump(node.test)
        ):
            return
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(MODULES[module].read_text()))
    return found


def part(module):
    """The part of the package that a module belongs to; "" for the package itself.

    The package's own file names things of all parts, but imports them lazily; that is
    what `JAX_FREE` and the subprocess below hold it to.
    """
    return module.split(".")[1] if "." in module else ""


def test_the_order_has_no_circles():
    assert not [name for name, below in LOWER.items() if name in below]


def test_every_part_has_its_place():
    parts = {part(module) for module in MODULES} - {""}
    assert parts <= LOWER.keys(), "give it a line in ORDER, and a place in DESIGN.md"


@pytest.mark.parametrize("name", sorted({part(m) for m in MODULES} - {""}))
def test_lower_never_imports_higher(name):
    wrong = [
        f"{module} imports {target}"
        for module in MODULES
        if part(module) == name
        for target in imports(module)
        if target.split(".")[0] == "sparse_search"
        and part(target) not in {name, ""} | LOWER[name]
    ]
    assert not wrong


@pytest.mark.parametrize(
    "name, never",
    [
        ("algorithms", {"optax", "flax", "ml_collections"}),
        ("masks", {"optax", "flax"}),
        ("analysis", {"jax", "flax", "optax", "matplotlib", "plotly"}),
        ("report", {"jax", "flax", "optax"}),
        ("records", {"jax", "flax", "optax", "pandas"}),
    ],
)
def test_what_a_part_never_imports_even_lazily(name, never):
    tops = {
        target.split(".")[0]
        for module in MODULES
        if part(module) == name
        for target in imports(module)
    }
    assert not tops & never


def test_nothing_imports_experiments_configs_or_tests():
    tops = {t.split(".")[0] for module in MODULES for t in imports(module)}
    assert not tops & {"experiments", "configs", "tests", "benchmarks", "pytest"}


def reached(module):
    """All that importing a module imports, its packages included."""
    todo, seen = [module], set()
    while todo:
        name = todo.pop()
        if name in seen:
            continue
        seen.add(name)
        if name in MODULES:
            todo += imports(name, at_import_time=True)
            todo += [name.rpartition(".")[0]] if "." in name else []
    return {name.split(".")[0] for name in seen} - {"sparse_search"}


JAX_FREE = [
    m
    for m in MODULES
    if part(m) in {"analysis", "report", "records", "errors", "export"}
]
JAX_FREE += ["sparse_search", "sparse_search.cli", "sparse_search.config"]
JAX_FREE += ["sparse_search.notebook", "sparse_search.progress"]
JAX_FREE += ["sparse_search.costs.hardware"]
JAX_FREE += ["sparse_search.status", "sparse_search.standing", "sparse_search.costing"]


@pytest.mark.parametrize("module", JAX_FREE)
def test_no_jax_is_reached(module):
    assert not reached(module) & {"jax", "jaxlib", "flax", "optax", "orbax"}


WITHOUT_JAX = """
import importlib, sys
import sparse_search
loaded = {name.split(".")[0] for name in sys.modules}
assert not loaded & {"jax", "numpy", "pandas", "matplotlib"}, loaded
sys.modules.update(dict.fromkeys(("jax", "jaxlib", "flax", "optax", "orbax")))
for module in sys.argv[1:]:
    importlib.import_module(module)
"""


def test_it_imports_where_jax_is_not_installed():
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_JAX, *JAX_FREE], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]


def test_a_wrong_import_would_be_found(tmp_path, monkeypatch):
    bad = tmp_path / "bad.py"
    bad.write_text(
        "from sparse_search import train\n"
        "def lazy():\n    import optax\n    from sparse_search.models import mlp\n"
    )
    monkeypatch.setitem(MODULES, "sparse_search.algorithms.bad", bad)
    with pytest.raises(
        AssertionError, match="bad imports sparse_search.(train|models)"
    ):
        test_lower_never_imports_higher("algorithms")
    with pytest.raises(AssertionError, match="optax"):
        test_what_a_part_never_imports_even_lazily("algorithms", {"optax"})
    assert reached("sparse_search.algorithms.bad") & {"optax"} == set()
