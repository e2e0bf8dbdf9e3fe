"""What a trial costs: arithmetic and memory, from its shapes and counts alone.

FLOPs are counted as `costs.flops` says. Those of a training are known ahead of time
where the method's schedule tells how many weights it has at every step, and of any
method afterwards, from the nnz of every layer in every round.
"""

import functools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence

import jax
import jax.numpy as jnp

from sparse_search.algorithms.base import SparseAlgorithm
from sparse_search.config import Config
from sparse_search.costs import flops, trajectories
from sparse_search.costs.flops import Phase, Work
from sparse_search.data.dataset import Dataset
from sparse_search.names import natural
from sparse_search.records import Record
from sparse_search.sparse import formats
from sparse_search.train import optimizer
from sparse_search.train.methods import growth, schedule
from sparse_search.train.trials import Trial, algorithm_of, parameter_shapes


def train_flops(config: Config, trial: Trial) -> int | None:
    """FLOPs of the training ahead of time; None where they cannot be known.

    That is where layers whose weights count differently share their number, where the
    nnz of a user's own method changes on the way, and of SRigL, which stores as many
    weights as its active neurons divide.
    """
    algorithm = algorithm_of(config, trial)
    phases = _phases(config, trial, algorithm)
    if phases is None or algorithm.conserves == "remainder":
        return None
    return flops.train_flops(*phases, config.batch_size)


def most_train_flops(config: Config, trial: Trial, algorithm: SparseAlgorithm) -> int:
    """FLOPs that the training takes at most.

    Where they are not known, weights that layers share count as if they were where
    they cost most, and numbers that change on the way as dense.

    Args:
        config: the experiment.
        trial: what is trained.
        algorithm: the trial's.
    """
    phases = _phases(config, trial, algorithm)
    if phases is None:
        work, counts = _work(trial)
        shared = algorithm.conserves == "total"
        most = work.most(sum(counts)) if shared else work.sizes
        phases = work, _constant(config, algorithm, work, most)
    return flops.train_flops(*phases, config.batch_size)


def inference_flops(trial: Trial, nnz: Mapping[str, int] | None = None) -> int:
    """FLOPs of the trained network on one example.

    Args:
        trial: for the layers.
        nnz: what they ended with; otherwise what is asked for.
    """
    work, counts = _work(trial)
    if nnz is not None:
        counts = tuple(nnz[name] for name in _order(trial))
    return work.forward(counts)


def meter(
    config: Config, trials: Sequence[Trial]
) -> Callable[[Sequence[int], Sequence[Record]], list[int]]:
    """A function that adds up what trials of one group took, round by round.

    Args:
        config: the experiment.
        trials: of one group.

    Returns:
        `(FLOPs so far, the records of a round) -> FLOPs`, for every trial; without
        FLOPs so far, as of a checkpoint of before they were saved, it has none.
    """
    algorithm = algorithm_of(config, trials[0])
    when, kind = schedule(config, algorithm), growth(algorithm)
    prepared = [(*_work(trial), _order(trial)) for trial in trials]

    @functools.lru_cache(maxsize=2**12)
    def of_round(lane: int, stored: tuple[int, ...], due: bool) -> int:
        work, counts, _ = prepared[lane]
        phases = trajectories.of_round(
            trials[lane].method,
            kind,
            (work.sizes, counts, config.sparsity.options),
            stored,
            when.every,
            due,
        )
        return flops.train_flops(work, phases, config.batch_size)

    def add(spent: Sequence[int], records: Sequence[Record]) -> list[int]:
        after = []
        for lane, (before, record) in enumerate(zip(spent, records, strict=False)):
            _, counts, order = prepared[lane]
            stored = counts
            if trials[lane].method != "dense":
                found = [record["layers"][name] for name in order]
                # What the round's gradients were taken with: its rewire came last.
                stored = tuple(k["nnz"] - k["grown"] + k["dropped"] for k in found)
            due = when.due[record["round"] - 1]
            after.append(before + of_round(lane, stored, due))
        return after

    return add


