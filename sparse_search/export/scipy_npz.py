"""SciPy's `.npz`: a folder with a CSR file a sparse layer.

    scipy.sparse.load_npz("OUT/params.Dense_0.kernel.npz")     # [inputs, outputs]

A convolution's kernel [rows, columns, inputs, outputs] is the matrix with a row for
every place of the window and input. Entries that a mask stores are in it, zeros too, so
that the matrix is values and mask in one. `dense.npz` holds all other parameters and
what layers remember of batches, by name, and `layers.json` the file and the shape of
every sparse layer.
"""

import json
from pathlib import Path

import numpy as np
import scipy.sparse

from sparse_search.results import Result, stored


def matrix(result: Result, layer: str) -> scipy.sparse.csr_array:
    """A sparse layer as a matrix [inputs, outputs], with an entry where its mask is."""
    weights = result.params[layer]
    if isinstance(weights, scipy.sparse.csr_array):
        return weights
    mask = stored(result, layer).reshape(-1, weights.shape[-1])
    rows, columns = np.nonzero(mask)
    values = weights.reshape(mask.shape)[rows, columns]
    made = scipy.sparse.csr_array((values, (rows, columns)), shape=mask.shape)
    made.sort_indices()
    return made


def sparse_layers(result: Result) -> list[str]:
    """The names of the layers that are sparsified."""
    return [
        name
        for name, value in result.params.items()
        if name in result.masks or isinstance(value, scipy.sparse.csr_array)
    ]


def save(result: Result, folder: Path) -> None:
    """Write the folder.

    Args:
        result: a trial's network.
        folder: which must not exist.
    """
    folder.mkdir()
    layers = {}
    for name in sparse_layers(result):
        file = name.replace("/", ".") + ".npz"
        shape = [int(size) for size in result.params[name].shape]
        layers[name] = {"file": file, "shape": shape}
        scipy.sparse.save_npz(folder / file, matrix(result, name))
    everything = {**result.params, **result.statistics}
    dense = {name: x for name, x in everything.items() if name not in layers}
    with open(folder / "dense.npz", "wb") as file:
        np.savez(file, allow_pickle=False, **dense)
    (folder / "layers.json").write_text(json.dumps(layers, indent=1) + "\n")


def load(folder: Path) -> Result:
    """The network that `save` wrote, its sparse layers as dense arrays with masks."""
    params: dict[str, np.ndarray] = {}
    masks, statistics = {}, {}
    with np.load(folder / "dense.npz") as arrays:
        for name in arrays.files:
            kept = params if name.startswith("params/") else statistics
            kept[name] = arrays[name]
    layers = json.loads((folder / "layers.json").read_text())
    for name, layer in layers.items():
        entries = scipy.sparse.load_npz(folder / layer["file"]).tocoo()
        weights = np.zeros(entries.shape, entries.dtype)
        weights[entries.coords] = entries.data
        mask = np.zeros(entries.shape, bool)
        mask[entries.coords] = True
        params[name] = weights.reshape(layer["shape"])
        masks[name] = mask.reshape(layer["shape"])
    return Result(params, masks, statistics)
