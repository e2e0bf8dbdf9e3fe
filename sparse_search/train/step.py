"""One gradient step, and one rewire with its reset of the optimizer state."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from sparse_search import trees
from sparse_search.algorithms.base import Info, SparseAlgorithm
from sparse_search.types import Array, Float, Int, Key, Params


class TrainState(NamedTuple):
    """All that one training run is, between two steps.

    Attributes:
        params: zero off the masks.
        opt_state: of the optimizer; zero, or as new, off the masks.
        sparse: the algorithm's state, with the masks.
        step: gradients so far, those of rewires included.
        statistics: what layers remember of batches, in batch normalisation.
        saved: the optimizer state and the statistics that a rewinding algorithm goes
            back to; None for all others.
    """

    params: Params
    opt_state: Any
    sparse: Any
    step: Int[Array, ""]
    statistics: Any = ()
    saved: Any = None


def begin(
    params: Params,
    sparse: Any,
    algorithm: SparseAlgorithm,
    optimizer: optax.GradientTransformation,
    statistics: Any = (),
) -> TrainState:
    """The state before the first step, from what the algorithm's `init` made."""
    opt_state = optimizer.init(params)
    saved = (opt_state, statistics) if algorithm.trainings > 1 else None
    return TrainState(params, opt_state, sparse, jnp.int32(0), statistics, saved)


def apply_gradients(
    state: TrainState,
    grads: Params,
    algorithm: SparseAlgorithm,
    optimizer: optax.GradientTransformation,
) -> TrainState:
    """Update the stored weights from a dense gradient of the view.

    The result is projected on the masks, so no optimizer can move what is off them.
    """
    grads, sparse = algorithm.filter_grads(grads, state.params, state.sparse)
    updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    params = trees.apply_masks(params, sparse.masks)
    return state._replace(
        params=params, opt_state=opt_state, sparse=sparse, step=state.step + 1
    )


def rewire(
    key: Key,
    state: TrainState,
    grads: Params,
    algorithm: SparseAlgorithm,
    optimizer: optax.GradientTransformation,
) -> tuple[TrainState, Info]:
    """Let the algorithm change the masks; what it dropped or grew is as new.

    The optimizer state of changed entries returns to what `optimizer.init` gives; where
    the algorithm rewinds, that of all others to what was saved.
    """
    params, sparse, info = algorithm.rewire(key, state.params, grads, state.sparse)
    if info.source is None:
        source = trees.map_sparse(lambda _: None, sparse.masks)
    else:
        source = info.source
    changed = trees.map_sparse(_changed, state.sparse.masks, sparse.masks, source)
    now, saved = (state.opt_state, state.statistics), state.saved
    if info.rewind is not None:
        saved = _choose(info.snapshot, now, saved)
        now = _choose(info.rewind, saved, now)
        # What was saved is not as new where weights were dropped since.
        changed = trees.map_sparse(
            lambda new, changed: changed | (info.rewind & ~new), sparse.masks, changed
        )
    opt_state, statistics = now
    opt_state = trees.map_belonging(
        _renew, changed, params, opt_state, optimizer.init(params)
    )
    # What was asked for is done.
    info = info._replace(snapshot=None, rewind=None, source=None)
    step = state.step + 1
    return TrainState(params, opt_state, sparse, step, statistics, saved), info


def _changed(old: Any, new: Any, source: Array | None = None) -> Array:
    """Which entries are as new, or where those of a compressed layer were before."""
    return old != new if source is None else source


def _renew(changed: Array, old: Array, new: Array) -> Array:
    if changed.dtype == bool:
        return jnp.where(changed, new, old)
    return jnp.where(changed >= 0, old[changed], new)


def _choose(pred: Any, yes: Any, no: Any) -> Any:
    return jax.tree.map(lambda a, b: jnp.where(pred, a, b), yes, no)


def loss_and_hits(
    logits: Float[Array, "batch *positions classes"],
    labels: Int[Array, "batch *positions"],
) -> tuple[Float[Array, " batch"], Float[Array, " batch"]]:
    """Cross-entropy in nats, and 1 where the largest logit is the label's.

    Of an example with several labels, the means over its positions.
    """
    labels = labels.astype(jnp.int32)  # those in memory are as small as they can be
    loss = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    hits = (jnp.argmax(logits, axis=-1) == labels).astype(jnp.float32)
    if labels.ndim == 1:
        return loss, hits
    positions = tuple(range(1, labels.ndim))
    return jnp.mean(loss, positions), jnp.mean(hits, positions)


def zero_info(state: TrainState) -> Info:
    """What a round without a rewire reports."""
    zero = trees.map_sparse(lambda _: jnp.zeros((), jnp.int32), state.sparse.masks)
    return Info(zero, zero)
