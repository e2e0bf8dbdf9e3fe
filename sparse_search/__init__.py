"""Sparse architecture search in JAX.

    config = sparse_search.load_config("configs/digits_map.py", ["steps=500"])
    sparse_search.run_train(config, "runs/one")      # one network
    sparse_search.run_search(config, "runs/map")     # the population
    sparse_search.load("runs/map").trials            # a table

In a script, put the calls under `if __name__ == "__main__":`, since a search starts
processes that import it.

The parts live in their own modules: `sparse_search.algorithms`, `masks`, `train`, …
Importing this package imports none of them, and not JAX.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from sparse_search.config_file import load_config
    from sparse_search.notebook import load
    from sparse_search.report import build_report, compare
    from sparse_search.search.driver import search as run_search
    from sparse_search.train.single import train as run_train

_HOME = {
    "build_report": ("sparse_search.report", "build_report"),
    "compare": ("sparse_search.report", "compare"),
    "load": ("sparse_search.notebook", "load"),
    "load_config": ("sparse_search.config_file", "load_config"),
    "run_search": ("sparse_search.search.driver", "search"),
    "run_train": ("sparse_search.train.single", "train"),
}

__all__ = [
    "build_report",
    "compare",
    "load",
    "load_config",
    "run_search",
    "run_train",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'sparse_search' has no attribute {name!r}")
    module, attribute = _HOME[name]
    return getattr(importlib.import_module(module), attribute)
