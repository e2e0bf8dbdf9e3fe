"""Transformers: for images (ViT), and for text (a decoder as GPT-2's)."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from sparse_search.models.images import with_channels
from sparse_search.sparse.layers import Dense
from sparse_search.types import Array, Float, Int

_HEAD = 64  # neurons of a head, as in all of the papers' sizes
_NORMAL = nn.initializers.normal(0.02)


def _heads(width: int) -> int:
    """Heads of about 64 neurons each, as many as divide the width."""
    return next(n for n in range(max(1, round(width / _HEAD)), 0, -1) if width % n == 0)


class Attention(nn.Module):
    """Vaswani et al. 2017 (arXiv:1706.03762), section 3.2.2.

    Its four projections are `Dense` layers, as sparse as any.

    Attributes:
        causal: whether a position sees itself and those before only.
    """

    causal: bool

    @nn.compact
    def __call__(self, x: Float[Array, "batch n width"]) -> Float[Array, "..."]:
        """What every position takes from the others: [batch, n, width]."""
        width = x.shape[-1]
        heads = (*x.shape[:-1], _heads(width), -1)
        key, query, value = (
            Dense(width, name=name)(x).reshape(heads)
            for name in ("key", "query", "value")
        )
        seen = jax.nn.dot_product_attention(query, key, value, is_causal=self.causal)
        return Dense(width, name="values_out")(seen.reshape(x.shape))


class TransformerBlock(nn.Module):
    """Attention and a perceptron of four times the width, each normalised before.

    Attributes:
        causal: see `Attention`.
        dropout: of what either adds.
    """

    causal: bool
    dropout: float

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch n width"], train: bool
    ) -> Float[Array, "batch n width"]:
        """The positions with what attention and the perceptron add."""
        drop = nn.Dropout(self.dropout, deterministic=not train)
        x = x + drop(Attention(self.causal)(nn.LayerNorm()(x)))
        y = nn.gelu(Dense(4 * x.shape[-1])(nn.LayerNorm()(x)))
        return x + drop(Dense(x.shape[-1])(y))


class ViT(nn.Module):
    """Dosovitskiy et al. 2021 (arXiv:2010.11929), with a class token.

    Attributes:
        width: of a token; 192 is ViT-Ti, 384 ViT-S, 768 ViT-B.
        depth: blocks.
        classes: the width of the output.
        patch: pixels of a patch's side; 0 takes 16 for images of 128 pixels or more, 4
            from 16 on, else 2.
        dropout: see `TransformerBlock`.
    """

    width: int
    depth: int
    classes: int
    patch: int = 0
    dropout: float = 0.0

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch ..."], *, train: bool = False
    ) -> Float[Array, "batch classes"]:
        """Logits of a batch of images."""
        x = with_channels(x)
        batch, rows, columns, _ = x.shape
        side = self.patch or (16 if rows >= 128 else 4 if rows >= 16 else 2)
        if rows % side or columns % side:
            raise ValueError(
                f"images of {rows}×{columns} pixels cannot be cut into patches of "
                f"{side}×{side}: set model.options.patch to a divisor."
            )
        x = x.reshape(batch, rows // side, side, columns // side, side, -1)
        x = x.swapaxes(2, 3).reshape(batch, rows * columns // side**2, -1)
        x = Dense(self.width, name="Patches")(x)
        first = self.param("class_embedding", nn.initializers.zeros, (1, 1, self.width))
        x = jnp.concatenate([jnp.broadcast_to(first, (batch, 1, self.width)), x], 1)
        x = x + self.param("position_embedding", _NORMAL, (1, *x.shape[1:]))
        for _ in range(self.depth):
            x = TransformerBlock(False, self.dropout)(x, train)
        return Dense(self.classes, name="head")(nn.LayerNorm()(x[:, 0]))


def vit(
    width: int, depth: int, classes: int, *, patch: int = 0, dropout: float = 0.0
) -> ViT:
    """Width 192, 384 or 768 and depth 12 give ViT-Ti, ViT-S and ViT-B."""
    return ViT(width, depth, classes, patch, dropout)


class GPT(nn.Module):
    """A decoder as GPT-2 (Radford et al. 2019); the output uses the embedding again.

    Attributes:
        width: of a token.
        depth: blocks.
        classes: different tokens.
        dropout: see `TransformerBlock`.
    """

    width: int
    depth: int
    classes: int
    dropout: float = 0.0

    @nn.compact
    def __call__(
        self, tokens: Int[Array, "batch n"], *, train: bool = False
    ) -> Float[Array, "batch n classes"]:
        """Logits of the token that follows each position."""
        check_tokens("gpt", tokens)
        embedding = nn.Embed(self.classes, self.width, embedding_init=_NORMAL)
        x = embedding(tokens)
        x = x + self.param("position_embedding", _NORMAL, x.shape[1:])
        x = nn.Dropout(self.dropout, deterministic=not train)(x)
        for _ in range(self.depth):
            x = TransformerBlock(True, self.dropout)(x, train)
        return embedding.attend(nn.LayerNorm()(x))


def gpt(width: int, depth: int, classes: int, *, dropout: float = 0.0) -> GPT:
    """Width 768 and depth 12 give GPT-2 small, but for its vocabulary."""
    return GPT(width, depth, classes, dropout)


def check_tokens(name: str, tokens: Array) -> None:
    """Raise a `ValueError` for what is no text."""
    if tokens.ndim != 2 or not jnp.issubdtype(tokens.dtype, jnp.integer):
        raise ValueError(
            f"{name} takes tokens [positions], as of a text, not examples of shape "
            f"{list(tokens.shape[1:])}."
        )
