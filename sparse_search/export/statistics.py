"""What a simulator of an accelerator wants to know of a network, layer by layer.

A file that ends in `.csv` is a table with a row a layer, any other is JSON with the
distributions besides. The product of a layer is [M, K] × [K, N], as simulators of
matrix products (SCALE-Sim's GEMM topologies, Timeloop and Sparseloop) call it:

- `M`: rows for one example, which are the uses of every weight: 1 in a fully connected
  layer, the output's places in a convolution, positions in a text; empty where the
  journal does not say it.
- `N`, `K`: outputs, and inputs of one output.
- `nnz`, `density`: weights that exist, and that over K N.
- `fan_in`: how many weights an output has; `fan_out`: an input (of a convolution, a
  place of the window and input). Least, mean, most, standard deviation, and in JSON the
  `histogram`: pairs of a degree and how many have it.
- `blocks`: for blocks of several sides, how many the matrix [K, N] has, those that
  overhang included, and how many of them hold a weight; in the table that part.
"""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sparse_search.costs import occupancy
from sparse_search.export.scipy_npz import sparse_layers
from sparse_search.names import natural
from sparse_search.results import Result, stored

SIDES = (4, 8, 16, 32, 64, 128)
"""Of the blocks that are counted."""


def of_result(result: Result, uses: Mapping[str, int]) -> list[dict[str, Any]]:
    """The statistics of every layer with a kernel, in the order of their names.

    Args:
        result: a trial's network.
        uses: multiply-adds of every weight for one example, by layer, where known.
    """
    sparse = set(sparse_layers(result))
    names = {
        name
        for name, value in result.params.items()
        if name in sparse | uses.keys() or (name.endswith("/kernel") and value.ndim > 1)
    }
    return [
        _layer(name, stored(result, name), name in sparse, uses.get(name))
        for name in sorted(names, key=natural)
    ]


def _layer(name: str, mask: Any, sparse: bool, uses: int | None) -> dict[str, Any]:
    fan_in, fan_out = occupancy.fan_in(mask), occupancy.fan_out(mask)
    nnz, size = int(fan_in.sum()), len(fan_in) * len(fan_out)
    blocks = {
        str(side): {
            "all": -(-len(fan_out) // side) * -(-len(fan_in) // side),
            "occupied": occupancy.blocks(mask, side),
        }
        for side in SIDES
    }
    return {
        "layer": name,
        "shape": [int(n) for n in mask.shape],
        "sparse": sparse,
        "M": uses,
        "N": len(fan_in),
        "K": len(fan_out),
        "nnz": nnz,
        "density": nnz / size,
        "fan_in": _distribution(fan_in),
        "fan_out": _distribution(fan_out),
        "blocks": blocks,
    }


def _distribution(degrees: np.ndarray) -> dict[str, Any]:
    values, counts = np.unique(degrees, return_counts=True)
    pairs = np.stack([values, counts], axis=1)
    return {
        "least": int(degrees.min()),
        "mean": float(degrees.mean()),
        "most": int(degrees.max()),
        "sd": float(degrees.std()),
        "histogram": pairs.tolist(),
    }


def save(layers: Sequence[dict[str, Any]], file: Path) -> None:
    """Write CSV or JSON, by the suffix of the file."""
    if file.suffix == ".csv":
        file.write_text(_csv(layers))
    else:
        rows = ",\n".join(json.dumps(layer) for layer in layers)
        file.write_text(f'{{"layers": [\n{rows}\n]}}\n')


def _csv(layers: Sequence[dict[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    plain = ("layer", "M", "N", "K", "nnz", "density")
    moments = ("least", "mean", "most", "sd")
    degrees = [(degree, of) for degree in ("fan_in", "fan_out") for of in moments]
    writer.writerow(
        [
            *plain,
            *("shape", "sparse"),
            *(f"{degree}_{of}" for degree, of in degrees),
            *(f"occupied_{side}x{side}" for side in SIDES),
        ]
    )
    for layer in layers:
        blocks = layer["blocks"].values()
        writer.writerow(
            [
                *("" if layer[key] is None else layer[key] for key in plain),
                "x".join(str(n) for n in layer["shape"]),
                int(layer["sparse"]),
                *(layer[degree][of] for degree, of in degrees),
                *(block["occupied"] / block["all"] for block in blocks),
            ]
        )
    return text.getvalue()
