"""The final parameters and masks of a trial, in one compact file.

A masked layer is stored as its mask, a bit an entry, and its non-zero values in order;
a compressed one as a SciPy matrix in rows is. `load` gives back dense arrays, but for
compressed layers that are too large to be.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse

from sparse_search.errors import UserError

_LARGEST_DENSE = 2**28  # entries


class Result(NamedTuple):
    """A trial's network.

    Attributes:
        params: arrays by parameter name; of a compressed layer, a SciPy matrix.
        masks: of sparse layers that are arrays.
        statistics: what layers remember of batches, by name.
    """

    params: dict[str, Any]
    masks: dict[str, np.ndarray]
    statistics: Mapping[str, np.ndarray] = MappingProxyType({})


def file(workdir: Path, trial: str) -> Path:
    """Where a trial's result is."""
    return workdir / "results" / f"{trial}.npz"


def stored(result: Result, layer: str) -> Any:
    """Where a layer has weights: a bool array, or a bool matrix of SciPy."""
    if layer in result.masks:
        return result.masks[layer]
    weights = result.params[layer]
    if isinstance(weights, scipy.sparse.csr_array):
        ones = np.ones(weights.nnz, bool)
        parts = (ones, weights.indices, weights.indptr)
        return scipy.sparse.csr_array(parts, shape=weights.shape)
    return np.ones(weights.shape, bool)


def save(path: Path, result: Result) -> None:
    """Write a result whole or not at all."""
    arrays: dict[str, np.ndarray] = {}
    for name, value in {**result.params, **result.statistics}.items():
        if isinstance(value, scipy.sparse.csr_array):
            arrays[f"{name}:indptr"] = value.indptr
            arrays[f"{name}:indices"] = value.indices
            arrays[f"{name}:shape"] = np.array(value.shape)
            value = value.data
        elif name in result.masks:
            mask = result.masks[name]
            arrays[f"{name}:mask"] = np.packbits(mask.ravel())
            arrays[f"{name}:shape"] = np.array(value.shape)
            value = value[mask]
        arrays[f"{name}:values"] = value
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}.partial")
    try:
        with open(partial, "wb") as file:
            np.savez(file, allow_pickle=False, **arrays)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def load(path: Path) -> Result:
    """Read a result.

    Raises:
        UserError: there is none.
    """
    if not path.is_file():
        raise UserError(
            f"There is no {path}: the trial is not finished, or its search ran with "
            "config.save_results=False."
        )
    params, masks = {}, {}
    with np.load(path) as arrays:
        for key in arrays.files:
            name, _, kind = key.rpartition(":")
            if kind != "values":
                continue
            values = arrays[key]
            if f"{name}:indptr" in arrays.files:
                parts = (values, arrays[f"{name}:indices"], arrays[f"{name}:indptr"])
                shape = tuple(int(size) for size in arrays[f"{name}:shape"])
                params[name] = scipy.sparse.csr_array(parts, shape=shape)
                if np.prod(shape) <= _LARGEST_DENSE:
                    masks[name] = stored(Result(params, {}), name).toarray()
                    params[name] = params[name].toarray()
            elif f"{name}:mask" in arrays.files:
                shape = tuple(arrays[f"{name}:shape"])
                bits = np.unpackbits(arrays[f"{name}:mask"], count=int(np.prod(shape)))
                mask = bits.astype(bool).reshape(shape)
                masks[name] = mask
                params[name] = np.zeros(shape, values.dtype)
                params[name][mask] = values
            else:
                params[name] = values
    statistics = {k: v for k, v in params.items() if not k.startswith("params/")}
    params = {k: v for k, v in params.items() if k not in statistics}
    return Result(params, masks, statistics)
