"""The state of algorithms that begin dense and end with given counts."""

from typing import NamedTuple

from sparse_search.types import Array, Counts, Int, Masks


class DenseState(NamedTuple):
    """Masks, time, and what training shall end with.

    Attributes:
        masks: the entries that may be stored.
        step: how many gradients it has seen, those of rewires included.
        counts: the nnz of every sparse layer at the end.
    """

    masks: Masks
    step: Int[Array, ""]
    counts: Counts
