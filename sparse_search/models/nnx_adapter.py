"""Models written in flax's `nnx`, as the linen modules that the package trains.

    def factory(width, depth, classes):
        return NNX(lambda rngs, example: MyModel(example, width, classes, rngs=rngs))

and `config.model.name = "package.module:factory"`.
"""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import nnx

from sparse_search.types import Array


class NNX(nn.Module):
    """An nnx module whose variables linen holds.

    Its parameters (`nnx.Param`) are those that are trained, named by their paths; all
    other variables, such as the means of `nnx.BatchNorm`, are statistics. Its noise,
    as of `nnx.Dropout`, follows from the key of the step, and it is told by `train()`
    and `eval()` whether it is in training.

    Attributes:
        make: `(rngs) -> nnx module`, or `(rngs, example) -> nnx module` with the shape
            of one input, for layers that need to know their number of inputs.
    """

    make: Callable[..., nnx.Module]

    @nn.compact
    def __call__(self, x: Array, *, train: bool = False) -> Array:
        """What the module returns for a batch."""
        takes = list(inspect.signature(self.make).parameters)
        given = {"example": x.shape[1:]} if "example" in takes else {}

        def made(key: Any) -> nnx.Module:
            return self.make(nnx.Rngs(key), **given)

        def begun(kind: Any, name: str, key: Any) -> Any:
            """A new module's variables of a kind, below an attribute."""
            return _nested(nnx.state(made(key), kind))[name]

        whole = nnx.eval_shape(lambda: made(jax.random.key(0)))
        graph, params, noise, others = nnx.split(whole, nnx.Param, nnx.RngState, ...)
        statistics = (nnx.Not(nnx.Any(nnx.Param, nnx.RngState)),)
        weights = {
            name: self.param(name, lambda key, name=name: begun(nnx.Param, name, key))
            for name in _nested(params)
        }
        held = {
            name: self.variable(
                "batch_stats",
                name,
                lambda name=name: begun(*statistics, name, self.make_rng("params")),
            )
            for name in _nested(others)
        }
        key = jax.random.key(0)  # of noise that is not made
        if self.has_rng("dropout"):
            key = self.make_rng("dropout")
        model: Any = nnx.merge(
            graph,
            _filled(params, weights),
            _seeded(noise, key),
            _filled(others, {name: one.value for name, one in held.items()}),
        )
        model.train() if train else model.eval()
        for _, layer in nnx.iter_modules(model):
            # By itself it would return the type of its means, which are float32.
            if isinstance(layer, nnx.BatchNorm) and x.dtype == jnp.bfloat16:
                layer.dtype = layer.dtype or x.dtype
        y = model(x)
        if held and self.is_mutable_collection("batch_stats"):
            after = _nested(nnx.state(model, *statistics))
            for name, one in held.items():
                one.value = after[name]
        return y


def _nested(state: Any) -> dict[str, Any]:
    """The values of a state as nested mappings; numbers of lists become names."""
    nested: dict[str, Any] = {}
    for path, variable in nnx.to_flat_state(state):
        *above, last = map(str, path)
        below = nested
        for name in above:
            below = below.setdefault(name, {})
        below[last] = variable.get_value()
    return nested


def _filled(state: Any, values: Mapping[str, Any]) -> Any:
    """A state with other values, from what `_nested` makes."""

    def value(path: tuple[Any, ...], variable: Any) -> Any:
        found: Any = values
        for name in path:
            found = found[str(name)]
        return variable.replace(found)

    flat = [(path, value(path, one)) for path, one in nnx.to_flat_state(state)]
    return nnx.from_flat_state(flat)


def _seeded(state: Any, key: Any) -> Any:
    """Streams of random numbers that begin at a key, each at one of its own."""
    flat = nnx.to_flat_state(state)
    keys = iter(jax.random.split(key, max(len(flat), 1)))

    def begun(variable: Any) -> Any:
        if isinstance(variable, nnx.RngKey):
            return variable.replace(next(keys))
        return variable.replace(jnp.zeros((), jnp.uint32))

    return nnx.from_flat_state([(path, begun(one)) for path, one in flat])
