"""A model as pure functions: what its layers remember, its noise and its precision.

A flax module may keep statistics besides its parameters (running means of batch
normalisation) and draw noise (dropout). Here both are arguments and results. In
bfloat16 the products are computed from rounded copies; parameters, their gradients and
the loss stay float32 (Micikevicius et al. 2018, arXiv:1710.03740, without the scale
of the loss, which bfloat16's exponents do not need).
"""

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from sparse_search import trees
from sparse_search.errors import one_of
from sparse_search.sparse.layers import TOPOLOGY
from sparse_search.types import Array, Key, Num, Params

PRECISIONS = ("float32", "bfloat16")

Statistics = Any
"""What layers remember from batch to batch; empty where they do not."""

_PASSING = ("params", "intermediates")


class Network(NamedTuple):
    """A model's functions; a view is what an algorithm lets the forward pass see.

    Attributes:
        init: `(key, example) -> (params, statistics)`.
        predict: `(view, statistics, inputs) -> logits`, as it is used.
        learn: `(key, view, statistics, inputs) -> (logits, statistics)`, in training.
    """

    init: Callable[[Key, Array], tuple[Params, Statistics]]
    predict: Callable[[Params, Statistics, Array], Array]
    learn: Callable[[Key, Params, Statistics, Array], tuple[Array, Statistics]]


def make_network(module: Any, precision: str = "float32") -> Network:
    """The functions of a flax module.

    Args:
        module: whose `__call__` takes inputs and, where it matters, `train`.
        precision: one of `PRECISIONS`.

    Raises:
        UserError: there is no such precision.
    """
    if precision not in PRECISIONS:
        raise one_of("config.precision", precision, PRECISIONS)
    half = precision == "bfloat16"
    training = (
        {"train": True}
        if "train" in inspect.signature(type(module).__call__).parameters
        else {}
    )

    def rounded(view: Params) -> Params:
        if not half:
            return view
        # The kernels' native products round by themselves.
        whole = set(trees.named_leaves({"params": view.get(TOPOLOGY, {})}))

        def leaf(path: tuple[Any, ...], x: Array) -> Array:
            if trees.name(path) in whole or x.dtype != jnp.float32:
                return x
            return x.astype(jnp.bfloat16)

        params = {"params": view["params"]}
        return {**view, **jax.tree_util.tree_map_with_path(leaf, params)}

    def given(inputs: Num[Array, "batch *example"]) -> Array:
        floats = jnp.issubdtype(inputs.dtype, jnp.floating)
        return inputs.astype(jnp.bfloat16) if half and floats else inputs

    def init(key: Key, example: Array) -> tuple[Params, Statistics]:
        made = module.init(key, example)
        statistics = {k: v for k, v in made.items() if k not in _PASSING}
        return {"params": made["params"]}, statistics

    def predict(view: Params, statistics: Statistics, inputs: Array) -> Array:
        logits = module.apply({**rounded(view), **statistics}, given(inputs))
        return logits.astype(jnp.float32) if half else logits

    def learn(
        key: Key, view: Params, statistics: Statistics, inputs: Array
    ) -> tuple[Array, Statistics]:
        logits, statistics = module.apply(
            {**rounded(view), **statistics},
            given(inputs),
            **training,
            rngs={"dropout": key},
            mutable=list(statistics),
        )
        return logits.astype(jnp.float32) if half else logits, statistics

    return Network(init, predict, learn)
