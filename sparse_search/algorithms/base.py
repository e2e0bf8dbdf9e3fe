"""The contract of a sparse training algorithm: four pure functions.

An algorithm is `init`, `view`, `filter_grads` and `rewire`, with its hyperparameters
closed over. One training step is

    grads = gradient of the loss at view(params, state)
    grads, state = filter_grads(grads, params, state)      # zero off the mask
    params = optimizer step, projected on state.masks

and one rewire takes the place of a step's last two lines:

    params, state, info = rewire(key, params, grads, state)   # grads raw and dense

Hyperparameters may be tracers: one compiled program serves every value of them.
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple, Protocol

import jax
import jax.numpy as jnp

from sparse_search import trees
from sparse_search.masks import counting
from sparse_search.types import (
    Array,
    Bool,
    Counts,
    Float,
    Int,
    Key,
    Masks,
    Params,
)


class State(Protocol):
    """What the state of every algorithm has; most are NamedTuples with more."""

    @property
    def masks(self) -> Masks:
        """The entries that may be stored; off them parameters are zero."""
        ...


class Info(NamedTuple):
    """What a rewire did: how many connections of each sparse leaf were exchanged."""

    dropped: Counts
    grown: Counts


Conserved = Literal["layer", "total", "end", "nothing"]
DenseGradient = Literal["never", "rewire", "always"]


class SparseAlgorithm(NamedTuple):
    """A sparse training algorithm.

    Attributes:
        init: `(key, params, counts) -> (params, state)`: masks of exactly `counts`
            non-zeros a layer (of at least as many, where that is what training ends
            with), and parameters that are zero off them, so that the first forward
            pass is already sparse. Counts may be traced.
        view: `(params, state) -> params` that the forward pass sees.
        filter_grads: `(grads, params, state) -> (grads, state)`, at every step.
        rewire: `(key, params, grads, state) -> (params, state, info)`, once a round;
            `no_rewire` for algorithms that never change their masks.
        conserves: what a rewire keeps to the unit: the nnz of every layer, or the
            total, or nothing; "end": layers lose weights and have exactly `counts`
            from the last rewire on.
        dense_gradient: when the gradient of weights that are not stored is looked at,
            which costs a dense backward pass.
    """

    init: Callable[[Key, Params, Counts], tuple[Params, Any]]
    view: Callable[[Params, Any], Params]
    filter_grads: Callable[[Params, Params, Any], tuple[Params, Any]]
    rewire: Callable[[Key, Params, Params, Any], tuple[Params, Any, Info]]
    conserves: Conserved = "layer"
    dense_gradient: DenseGradient = "never"


class Select(Protocol):
    """A pattern's selection, as in `masks.patterns.unstructured`."""

    def __call__(
        self,
        key: Key,
        scores: Float[Array, "*s"] | None,
        count: Int[Array, ""] | int,
        where: Bool[Array, "*s"],
    ) -> Bool[Array, "*s"]:
        """Select exactly `count` entries of `where`, or at random without scores."""
        ...


class MaskState(NamedTuple):
    """The state of an algorithm that needs no more than masks and the time.

    Attributes:
        masks: the entries that may be stored.
        step: how many gradients it has seen, those of rewires included.
    """

    masks: Masks
    step: Int[Array, ""]


def random_masks(key: Key, params: Params, counts: Counts, select: Select) -> Masks:
    """Masks with exactly `counts` non-zeros a layer, uniformly at random."""
    return trees.map_sparse_with_key(
        lambda key, count, p: select(key, None, count, jnp.ones(p.shape, bool)),
        key,
        counts,
        params,
    )


def scale_to_fan_in(params: Params, masks: Masks) -> Params:
    """Mask initial weights and keep the variance of what every neuron sums.

    A neuron that keeps k of n inputs has its weights multiplied by √(n / k): what an
    initialiser that knew the mask would have drawn (Evci et al. 2022, "Gradient Flow
    in Sparse Neural Networks", arXiv:2010.03533, section 3). Without it, layers at low
    density begin with vanishing activations, and structures would be compared by how
    much they suffer from that.
    """

    def scale(mask: Array | None, weight: Array) -> Array:
        if mask is None:
            return weight
        inputs = tuple(range(weight.ndim - 1))
        kept = jnp.maximum(jnp.sum(mask, axis=inputs), 1)
        factor = jnp.sqrt(weight[..., 0].size / kept).astype(weight.dtype)
        return jnp.where(mask, weight * factor, jnp.zeros_like(weight))

    return jax.tree.map(scale, masks, params, is_leaf=lambda x: x is None)


def same_view(params: Params, state: Any) -> Params:
    """The view of algorithms whose forward pass sees the parameters as they are."""
    del state
    return params


def masked_grads(
    grads: Params, params: Params, state: MaskState
) -> tuple[Params, MaskState]:
    """Gradients of the stored weights only; one step later."""
    del params
    masked = trees.apply_masks(grads, state.masks)
    return masked, state._replace(step=state.step + 1)


def no_rewire(
    key: Key, params: Params, grads: Params, state: Any
) -> tuple[Params, Any, Info]:
    """Change nothing. Training loops recognise it and skip the rewire altogether."""
    del key, grads
    zero = trees.map_sparse(lambda m: jnp.zeros((), jnp.int32), state.masks)
    return params, state, Info(zero, zero)


def nnz(masks: Masks) -> Counts:
    """The number of non-zeros of every sparse leaf."""
    return jax.tree.map(counting.count, masks)
