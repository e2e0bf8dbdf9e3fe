"""Recurrent language models: GRU and LSTM.

The gates of a layer share two kernels, one for its inputs and one for its own state.
The first is applied to all positions at once, since it needs no state.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from sparse_search.models.transformer import check_tokens
from sparse_search.sparse.layers import BROADCAST, Dense
from sparse_search.types import Array, Float, Int, Key


def _orthogonal(key: Key, shape: tuple[int, int], dtype: Any = jnp.float32) -> Array:
    """An orthogonal matrix for every gate, side by side."""
    width, gates = shape[0], shape[1] // shape[0]
    make = nn.initializers.orthogonal()
    each = [make(one, (width, width), dtype) for one in jax.random.split(key, gates)]
    return jnp.concatenate(each, axis=1)


def _of_state(features: int) -> Dense:
    """The product with every position's state."""
    return Dense(features, repeated=True, kernel_init=_orthogonal, name="state")


class _GRUStep(nn.Module):
    """Cho et al. 2014 (arXiv:1406.1078), the reset behind the product as in cuDNN."""

    @nn.compact
    def __call__(self, h: Array, inputs: Array) -> tuple[Array, Array]:
        width = h.shape[-1]
        state = _of_state(3 * width)(h)
        reset, update, new = jnp.split(inputs, 3, axis=-1)
        of_reset, of_update, of_new = jnp.split(state, 3, axis=-1)
        new = jnp.tanh(new + nn.sigmoid(reset + of_reset) * of_new)
        keep = nn.sigmoid(update + of_update)
        h = keep * h + (1 - keep) * new
        return h, h


class _LSTMStep(nn.Module):
    """Hochreiter and Schmidhuber 1997, with forget gates that begin open."""

    @nn.compact
    def __call__(
        self, carry: tuple[Array, Array], inputs: Array
    ) -> tuple[tuple[Array, Array], Array]:
        h, cell = carry
        width = h.shape[-1]
        state = _of_state(4 * width)(h)
        enter, forget, new, leave = jnp.split(inputs + state, 4, axis=-1)
        cell = nn.sigmoid(forget + 1) * cell + nn.sigmoid(enter) * jnp.tanh(new)
        h = nn.sigmoid(leave) * jnp.tanh(cell)
        return (h, cell), h


class Recurrent(nn.Module):
    """A layer over all positions of a text, from a state of zeros.

    Attributes:
        width: neurons.
        lstm: LSTM in place of GRU.
    """

    width: int
    lstm: bool

    @nn.compact
    def __call__(self, x: Float[Array, "batch n inputs"]) -> Array:
        """The states: [batch, n, width]."""
        step: Any = _LSTMStep if self.lstm else _GRUStep
        gates = 4 if self.lstm else 3
        inputs = Dense(gates * self.width, name="inputs")(x)
        zeros = jnp.zeros((x.shape[0], self.width), inputs.dtype)
        over_positions = nn.scan(
            step,
            variable_broadcast=BROADCAST,
            split_rngs={"params": False},
            in_axes=1,
            out_axes=1,
        )
        carry = (zeros, zeros) if self.lstm else zeros
        return over_positions(name="step")(carry, inputs)[1]


class RNN(nn.Module):
    """Recurrent layers over the tokens of a text.

    Attributes:
        width: neurons of a layer, and of a token's embedding.
        depth: layers.
        classes: different tokens.
        lstm: LSTM in place of GRU.
        dropout: behind every layer.
    """

    width: int
    depth: int
    classes: int
    lstm: bool = False
    dropout: float = 0.0

    @nn.compact
    def __call__(
        self, tokens: Int[Array, "batch n"], *, train: bool = False
    ) -> Float[Array, "batch n classes"]:
        """Logits of the token that follows each position."""
        check_tokens("lstm" if self.lstm else "gru", tokens)
        x = nn.Embed(self.classes, self.width)(tokens)
        for _ in range(self.depth):
            x = Recurrent(self.width, self.lstm)(x)
            x = nn.Dropout(self.dropout, deterministic=not train)(x)
        return Dense(self.classes, name="head")(x)


def gru(width: int, depth: int, classes: int, *, dropout: float = 0.0) -> RNN:
    """`depth` GRU layers of `width` neurons."""
    return RNN(width, depth, classes, dropout=dropout)


def lstm(width: int, depth: int, classes: int, *, dropout: float = 0.0) -> RNN:
    """`depth` LSTM layers of `width` neurons."""
    return RNN(width, depth, classes, lstm=True, dropout=dropout)
