import jax
import jax.numpy as jnp
import numpy as np
import optax
from layer_by_hand import GRADS, WEIGHTS, jit_rewire
from scipy.stats import chi2

from sparse_search.algorithms.set_ import set_
from sparse_search.models.mlp import MLP
from sparse_search.train import rounds

rewire = jit_rewire(lambda fraction: set_(fraction))

# Half of six are exchanged: -0.1, 0.2 and 0.3 are the closest to zero.
KEPT = np.array([[1, 0, 0, 0], [0, 0, 0, 1], [0, 0, 0, 1]], bool)


def test_the_smallest_are_dropped_and_as_many_grow_at_random():
    grown_at = np.zeros((3, 4))
    for seed in range(300):
        weights, mask, dropped, grown = rewire(fraction=0.5, seed=seed)
        came_back = mask & (WEIGHTS != 0) & ~KEPT
        assert mask.sum() == 6 and mask[KEPT].all()
        assert dropped == grown == 3 - came_back.sum()
        # What is stored before and after keeps its weight, all else is zero.
        expected = np.where(mask & (WEIGHTS != 0), WEIGHTS, 0)
        assert weights.tobytes() == expected.tobytes()
        grown_at += mask & ~KEPT
    # Each of nine candidates is one of the three grown in a third of all rewires.
    observed = grown_at[~KEPT]
    statistic = ((observed - 100) ** 2 / 100).sum()
    assert chi2.sf(statistic, 8) > 1e-6


def test_the_gradient_is_not_looked_at():
    first = rewire(fraction=0.5)
    second = rewire(grads=np.full_like(GRADS, np.nan), fraction=0.5)
    assert (first[1] == second[1]).all() and first[0].tobytes() == second[0].tobytes()
    assert set_(0.3).dense_gradient == "never"


def test_a_dense_layer_passes_unchanged():
    dense = WEIGHTS + np.float32(2)
    weights, mask, dropped, grown = rewire(dense, fraction=0.3)
    assert weights.tobytes() == dense.tobytes()
    assert mask.all() and (dropped, grown) == (0, 0)


def test_rewiring_stops_at_its_step_in_every_lane():
    train = rounds.make_train(
        rounds.Spec(
            model=MLP((), 4),
            algorithm=lambda drop, until, **probes: set_(drop),
            optimizer=lambda rate, decay, steps: optax.sgd(rate),
            round_steps=3,
            scale=255.0,
        )
    )
    rng = np.random.default_rng(0)
    examples = rounds.Examples(
        jnp.asarray(rng.integers(0, 256, (20, 6)), jnp.uint8),
        jnp.asarray(rng.integers(0, 4, 20), jnp.int32),
    )
    drawn = train.weights(0, examples)
    lanes = (5, 6, 9)  # rewires come after gradients 2, 5 and 8

    def hyper(until):
        return rounds.Hyper(
            seed=np.int32(0),
            learning_rate=np.float32(0.1),
            weight_decay=np.float32(0),
            drop_fraction=np.float32(0.5),
            steps=np.int32(12),
            rewire_until=np.int32(until),
            counts=jax.tree.map(
                lambda p: np.int32(p.size // 2) if p.ndim > 1 else None, drawn[0]
            ),
        )

    hypers = jax.tree.map(lambda *xs: np.stack(xs), *map(hyper, lanes))
    init = jax.jit(jax.vmap(train.init, in_axes=(0, None, None, None)))
    state = init(hypers, drawn, jnp.arange(4), examples)
    step = jax.jit(jax.vmap(train.round, in_axes=(0, 0, None, None, None)))
    rows = jnp.asarray(rng.integers(0, 16, (3, 4)), jnp.int32)
    grew, masks = [], []
    for _ in range(4):
        masks.append(jax.tree.map(np.asarray, state.train.sparse.masks))
        state, metrics = step(hypers, state, rows, jnp.arange(16, 20), examples)
        grew.append((np.asarray(metrics.topology.grown) > 0).tolist())
        assert (np.asarray(metrics.topology.nnz) == 12).all()
    assert grew == [[True] * 3, [False, True, True], [False, False, True], [False] * 3]
    # A round that does not rewire makes a weight update instead.
    assert np.asarray(state.train.step).tolist() == [12, 12, 12]
    assert np.asarray(state.train.sparse.step).tolist() == [12, 12, 12]
    for last, now in zip(
        jax.tree.leaves(masks[-1]),
        jax.tree.leaves(state.train.sparse.masks),
        strict=True,
    ):
        assert (last == np.asarray(now)).all()
