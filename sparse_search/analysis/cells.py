"""One cell per structure, budget and seed, each structure at its best learning rate."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from sparse_search.analysis.table import Trials, best


@dataclass(frozen=True)
class Cells:
    """Test metrics of S structures at B budgets with K seeds, NaN where missing."""

    nnz: np.ndarray  # (B,)
    structures: list[str]
    methods: list[str]  # of each structure
    test: np.ndarray  # (S, B, K)
    collapsed: np.ndarray  # (S, B, K) bool

    def keep(self, which: Iterable[int]) -> "Cells":
        """Only some structures, and the budgets that they have."""
        index = np.array(list(which), int)
        test = self.test[index]
        used = np.isfinite(test).any(axis=(0, 2))
        return Cells(
            self.nnz[used],
            [self.structures[i] for i in index],
            [self.methods[i] for i in index],
            test[:, used],
            self.collapsed[index][:, used],
        )

    def of_method(self, method: str) -> "Cells":
        """Only the structures of one method."""
        return self.keep(i for i, name in enumerate(self.methods) if name == method)

    def without_collapsed(self) -> "Cells":
        """The same with every collapsed trial taken out."""
        test = np.where(self.collapsed, np.nan, self.test)
        return replace(self, test=test).keep(range(len(self.structures)))


def sparse_cells(trials: Trials) -> Cells:
    """One cell per structure, budget and seed: each structure's best learning rate."""
    points = trials.sparse
    names = list(dict.fromkeys(points.structures))
    methods = dict(zip(points.structures, points.methods, strict=True))
    shape = (len(names), len(trials.nnz), len(trials.seeds))
    test, collapsed = np.full(shape, np.nan), np.zeros(shape, bool)
    groups: dict[tuple[str, int], list[int]] = defaultdict(list)
    for p, name in enumerate(points.structures):
        groups[name, int(points.budget[p])].append(p)
    row = {name: s for s, name in enumerate(names)}
    for (name, b), among in groups.items():
        chosen = best(points, np.array(among))
        test[row[name], b] = points.test[chosen]
        collapsed[row[name], b] = points.collapsed[chosen]
    return Cells(trials.nnz, names, [methods[n] for n in names], test, collapsed)
