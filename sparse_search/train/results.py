"""The final parameters and masks of a trial, in one compact file.

A sparse layer is stored as its mask, a bit an entry, and its non-zero values in
order; `load` gives back dense arrays.
"""

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sparse_search.errors import UserError


class Result(NamedTuple):
    """A trial's network: arrays by parameter name; only sparse layers have masks."""

    params: dict[str, np.ndarray]
    masks: dict[str, np.ndarray]


def save(path: Path, result: Result) -> None:
    """Write a result whole or not at all."""
    arrays: dict[str, np.ndarray] = {}
    for name, value in result.params.items():
        if name in result.masks:
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
            if f"{name}:mask" in arrays.files:
                shape = tuple(arrays[f"{name}:shape"])
                bits = np.unpackbits(arrays[f"{name}:mask"], count=int(np.prod(shape)))
                mask = bits.astype(bool).reshape(shape)
                masks[name] = mask
                params[name] = np.zeros(shape, values.dtype)
                params[name][mask] = values
            else:
                params[name] = values
    return Result(params, masks)
