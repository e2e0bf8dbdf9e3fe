"""How many of the largest scores of a whole network lie in every layer.

Selection over all layers at once is a selection in every layer, once it is known how
many of the chosen entries are its own. That needs counts only, so no scores are moved
between layers.

Scores of different layers are compared as they are ("global"), or as LAMP scores (Lee
et al. 2021, "Layer-adaptive sparsity for the magnitude-based pruning",
arXiv:2010.07611, equation 3): of the entries u of a layer,

    LAMP(u) = w_u² / Σ w_v² over all v of the layer with |w_v| ≥ |w_u|

where equal magnitudes are put in some order, as in the paper.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from sparse_search.masks import counting, topk
from sparse_search.masks.redistribute import divide
from sparse_search.types import Array, Bool, Float, Int


def shares(
    scores: Sequence[Float[Array, "..."]],
    where: Sequence[Bool[Array, "..."]],
    total: Int[Array, ""],
) -> list[Int[Array, ""]]:
    """The number of the `total` largest scores that every layer has.

    Equal scores at the threshold are divided in proportion to how many each layer has.

    Args:
        scores: of every layer; NaN counts as lower than everything.
        where: the candidates of every layer.
        total: how many are chosen in all; all candidates if they are fewer.

    Returns:
        Counts that sum to min(total, number of candidates).
    """
    words = [
        jnp.where(mask, topk.sortable(score.astype(jnp.float32)).values, 0)
        for score, mask in zip(scores, where, strict=True)
    ]
    numbers = jnp.stack([counting.count(mask) for mask in where])
    total = jnp.minimum(total, jnp.sum(numbers))

    def reached(least: Array) -> Array:
        return jnp.stack([counting.at_least(word, least) for word in words])

    def one(number: Array, least: Array) -> Array:
        tried = least | (np.uint32(1) << (31 - number).astype(jnp.uint32))
        return jnp.where(jnp.sum(reached(tried)) >= total, tried, least)

    least = jax.lax.fori_loop(0, 32, one, jnp.uint32(0))
    # All candidates reach the lowest word, those that are not numbers too.
    equal_or_above = jnp.where(least == 0, numbers, reached(least))
    highest = least == np.uint32(2**32 - 1)
    above = jnp.where(highest, 0, reached(jnp.where(highest, least, least + 1)))
    equal = equal_or_above - above
    more = divide(total - jnp.sum(above), equal.astype(jnp.float32), equal)
    return list(above + more)


def lamp(
    magnitudes: Float[Array, "*s"], where: Bool[Array, "*s"]
) -> Float[Array, "*s"]:
    """The LAMP scores of a layer; those that are not candidates count as 0."""
    squares = jnp.where(where, magnitudes.astype(jnp.float32) ** 2, 0).ravel()
    order = jnp.argsort(-squares)
    larger = jnp.cumsum(squares[order])
    scores = squares[order] / jnp.maximum(larger, jnp.finfo(jnp.float32).tiny)
    return jnp.zeros_like(squares).at[order].set(scores).reshape(where.shape)
