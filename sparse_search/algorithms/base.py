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
from functools import partial
from typing import Any, Literal, NamedTuple, Protocol

import jax
import jax.numpy as jnp

from sparse_search import trees
from sparse_search.masks import counting
from sparse_search.masks.patterns import UNSTRUCTURED, Pattern
from sparse_search.types import (
    Array,
    Bool,
    Counts,
    Int,
    Key,
    Masks,
    Params,
    Scalar,
)


class State(Protocol):
    """What the state of every algorithm has; most are NamedTuples with more."""

    @property
    def masks(self) -> Masks:
        """The entries that may be stored; off them parameters are zero."""
        ...


class Info(NamedTuple):
    """What a rewire did.

    Attributes:
        dropped: how many connections of each sparse leaf are gone.
        grown: how many are new.
        snapshot: whether the caller shall save the optimizer's state; None for
            algorithms that never rewind.
        rewind: whether it shall put back what it saved.
        source: of compressed leaves, where every weight was before, −1 where it is new;
            None where no leaf is compressed.
    """

    dropped: Counts
    grown: Counts
    snapshot: Bool[Array, ""] | None = None
    rewind: Bool[Array, ""] | None = None
    source: Any = None


Conserved = Literal["layer", "total", "end", "total_end", "remainder", "nothing"]
DenseGradient = Literal["never", "rewire", "always"]
Scope = Literal["layer", "global", "lamp"]
Begins = Literal["any", "drawn", "weights"]

NEVER = 2**31 - 1
"""The step at which rewiring ends that goes on for ever."""


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
        conserves: what is kept to the unit: "layer", the nnz of every layer; "total",
            their sum; "end" and "total_end", the same from the last rewire on, at
            which layers have no more weights than before; "remainder", the nnz of
            every layer less than one weight for every active neuron, which the state
            declares (`state.remainder`); or "nothing".
        dense_gradient: when the gradient of weights that are not stored is looked at,
            which costs a dense backward pass.
        trainings: how many trainings follow each other, each from rewound weights.
        pattern: which masks are allowed; it decides which counts can be asked for.
        draws: whether equal gradients make a rewire draw from its key; not where growth
            follows from the topology.
        exchange: the `grow_prune.Exchange` that a rewire is, where it is nothing else
            and `random_start` begins: then it can be applied to weights stored alone
            (`compressed`, which looks whether the functions are still those). None for
            all others.
        begins: how `init` comes by its masks: "any", at random, so that any others of
            as many weights and of the pattern would do as well; "drawn", at random by
            rules of its own; "weights", by looking at the weights, or with all.
    """

    init: Callable[[Key, Params, Counts], tuple[Params, Any]]
    view: Callable[[Params, Any], Params]
    filter_grads: Callable[[Params, Params, Any], tuple[Params, Any]]
    rewire: Callable[[Key, Params, Params, Any], tuple[Params, Any, Info]]
    conserves: Conserved = "layer"
    dense_gradient: DenseGradient = "never"
    trainings: int = 1
    pattern: Pattern = UNSTRUCTURED
    draws: bool = True
    exchange: Any = None
    begins: Begins = "weights"


class MaskState(NamedTuple):
    """The state of an algorithm that needs no more than masks and the time.

    Attributes:
        masks: the entries that may be stored.
        step: how many gradients it has seen, those of rewires included.
    """

    masks: Masks
    step: Int[Array, ""]


def random_masks(key: Key, params: Params, counts: Counts, pattern: Pattern) -> Masks:
    """Masks with exactly `counts` non-zeros a layer, at random."""
    return trees.map_sparse_with_key(
        lambda key, count, p: pattern.select(key, None, count, jnp.ones(p.shape, bool)),
        key,
        counts,
        params,
    )


def random_start(
    key: Key, params: Params, counts: Counts, *, pattern: Pattern, scaled: bool = True
) -> tuple[Params, MaskState]:
    """Random masks, and initial weights scaled to the fan-in that they leave."""
    masks = random_masks(key, params, counts, pattern)
    state = MaskState(masks, jnp.zeros((), jnp.int32))
    begin = scale_to_fan_in if scaled else trees.apply_masks
    return begin(params, masks), state


def as_drawn(algorithm: SparseAlgorithm) -> SparseAlgorithm:
    """The algorithm on initial weights as they were drawn for dense layers.

    As in most published code, in which masks are applied and nothing is made up for;
    what begins dense, or prunes at initialisation, does not scale in any case.
    """
    if algorithm.begins == "weights":
        return algorithm
    made: Any = algorithm.init
    if isinstance(made, partial) and made.func is random_start:
        return algorithm._replace(init=partial(made, scaled=False))

    def init(key: Key, params: Params, counts: Counts) -> tuple[Params, Any]:
        _, state = made(key, params, counts)
        return trees.apply_masks(params, state.masks), state

    return algorithm._replace(init=init)


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


def all_masks(params: Params, counts: Counts) -> Masks:
    """Masks that store everything, where a leaf is sparse."""
    return trees.map_sparse(lambda _, p: jnp.ones(p.shape, bool), counts, params)


def exchanged_info(old: Masks, new: Masks) -> Info:
    """What was dropped and grown between two masks."""

    def lost(before: Array, after: Array) -> Array:
        return counting.count(before & ~after)

    return Info(
        dropped=trees.map_sparse(lost, old, new),
        grown=trees.map_sparse(lambda before, after: lost(after, before), old, new),
    )


def is_last(step: Int[Array, ""], every: Scalar, until: Scalar) -> Bool[Array, ""]:
    """Whether a rewire is the last one.

    Args:
        step: gradients that were seen before the one that feeds the rewire.
        every: the smallest number of steps to the next rewire.
        until: the step from which masks stay.
    """
    return step >= jnp.asarray(until, jnp.int32) - every


def integers(counts: Counts) -> Counts:
    """Counts as int32 scalars, for a state."""
    return trees.map_sparse(lambda count: jnp.asarray(count, jnp.int32), counts)


def nnz(masks: Masks) -> Counts:
    """The number of non-zeros of every sparse leaf."""
    return jax.tree.map(counting.count, masks)
