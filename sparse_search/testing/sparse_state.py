"""What must hold of the state of a sparse run, in NumPy."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from sparse_search import trees
from sparse_search.algorithms.base import Info, SparseAlgorithm
from sparse_search.train.step import TrainState
from sparse_search.types import Params


def require(holds: Any, message: str) -> None:
    """Raise an `AssertionError` with the message, also under `python -O`."""
    if not holds:
        raise AssertionError(message)


def _bits(leaf: Any) -> tuple[Any, ...]:
    if isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        leaf = jax.random.key_data(leaf)
    array = np.asarray(leaf)
    return array.dtype, array.shape, array.tobytes()


def same_bits(first: Any, second: Any) -> bool:
    """Whether two pytrees have the same structure, types and bits."""
    leaves, structure = jax.tree.flatten(first)
    others, other_structure = jax.tree.flatten(second)
    return structure == other_structure and all(
        _bits(a) == _bits(b) for a, b in zip(leaves, others, strict=True)
    )


def layers(tree: Any) -> dict[str, Any]:
    """The leaves by name as NumPy arrays; None stays None."""
    return {
        name: None if leaf is None else np.asarray(leaf)
        for name, leaf in trees.named_leaves(tree).items()
    }


def mask_of(state: TrainState) -> dict[str, np.ndarray]:
    """The masks of the sparse layers by name."""
    return {n: m for n, m in layers(state.sparse.masks).items() if m is not None}


def nnz_of(state: TrainState) -> dict[str, int]:
    """The non-zeros of the sparse layers by name."""
    return {name: int(mask.sum()) for name, mask in mask_of(state).items()}


def belonging(opt_state: Any, params: Params) -> list[tuple[str, str, np.ndarray]]:
    """The optimizer state of parameters: (parameter, name of the state, its array)."""
    shapes = {name: leaf.shape for name, leaf in trees.named_leaves(params).items()}
    found = []
    for name, leaf in trees.named_leaves(opt_state).items():
        owners = [p for p in shapes if f"/{name}".endswith(f"/{p}".rstrip("/"))]
        owner = max(owners, key=len, default=None)
        if owner is not None and np.shape(leaf) == shapes[owner]:
            found.append((owner, name, np.asarray(leaf)))
    return found


def check_sparse(algorithm: SparseAlgorithm, state: TrainState) -> None:
    """Parameters, their view and filtered gradients are zero off the masks."""
    view = algorithm.view(state.params, state.sparse)
    ones = jax.tree.map(jnp.ones_like, state.params)
    grads, _ = algorithm.filter_grads(ones, state.params, state.sparse)
    for what, tree in (
        ("the parameters", state.params),
        ("the view", view),
        ("the filtered gradients", grads),
    ):
        arrays = layers(tree)
        for name, mask in mask_of(state).items():
            require(mask.dtype == bool, f"the mask of {name} is {mask.dtype}, not bool")
            require(mask.shape == arrays[name].shape, f"the mask of {name} has a shape")
            off = np.count_nonzero(arrays[name][~mask])
            require(not off, f"{what} of {name} are not zero at {off} masked entries")


def require_remainder(state: TrainState, counts: Any) -> None:
    """Every layer has its count but for a remainder below its active neurons."""
    declared = layers(state.sparse.remainder)
    asked = layers(counts)
    for name, mask in mask_of(state).items():
        fan_in = mask.sum(axis=tuple(range(mask.ndim - 1)))
        active = fan_in[fan_in > 0]
        left, told = int(asked[name]) - int(mask.sum()), int(declared[name])
        require(left == told, f"{name} has {left} weights less, and declares {told}")
        require(0 <= left < max(active.size, 1), f"{name} leaves {left} weights")
        require(len(set(active)) <= 1, f"the fan-in of {name} is not constant")


def check_new(
    old: TrainState,
    new: TrainState,
    info: Info,
    transform: optax.GradientTransformation,
) -> None:
    """What a rewire dropped or grew is zero, its optimizer state as at the start."""
    params, before, after = layers(new.params), mask_of(old), mask_of(new)
    require(before.keys() == after.keys(), "a rewire made a sparse layer dense")
    fresh = belonging(transform.init(new.params), new.params)
    states = belonging(new.opt_state, new.params)
    told = {
        "dropped": {n: x for n, x in layers(info.dropped).items() if x is not None},
        "grown": {n: x for n, x in layers(info.grown).items() if x is not None},
    }
    for name, mask in after.items():
        gone, came = before[name] & ~mask, mask & ~before[name]
        weights = np.count_nonzero(params[name][came])
        require(not weights, f"{weights} of the weights that grew in {name} are not 0")
        for (owner, state, found), (_, _, expected) in zip(states, fresh, strict=True):
            if owner == name:
                require(
                    same_bits(found[gone | came], expected[gone | came]),
                    f"the optimizer state {state} is not as new where it changed",
                )
        for what, entries in (("dropped", gone), ("grown", came)):
            number, really = int(told[what][name]), int(entries.sum())
            require(
                number == really, f"info.{what} of {name} is {number}, in fact {really}"
            )
