"""Any optimizer of optax by name, with a schedule, its rates traced."""

import inspect
import json
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from sparse_search.config import Optimizer
from sparse_search.errors import UserError, nearest, one_of
from sparse_search.types import Array, Float, Scalar

# The learning rate's part of its peak, from the part of training that is done, the
# warm-up left out.
SHAPES: dict[str, Callable[[Array], Array]] = {
    "constant": jnp.ones_like,
    "linear": lambda done: 1 - done,
    "cosine": lambda done: (1 + jnp.cos(jnp.pi * done)) / 2,
}
SCHEDULES = (*SHAPES, "step")


def schedule(
    spec: Optimizer, peak: Scalar, steps: Scalar
) -> Callable[[Array], Float[Array, ""]]:
    """The learning rate at an update: a linear warm-up, then what `spec` says.

    Args:
        spec: the schedule, the part of training that the warm-up takes, and where a
            rate falls in steps.
        peak: the highest rate; may be traced.
        steps: weight updates of the whole training; may be traced.
    """

    def rate(count: Array) -> Array:
        done = jnp.clip(count / steps, 0.0, 1.0)
        after = jnp.clip((done - spec.warmup) / max(1 - spec.warmup, 1e-6), 0.0, 1.0)
        # The first update has a rate above 0 even where the warm-up has begun.
        rising = jnp.minimum((count + 1) / jnp.maximum(spec.warmup * steps, 1.0), 1.0)
        if spec.schedule == "step":
            fallen = sum((done >= at for at in spec.steps_at), jnp.zeros_like(done))
            return peak * rising * spec.step_factor**fallen
        return peak * rising * SHAPES[spec.schedule](after)

    return rate


def make(
    spec: Optimizer, learning_rate: Scalar, weight_decay: Scalar, steps: Scalar
) -> optax.GradientTransformation:
    """Build the optimizer that a spec names; call `check` on the spec before."""
    factory = getattr(optax, spec.name)
    rate = schedule(spec, learning_rate, steps)
    # Passed when it is 0 too: some optimizers of optax decay by default.
    if "weight_decay" in inspect.signature(factory).parameters:
        return factory(learning_rate=rate, weight_decay=weight_decay, **spec.options)
    made = factory(learning_rate=rate, **spec.options)
    if not spec.weight_decay:
        return made
    return optax.chain(optax.add_decayed_weights(weight_decay), made)


def names() -> list[str]:
    """The optimizers of optax: its functions that take a learning rate."""
    found = []
    for name, value in vars(optax).items():
        if inspect.isfunction(value) and not name.startswith(("_", "scale_by_")):
            if "learning_rate" in inspect.signature(value).parameters:
                found.append(name)
    return sorted(found)


def check(spec: Optimizer) -> None:
    """Raise a `UserError` where a spec cannot be built."""
    if spec.name not in names():
        raise one_of("config.optimizer.name", spec.name, names())
    if spec.schedule not in SCHEDULES:
        raise one_of("config.optimizer.schedule", spec.schedule, SCHEDULES)
    parameters = inspect.signature(getattr(optax, spec.name)).parameters
    allowed = [p for p in parameters if p not in ("learning_rate", "weight_decay")]
    for option in spec.options:
        if option not in allowed:
            raise UserError(
                f"config.optimizer.options.{option} is not an argument of "
                f"optax.{spec.name}, which takes {', '.join(allowed) or 'none'}."
                f"{nearest(option, allowed)} Without any: "
                "--config.optimizer.options={}."
            )
    try:
        json.dumps(spec.options)
    except TypeError:
        raise UserError(
            f"config.optimizer.options={spec.options} cannot be written as JSON; "
            "options are numbers, truth values, text and lists of them."
        ) from None
    try:
        transform: Any = make(spec, 1.0, 0.0, 1)
        params = {"kernel": jnp.zeros((2, 2))}
        # Some need more than gradients to update: the value of the loss, for one.
        jax.eval_shape(lambda p: transform.update(p, transform.init(p), p), params)
    except Exception as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(
            f"optax.{spec.name} cannot be built with {spec.options}: {first}"
        ) from None
