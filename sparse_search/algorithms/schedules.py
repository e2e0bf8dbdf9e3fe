"""What changes over time: the drop fraction, and the interval between rewires.

Schedules of the drop fraction are functions of the number of gradients seen.
"""

from collections.abc import Callable

import jax.numpy as jnp

from sparse_search.errors import one_of
from sparse_search.types import Array, Bool, Float, Scalar

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


SHAPES: dict[str, Shape] = {
    "constant": constant,
    "cosine": cosine,
    "linear": linear,
    "inverse_power": inverse_power(3.0),
}


def shape(name: str | Shape) -> Shape:
    """A schedule's shape by name; a shape passes.

    Raises:
        UserError: the name is not known.
    """
    if not isinstance(name, str):
        return name
    if name not in SHAPES:
        raise one_of("A schedule of the drop fraction", name, SHAPES)
    return SHAPES[name]


def growing(number: Scalar, growth: Scalar) -> Bool[Array, ""]:
    """Whether a round rewires when intervals grow by a factor from each to the next.

    Intervals of 1, g, g², … rounds end after (gⁱ − 1) / (g − 1) rounds; a rewire comes
    with the first round that is not before such an end.

    Args:
        number: of the round, from 1; may be traced.
        growth: g, at least 1; 1 rewires in every round.
    """
    growth = jnp.asarray(growth, jnp.float32)
    excess = jnp.maximum(growth - 1, 1e-6)

    def intervals(rounds: Array) -> Array:
        passed = jnp.log1p(rounds.astype(jnp.float32) * excess) / jnp.log1p(excess)
        return jnp.floor(passed + 1e-4)

    number = jnp.asarray(number)
    return (growth <= 1) | (intervals(number) > intervals(number - 1))
