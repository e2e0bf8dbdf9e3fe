"""Sparse architecture search in JAX.

    config = sparse_search.load_config("configs/digits_map.py", ["steps=500"])
    sparse_search.run_train(config, "runs/one")      # one network
    sparse_search.run_search(config, "runs/map")     # the population
    sparse_search.load("runs/map").trials            # a table

    tx = sparse_search.sparsify(optax.adam(1e-3), sparse_search.algorithms.rigl(0.3),
                                density=0.1)         # in your own training loop

In a script, put the calls under `if __name__ == "__main__":`, since a search starts
processes that import it.

The parts live in their own modules: `sparse_search.algorithms`, `masks`, `train`, …
Importing this package imports none of them, and not JAX.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from sparse_search import algorithms
    from sparse_search.config_file import load_config
    from sparse_search.notebook import load
    from sparse_search.report import build_report, compare
    from sparse_search.search.driver import search as run_search
    from sparse_search.train.single import train as run_train
    from sparse_search.train.widths import width_for
    from sparse_search.transform import apply_masks, masks_of, sparsify, view

_HOME = {
    "apply_masks": ("sparse_search.transform", "apply_masks"),
    "build_report": ("sparse_search.report", "build_report"),
    "compare": ("sparse_search.report", "compare"),
    "load": ("sparse_search.notebook", "load"),
    "load_config": ("sparse_search.config_file", "load_config"),
    "masks_of": ("sparse_search.transform", "masks_of"),
    "run_search": ("sparse_search.search.driver", "search"),
    "run_train": ("sparse_search.train.single", "train"),
    "sparsify": ("sparse_search.transform", "sparsify"),
    "view": ("sparse_search.transform", "view"),
    "width_for": ("sparse_search.train.widths", "width_for"),
}

__all__ = [
    "algorithms",
    "apply_masks",
    "build_report",
    "compare",
    "load",
    "load_config",
    "masks_of",
    "run_search",
    "run_train",
    "sparsify",
    "view",
    "width_for",
]


def __getattr__(name: str) -> Any:
    if name == "algorithms":
        return importlib.import_module("sparse_search.algorithms")
    if name not in _HOME:
        raise AttributeError(f"module 'sparse_search' has no attribute {name!r}")
    module, attribute = _HOME[name]
    return getattr(importlib.import_module(module), attribute)
