import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sparse_search.algorithms import schedules

# α / 2 · (1 + cos(π t / T_end)) with α = 0.3 and T_end = 75 (Evci et al., section 3).
PUBLISHED = [
    (0, 0.3),
    (25, 0.225),  # cos(π / 3) = 1/2
    (37.5, 0.15),
    (50, 0.075),
    (75, 0.0),
    (76, 0.0),
    (10**6, 0.0),
]


@pytest.mark.parametrize("step, expected", PUBLISHED)
def test_the_cosine_has_the_published_values(step, expected):
    assert float(schedules.cosine(0.3, 75)(step)) == pytest.approx(expected, rel=1e-6)


def test_the_end_is_exactly_zero_for_any_length():
    until = np.arange(1, 5000, dtype=np.int32)
    ends = jax.vmap(lambda until: schedules.cosine(0.3, until)(until))(until)
    assert (np.asarray(ends) == 0).all()


def test_hyperparameters_may_be_traced_and_never_rewiring_is_allowed():
    values = jax.jit(
        jax.vmap(
            lambda a, until, t: schedules.cosine(a, until)(t), in_axes=(0, 0, None)
        )
    )(jnp.array([0.3, 0.5, 0.3]), jnp.array([75, 150, 0]), 75)
    assert np.asarray(values) == pytest.approx([0.0, 0.25, 0.0], abs=1e-7)


def test_a_constant_is_constant():
    assert [float(schedules.constant(0.5)(step)) for step in (0, 7, 10**9)] == [0.5] * 3


@pytest.mark.parametrize(
    "shape, values",
    [
        (schedules.constant, [0.4, 0.4, 0.4, 0.4]),
        (schedules.cosine, [0.4, 0.2, 0.0, 0.0]),
        (schedules.linear, [0.4, 0.2, 0.0, 0.0]),
        (schedules.inverse_power(3), [0.4, 0.05, 0.0, 0.0]),
    ],
)
def test_shapes_by_hand(shape, values):
    schedule = jax.jit(lambda step: shape(0.4, 100)(step))
    found = [float(schedule(jnp.int32(step))) for step in (0, 50, 100, 150)]
    np.testing.assert_allclose(found, values, atol=1e-7)
