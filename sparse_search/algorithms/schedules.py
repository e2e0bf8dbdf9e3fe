"""How the drop fraction falls over time: functions of the number of gradients seen."""

from collections.abc import Callable

import jax.numpy as jnp

from sparse_search.types import Array, Float, Scalar

Schedule = Callable[[Array], Float[Array, ""]]

Shape = Callable[[Scalar, Scalar], Schedule]
"""(the fraction at step 0, the step at which rewiring ends) -> schedule."""


def constant(value: Scalar, until: Scalar = 0) -> Schedule:
    """The same fraction at every rewire, as in SET.

    Args:
        value: the fraction.
        until: not used.
    """
    del until
    return lambda step: jnp.asarray(value, jnp.float32)


def cosine(initial: Scalar, until: Scalar) -> Schedule:
    """f(t) = α/2 · (1 + cos(π t / T_end)), 0 from T_end on (RigL, section 3).

    Args:
        initial: α, the fraction at step 0.
        until: T_end, the step at which rewiring ends.
    """

    def fraction(step: Array) -> Float[Array, ""]:
        progress = jnp.clip(step / jnp.maximum(until, 1), 0.0, 1.0)
        return initial / 2 * (1 + jnp.cos(jnp.pi * progress))

    return fraction


def linear(initial: Scalar, until: Scalar) -> Schedule:
    """f(t) = α (1 − t / T_end), 0 from T_end on.

    Args:
        initial: α, the fraction at step 0.
        until: T_end, the step at which rewiring ends.
    """
    return inverse_power(1.0)(initial, until)


def inverse_power(power: Scalar) -> Shape:
    """f(t) = α (1 − t / T_end)^k, 0 from T_end on (compared in RigL's appendix).

    Args:
        power: k; 3 falls as the density does in gradual pruning.
    """

    def shape(initial: Scalar, until: Scalar) -> Schedule:
        def fraction(step: Array) -> Float[Array, ""]:
            progress = jnp.clip(step / jnp.maximum(until, 1), 0.0, 1.0)
            return initial * (1 - progress) ** power

        return fraction

    return shape
