"""Inputs that stay on the disk, and are read where a program indexes them.

`Streamed` stands where an array of all examples would: `inputs[rows]` reads these
examples, also inside of a jitted program, through a callback. Which rows a step sees is
a function of the seed and the step (`batches`), so there is no iterator whose state
would have to be kept: a run that is killed and resumed reads the same.

Reading is done by grain's threads, ahead of the steps of a round as far as they are
announced.
"""

import itertools
import os
from collections import deque
from collections.abc import Iterator
from typing import Any, Protocol

import jax
import jax.core
import numpy as np

from sparse_search.errors import UserError


class Source(Protocol):
    """Random access to examples, as grain's `RandomAccessDataSource`."""

    def __len__(self) -> int:
        """How many examples there are."""
        ...

    def __getitem__(self, row: int, /) -> np.ndarray:
        """One example; a `UserError` where its file is damaged."""
        ...


@jax.tree_util.register_static
class Streamed:
    """An array [n, *example] that is read by rows.

    Attributes:
        shape: of the whole.
        dtype: of its numbers.
        problem: what was wrong with an example, since a callback cannot say it.
    """

    def __init__(self, sources: tuple[Source, ...], example: tuple[int, ...]):
        """Puts sources behind each other.

        Args:
            sources: of examples of uint8.
            example: the shape of each.
        """
        self._sources = sources
        self._starts = [0, *itertools.accumulate(len(s) for s in sources)]
        self.shape = (self._starts[-1], *example)
        self.dtype = np.dtype(np.uint8)
        self.problem: UserError | None = None
        self._announced: deque[np.ndarray] = deque()
        self._ahead: Iterator[np.ndarray] = iter(())

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    def __len__(self) -> int:
        """The number of examples."""
        return self.shape[0]

    def and_then(self, other: "Streamed") -> "Streamed":
        """The examples of both."""
        return Streamed((*self._sources, *other._sources), self.shape[1:])

    def __getitem__(self, rows: Any) -> Any:
        """Examples, [*rows, *example]: an array, or a traced one in a program."""
        if not isinstance(rows, jax.core.Tracer):
            return self._read(rows)
        out = jax.ShapeDtypeStruct((*rows.shape, *self.shape[1:]), self.dtype)
        return jax.pure_callback(self._or_zeros, out, rows, vmap_method="broadcast_all")

    def announce(self, batches: np.ndarray) -> None:
        """Say which rows will be asked for next, [batches, rows each]."""
        self._announced = deque(batches)
        self._ahead = iter(self._reading(batches.ravel(), batches.shape[1]))

    def _or_zeros(self, rows: Any) -> np.ndarray:
        try:
            return self._read(rows)
        except UserError as error:
            self.problem = error
            return np.zeros((*np.shape(rows), *self.shape[1:]), self.dtype)

    def _read(self, rows: Any) -> np.ndarray:
        rows = np.asarray(rows)
        flat = rows.ravel()
        if self._announced and np.array_equal(self._announced[0], flat):
            self._announced.popleft()
            found = next(self._ahead)
        else:
            found = next(iter(self._reading(flat, len(flat))))
        return np.asarray(found).reshape(*rows.shape, *self.shape[1:])

    def _reading(self, rows: np.ndarray, together: int) -> Any:
        import grain

        options = grain.ReadOptions(
            num_threads=_cores(),
            prefetch_buffer_size=max(2 * together, 16),
        )
        examples = grain.MapDataset.source(_Rows(self, rows))
        return examples.to_iter_dataset(options).batch(together)

    def one(self, row: int) -> np.ndarray:
        """An example by its row."""
        number = int(np.searchsorted(self._starts, row, side="right")) - 1
        return self._sources[number][row - self._starts[number]]


def _cores() -> int:
    """Those of this process, which may be pinned."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class _Rows:
    """Some rows, in an order."""

    def __init__(self, inputs: Streamed, rows: np.ndarray):
        self._inputs, self._rows = inputs, rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> np.ndarray:
        return self._inputs.one(int(self._rows[index]))
