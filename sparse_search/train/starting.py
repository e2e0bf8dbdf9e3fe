"""What a network begins with that starts from a checkpoint: `config.init_from`.

The weights of the checkpoint, and what its layers remember of batches, take the place
of those that the model would draw. Then a method does what it does with drawn weights:
those that prune score them, lottery tickets rewind to them, those that begin dense
train them all, zeros too. But where a method would begin with masks at random
(`begins="any"`), a random part of a trained network is of no use to anybody, so it
takes the largest weights that the checkpoint has instead: of a dense network that is
pruning by magnitude, and of a sparse one with the same numbers its own masks. There
the initial scale to the fan-in of a mask is left out, since weights are trained.
"""

import functools
from collections.abc import Sequence
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from sparse_search import results
from sparse_search.algorithms.base import SparseAlgorithm
from sparse_search.errors import Impossible, nearest
from sparse_search.keys import subkey
from sparse_search.results import Result
from sparse_search.train.order import streams
from sparse_search.train.starting_file import locate

Shapes = Sequence[tuple[str, tuple[int, ...]]]


def check(
    source: str,
    shapes: Shapes,
    counts: Sequence[tuple[str, int]],
    method: str,
    algorithm: SparseAlgorithm,
) -> None:
    """See whether a trial can begin with a checkpoint.

    Args:
        source: as in `config.init_from`.
        shapes: of all parameters, by name.
        counts: the numbers of weights of the sparse layers.
        method: the algorithm's name.
        algorithm: what it is.

    Raises:
        Impossible: it cannot, and why.
        UserError: there is no checkpoint.
    """
    path = locate(source)
    start = _load(path, path.stat().st_mtime_ns)
    where = f"config.init_from={source!r}"
    _check_same(where, {k: v.shape for k, v in start.params.items()}, dict(shapes))
    if method == "dense":
        return
    stored = {layer: int(results.stored(start, layer).sum()) for layer, _ in counts}
    sparse = any(n < start.params[layer].size for layer, n in stored.items())
    if algorithm.begins == "drawn" and sparse:
        raise Impossible(
            f"{where} is sparse, and the method {method!r} draws masks by rules of its "
            "own: it can begin with a dense network only."
        )
    same_total = sum(stored.values()) == sum(count for _, count in counts)
    conserves = algorithm.conserves
    if algorithm.begins != "any" or conserves not in ("layer", "total"):
        return  # what is pruned in training may begin with zeros
    if conserves == "total" and same_total:
        return
    for layer, count in counts:
        if stored[layer] < count:
            raise Impossible(
                f"{where} has {stored[layer]:,} weights in {layer}, fewer than the "
                f"{count:,} of this trial: lower config.sparsity.nnz, or set "
                "config.sparsity.layer_nnz to the numbers of the checkpoint."
            )


@functools.lru_cache(maxsize=2)
def _load(path: Path, changed: int) -> Result:
    del changed
    return results.load(path)


def _check_same(
    where: str,
    there: dict[str, tuple[int, ...]],
    here: dict[str, tuple[int, ...]],
) -> None:
    """Raise `Impossible` for the first name or shape in which networks differ."""
    for name in here:
        if name not in there:
            raise Impossible(
                f"{where} has no {name}, which this network has.{nearest(name, there)}"
            )
    for name in there:
        if name not in here:
            raise Impossible(
                f"{where} has {name}, which this network has not.{nearest(name, here)}"
            )
    for name, shape in here.items():
        if there[name] != shape:
            raise Impossible(
                f"{where} has {name} with the shape {list(there[name])}, and this "
                f"network with {list(shape)}: model and data set must be the same."
            )


def weights(drawn: Result, start: Result) -> Result:
    """Parameters and statistics of a checkpoint, in the place of drawn ones.

    Args:
        drawn: arrays, or their shapes and types.
        start: the checkpoint.

    Raises:
        Impossible: names or shapes differ.
    """
    for own, given in zip(drawn, start, strict=True):
        if own is not drawn.masks:
            there = {name: value.shape for name, value in given.items()}
            here = {name: tuple(value.shape) for name, value in own.items()}
            _check_same("config.init_from", there, here)
    params, statistics = (
        {name: given[name].astype(value.dtype) for name, value in own.items()}
        for own, given in (
            (drawn.params, start.params),
            (drawn.statistics, start.statistics),
        )
    )
    return Result(params, drawn.masks, statistics)


def largest(
    own: Result, start: Result, algorithm: SparseAlgorithm, seed: int
) -> Result:
    """The beginning of a method that would draw masks: the largest weights there are.

    Args:
        own: what the method began with: its masks say how many weights layers have.
        start: the checkpoint.
        algorithm: for its pattern, and what it conserves.
        seed: of ties between equal weights.

    Returns:
        A layer that has fewer weights in the checkpoint has zeros beside them.
    """
    stored = {name: results.stored(start, name) for name in own.masks}
    asked = {name: int(np.sum(mask)) for name, mask in own.masks.items()}
    same_total = sum(int(s.sum()) for s in stored.values()) == sum(asked.values())
    if algorithm.conserves == "total" and same_total:
        return _masked(start, stored)
    masks = {}
    for number, (name, mask) in enumerate(own.masks.items()):
        magnitude = np.abs(start.params[name])
        if algorithm.pattern.entries:
            magnitude = np.where(stored[name], magnitude, -1)  # behind a stored 0
        found = algorithm.pattern.select(
            subkey(streams(seed).masks, number),
            jnp.asarray(magnitude),
            asked[name],
            jnp.ones(mask.shape, bool),
        )
        masks[name] = np.asarray(found)
    return _masked(start, masks)


def _masked(start: Result, masks: dict[str, np.ndarray]) -> Result:
    params = {
        name: np.where(masks[name], value, 0).astype(value.dtype)
        if name in masks
        else value
        for name, value in start.params.items()
    }
    return Result(params, masks, start.statistics)