def recorded_train_flops(config: Config, trial: Trial, rounds: Iterable[Record]) -> int:
    """FLOPs of a training from the records of its rounds in `rounds.jsonl`.

    Args:
        config: the experiment.
        trial: what was trained.
        rounds: its records, in any order.
    """
    add, spent = meter(config, [trial]), [0]
    for record in rounds:
        spent = add(spent, [record])
    return spent[0]


def _order(trial: Trial) -> list[str]:
    """The sparse layers in forward order."""
    return sorted((name for name, _ in trial.counts), key=natural)


def _work(trial: Trial) -> tuple[Work, tuple[int, ...]]:
    """What counts of a trial's network, and its nnz; layers in forward order."""
    uses = trial.uses or (1,) * len(trial.sizes)
    of_layers = zip(trial.sizes, uses, strict=True)
    found = dict(zip((name for name, _ in trial.counts), of_layers, strict=True))
    order, counts = _order(trial), dict(trial.counts)
    sizes, uses = zip(*(found[name] for name in order), strict=True)
    work = Work(sizes, uses, trial.base_flops)
    return work, tuple(counts[name] for name in order)


def _phases(
    config: Config, trial: Trial, algorithm: SparseAlgorithm
) -> tuple[Work, list[Phase]] | None:
    """The steps of a training and what counts of the network; None: not known."""
    work, counts = _work(trial)
    shared = algorithm.conserves in ("total", "total_end") or trial.scope != "layer"
    if shared and len(set(work.uses)) > 1:
        return None
    if trial.method not in trajectories.STORED:
        if algorithm.conserves not in ("layer", "total", "remainder"):
            return None
        return work, _constant(config, algorithm, work, counts)
    if shared and trial.method == "lottery":
        # It rounds once, over all layers.
        counts = (sum(counts),)
        work = Work((sum(work.sizes),), work.uses[:1], work.base)
    phases = trajectories.phases(
        trial.method,
        growth(algorithm),
        work.sizes,
        counts,
        schedule(config, algorithm),
        config.sparsity.options,
    )
    return None if phases is None else (work, phases)


def _constant(
    config: Config, algorithm: SparseAlgorithm, work: Work, counts: tuple[int, ...]
) -> list[Phase]:
    """All steps with the same numbers of weights."""
    when, kind = schedule(config, algorithm), growth(algorithm)
    steps = when.every * len(when.due)
    dense = {"gradient": sum(when.due), "momentum": steps}.get(kind, 0)
    return [Phase(steps - dense, counts, counts), Phase(dense, counts, work.sizes)]


def state_bytes(config: Config, dataset: Dataset, trial: Trial) -> int:
    """Bytes that a training carries from step to step, exact but for some scalars.

    These are parameters (float32), masks (a byte an entry) or, of compressed layers,
    indices, and the optimizer's state of all parameters that are stored. What a method
    keeps besides (SNFS a mean gradient, lottery tickets their first weights) and what
    metrics remember of masks come on top, and gradients and activations in a step.

    Args:
        config: for the model and the optimizer.
        dataset: for the shapes.
        trial: with the layers that are compressed; all others are counted as masked.
    """
    rooms = dict(trial.rooms)
    sparse = {layer.name for layer in trial.layers if trial.method != "dense"}
    topology, stored = 0, {}
    for name, shape in parameter_shapes(config, dataset, trial.width, trial.depth):
        if name in rooms:
            topology += _bytes(formats.like(shape, rooms[name]))
        elif name in sparse:
            topology += math.prod(shape)
        kept = (rooms[name],) if name in rooms else shape
        stored[name] = jax.ShapeDtypeStruct(kept, jnp.float32)
    tx = optimizer.make(config.optimizer, 1.0, 0.0, 1)
    return _bytes(stored) + topology + _bytes(jax.eval_shape(tx.init, stored))


def _bytes(tree: object) -> int:
    leaves = jax.tree.leaves(tree)
    return sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in leaves)
