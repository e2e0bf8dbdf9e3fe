"""safetensors: dense arrays with their masks, or 2:4 compressed.

    safetensors.numpy.load_file("OUT")       # or of torch, jax, …

All arrays keep their names, as in `params/Dense_0/kernel`; kernels are [inputs,
outputs] or [rows, columns, inputs, outputs]. Dense, a sparse layer's mask (bool) stands
beside it as `NAME.mask`. 2:4 compressed, `NAME.values` and `NAME.metadata` stand in
place of a sparse layer, as `two_four` lays them out, and the file's own metadata
has the shape of the kernel under `NAME`, as JSON.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from sparse_search.errors import UserError
from sparse_search.export import scipy_npz, two_four
from sparse_search.results import Result

_KIND = "sparse_search"


def save(result: Result, file: Path, trial: str) -> None:
    """Write all arrays, dense, and the masks.

    Args:
        result: a trial's network.
        file: to write.
        trial: its name, for the file's metadata.

    Raises:
        UserError: a layer is too large to be dense, or safetensors is not installed.
    """
    arrays = _arrays(result)
    arrays |= {f"{name}.mask": mask for name, mask in result.masks.items()}
    _write(file, arrays, {_KIND: "dense", "trial": trial})


def save_two_four(result: Result, file: Path, trial: str) -> None:
    """Write the sparse layers 2:4 compressed, and all else dense.

    Args:
        result: a trial's network.
        file: to write.
        trial: its name, for the file's metadata.

    Raises:
        UserError: no layer is sparse, or one is not 2:4 along its inputs; a layer is
            too large to be dense, or safetensors is not installed.
    """
    arrays = _arrays(result)
    if not result.masks:
        raise UserError(
            f"{trial} has no sparse layer, and so none that is 2:4; export it with "
            "--format=safetensors."
        )
    notes = {_KIND: "2:4", "trial": trial}
    for name, mask in result.masks.items():
        weights = arrays.pop(name)
        values, metadata = two_four.compress(name, weights, mask)
        arrays[f"{name}.values"], arrays[f"{name}.metadata"] = values, metadata
        notes[name] = json.dumps([int(size) for size in weights.shape])
    _write(file, arrays, notes)


def load(file: Path) -> Result:
    """The network that `save` or `save_two_four` wrote, dense, with its masks."""
    safetensors = _library()
    with safetensors.safe_open(file, framework="numpy") as tensors:
        notes = tensors.metadata() or {}
        arrays = {name: tensors.get_tensor(name) for name in tensors.keys()}
    masks = {}
    for name in [name for name in arrays if name.endswith(".mask")]:
        masks[name.removesuffix(".mask")] = arrays.pop(name)
    for name in [name for name in arrays if name.endswith(".values")]:
        layer = name.removesuffix(".values")
        values, metadata = arrays.pop(name), arrays.pop(f"{layer}.metadata")
        shape = tuple(json.loads(notes[layer]))
        arrays[layer], masks[layer] = two_four.decompress(values, metadata, shape)
    params = {k: v for k, v in arrays.items() if k.startswith("params/")}
    statistics = {k: v for k, v in arrays.items() if k not in params}
    return Result(params, masks, statistics)


def _arrays(result: Result) -> dict[str, np.ndarray]:
    for name in scipy_npz.sparse_layers(result):
        if name not in result.masks:
            shape = result.params[name].shape
            raise UserError(
                f"{name} of shape {tuple(int(n) for n in shape)} is too large to be "
                "written dense; export it with --format=npz."
            )
    return {**result.params, **result.statistics}


def _write(file: Path, arrays: dict[str, np.ndarray], notes: dict[str, str]) -> None:
    safetensors = _library()
    whole = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    safetensors.numpy.save_file(whole, file, metadata=notes)


def _library() -> Any:
    try:
        import safetensors
        import safetensors.numpy
    except ImportError:
        raise UserError(
            "safetensors is not installed: pip install 'sparse_search[export]'."
        ) from None
    return safetensors
