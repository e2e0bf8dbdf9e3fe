"""Blocks: rectangles of a kernel are stored whole or not at all.

A kernel is seen as a matrix, (all axes but the last) × outputs, and cut into rectangles
from its first corner on. Where they do not divide it, those at its right, its lower
edge and in the corner are smaller; there are up to four size classes. A rewire swaps
blocks within a class only, so that the number of weights stays exactly the same. A
block is ranked by the mean of its entries' scores.

`channel` is the case of blocks as high as the matrix: whole outputs.
"""

import math
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from sparse_search.errors import UserError
from sparse_search.keys import subkey
from sparse_search.masks import counting
from sparse_search.masks.patterns import unstructured
from sparse_search.masks.patterns.base import Count, Pattern, Scores, Shape
from sparse_search.types import Array, Bool, Float, Key


class _Class(NamedTuple):
    """The blocks of one size.

    Attributes:
        rows: of the matrix that they cover: from, to.
        columns: likewise.
        height: of a block.
        width: of a block.
    """

    rows: tuple[int, int]
    columns: tuple[int, int]
    height: int
    width: int

    @property
    def grid(self) -> tuple[int, int]:
        """How many blocks below and beside each other."""
        return (
            (self.rows[1] - self.rows[0]) // self.height,
            (self.columns[1] - self.columns[0]) // self.width,
        )

    @property
    def number(self) -> int:
        """How many blocks."""
        return math.prod(self.grid)

    @property
    def size(self) -> int:
        """Entries of a block."""
        return self.height * self.width


def _classes(shape: Shape, height: int | None, width: int) -> list[_Class]:
    """Interior, right edge, lower edge, corner: those that exist, the largest first."""
    rows, columns = math.prod(shape[:-1]), shape[-1]
    height = min(height or rows, rows)
    width = min(width, columns)

    def cut(length: int, step: int) -> list[tuple[tuple[int, int], int]]:
        whole = length - length % step
        return [((0, whole), step)] + [((whole, length), length - whole)] * (
            whole < length
        )

    return [
        _Class(below, beside, high, wide)
        for below, high in cut(rows, height)
        for beside, wide in cut(columns, width)
    ]


def _divide(count: Any, classes: list[_Class], xp: Any) -> list[Any]:
    """How many blocks of every class `count` entries make, about the same part of each.

    No class has fewer blocks for a larger count, so that what is selected for a smaller
    one can be selected within it. In integers that fit 32 bits, so that a traced count
    (`xp` is jax.numpy) gives what NumPy gives.
    """
    levels = min(sum(c.number for c in classes), 2**15)

    def numbers(level: Any) -> list[Any]:
        return [
            c.number // levels * level + c.number % levels * level // levels
            for c in classes
        ]

    def total(level: Any) -> Any:
        return sum(n * c.size for n, c in zip(numbers(level), classes, strict=True))

    level = 0 * count
    for bit in reversed(range(16)):  # the highest level that the count reaches
        tried = xp.minimum(level + 2**bit, levels)
        level = xp.where(total(tried) <= count, tried, level)
    found, following = numbers(level), numbers(xp.minimum(level + 1, levels))
    more = (count - total(level)) // classes[0].size
    found[0] = xp.minimum(found[0] + more, following[0])
    return found


def block(height: int | None, width: int, name: str = "") -> Pattern:
    """Blocks of `height` × `width`; they need not divide a layer.

    Args:
        height: inputs of a block; None takes all.
        width: outputs of a block.
        name: as in a config; by default "block4x8" or so.

    Raises:
        UserError: a side is not positive.
    """
    name = name or f"block{height}x{width}"
    if (height is not None and height < 1) or width < 1:
        raise UserError(f"The sides of a block are at least 1, not {name}.")

    def select(
        key: Key, scores: Scores, count: Count, where: Bool[Array, "*s"]
    ) -> Bool[Array, "*s"]:
        classes = _classes(where.shape, height, width)
        wanted = _divide(jnp.asarray(count, jnp.int32), classes, jnp)
        found = [
            unstructured.select(
                subkey(key, number), _means(scores, c), wanted[number], _all(where, c)
            )
            for number, c in enumerate(classes)
        ]
        return _entries(found, classes, where.shape)

    def exchange(
        key: Key,
        mask: Bool[Array, "*s"],
        keep: Scores,
        kept: Count,
        grow: Scores,
        count: Count,
    ) -> Bool[Array, "*s"]:
        classes = _classes(mask.shape, height, width)
        wanted = _divide(jnp.asarray(count, jnp.int32), classes, jnp)
        share = kept / jnp.maximum(counting.count(mask), 1)
        found = []
        for number, c in enumerate(classes):
            stored = _all(mask, c)
            stays = jnp.round(share * counting.count(stored)).astype(jnp.int32)
            stays = jnp.minimum(stays, wanted[number])
            first, second = (subkey(key, 2 * number + i) for i in range(2))
            rest = unstructured.select(first, _means(keep, c), stays, stored)
            missing = wanted[number] - counting.count(rest)
            found.append(
                rest | unstructured.select(second, _means(grow, c), missing, ~rest)
            )
        return _entries(found, classes, mask.shape)

    def reach(shape: Shape, count: int) -> int:
        classes = _classes(shape, height, width)
        count = min(count, math.prod(shape))
        blocks = _divide(count, classes, np)
        found = int(sum(n * c.size for n, c in zip(blocks, classes, strict=True)))
        if not found:
            raise UserError(
                f"the pattern {name} has at least {classes[0].size:,} weights in a "
                f"layer of shape {shape}, more than {count:,}."
            )
        return found

    return Pattern(name, select, exchange, reach, entries=False)


CHANNEL = block(None, 1, "channel")


def _cut(x: Array, c: _Class) -> Array:
    """A class's part of an array, [blocks, height, blocks, width]."""
    matrix = x.reshape(-1, x.shape[-1])[slice(*c.rows), slice(*c.columns)]
    return matrix.reshape(c.grid[0], c.height, c.grid[1], c.width)


def _means(scores: Scores, c: _Class) -> Float[Array, "rows columns"] | None:
    if scores is None:
        return None
    return jnp.mean(_cut(scores, c).astype(jnp.float32), axis=(1, 3))


def _all(mask: Bool[Array, "*s"], c: _Class) -> Bool[Array, "rows columns"]:
    return jnp.all(_cut(mask, c), axis=(1, 3))


def _entries(
    found: list[Array], classes: list[_Class], shape: Shape
) -> Bool[Array, "*s"]:
    """A mask of entries from one of blocks for every class."""
    parts: dict[tuple[int, int], list[Array]] = {}
    for blocks, c in zip(found, classes, strict=True):
        spread = jnp.broadcast_to(
            blocks[:, None, :, None], (c.grid[0], c.height, c.grid[1], c.width)
        )
        height, width = np.diff(c.rows)[0], np.diff(c.columns)[0]
        parts.setdefault(c.rows, []).append(spread.reshape(int(height), int(width)))
    rows = [jnp.concatenate(beside, axis=1) for beside in parts.values()]
    return jnp.concatenate(rows, axis=0).reshape(shape)
