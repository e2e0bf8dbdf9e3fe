"""The host loop over rounds: log, save, stop and resume.

One call trains the lanes of one chunk: some trials of one group, side by side. It
appends to the journals: a record per round as it ends, a record per trial at last.
"""

import contextlib
import dataclasses
import math
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from sparse_search import results, trees
from sparse_search.config import Config
from sparse_search.costs import storage
from sparse_search.costs.layers import Network, with_counts
from sparse_search.costs.parameters import Effective, effective
from sparse_search.names import natural
from sparse_search.records import Record, open_journal
from sparse_search.sparse import formats
from sparse_search.sparse.formats import Tiled
from sparse_search.train import costs, processes, sharding, starting_file
from sparse_search.train.checkpoint import Checkpoints, Saved
from sparse_search.train.lanes import Group
from sparse_search.train.rounds import FinalMetrics, RoundMetrics
from sparse_search.train.step import TrainState
from sparse_search.train.stopped import Stopped
from sparse_search.train.trials import Trial, algorithm_of, network, trial_from_json

_SECONDS_BETWEEN = 30.0  # checkpoints


class Chunk(NamedTuple):
    """Trials of one group that are trained side by side.

    Attributes:
        name: unique in a workdir.
        trials: at most as many as lanes; the last fills the lanes that are left.
        lanes: how many are vmapped together.
        devices: that share the lanes, or one lane.
    """

    name: str
    trials: tuple[Trial, ...]
    lanes: int
    devices: int = 1

    @property
    def filled(self) -> list[Trial]:
        """A trial for every lane."""
        return [*self.trials, *[self.trials[-1]] * (self.lanes - len(self.trials))]


def plan_record(config: Config, chunk: Chunk, **more: Any) -> Record:
    """What the plan says of a chunk, before its first step."""
    return {
        "chunk": chunk.name,
        "group": chunk.trials[0].group,
        "lanes": chunk.lanes,
        "devices": chunk.devices,
        "rounds": config.steps // config.sparsity.rewire_every,
        "names": [trial.name for trial in chunk.trials],
        **more,
        "trials": [dataclasses.asdict(trial) for trial in chunk.trials],
    }


def planned_chunk(record: Record) -> Chunk:
    """The chunk that `plan_record` was made of."""
    trials = tuple(trial_from_json(fields) for fields in record["trials"])
    return Chunk(record["chunk"], trials, record["lanes"], record.get("devices", 1))


def _due(config: Config, done: int, seconds: float) -> bool:
    """Whether a checkpoint comes now: so many rounds done, so long since the last."""
    if config.checkpoint_every:
        return done % config.checkpoint_every == 0
    return seconds > _SECONDS_BETWEEN


def run_chunk(
    group: Group,
    chunk: Chunk,
    workdir: Path,
    should_stop: Callable[[], bool],
    on_record: Callable[[str, Record], None] = lambda kind, record: None,
    until: int | None = None,
) -> None:
    """Train a chunk, from its newest checkpoint if there is one.

    Args:
        group: programs and data.
        chunk: what to train.
        workdir: for checkpoints and results.
        should_stop: asked after every round.
        on_record: is told ("round", record) and ("trial", record) as they happen.
        until: the rounds that it shall have been trained for; None trains to the end.

    Raises:
        Stopped: it was asked to; the state is saved.
        UserError: there are not the devices that it was planned for.
    """
    config, trials = group.config, chunk.filled
    seeds = [trial.seed for trial in trials]
    placed = sharding.placement(chunk.lanes, chunk.devices)
    programs, hyper = group.programs(placed), group.hyper(trials)
    loaded, examples = group.loaded, group.loaded.on(placed)
    folder = workdir / "checkpoints" / chunk.name
    with contextlib.ExitStack() as stack:
        files = {
            kind: stack.enter_context(open_journal(workdir / f"{kind}s.jsonl"))
            for kind in ("round", "trial")
            if processes.is_first()
        }

        def emit(kind: str, *records: Record) -> None:
            if not processes.is_first():
                return
            files[kind].append(*records)
            for record in records:
                on_record(kind, record)

        checkpoints = stack.enter_context(contextlib.closing(Checkpoints(folder)))
        names = [trial.name for trial in trials]
        found = checkpoints.restore(group.shapes(trials, placed), names)
        if found is None:
            parents = _parents(trials, workdir)
            start = starting_file.kept(workdir) if config.init_from else None
            begun = group.init(trials, placed, parents, start)
            saved = Saved(0, 0.0, names, [0] * len(chunk.trials))
            found = begun, saved
        state, saved = found
        done, before, spent = saved.rounds, saved.seconds, saved.flops
        meter = costs.meter(config, chunk.trials)
        began = kept = time.perf_counter()
        valid = placed.put(loaded.validation(seeds))
        whole = config.steps // config.sparsity.rewire_every
        until = whole if until is None else until
        while done < until:
            rows = loaded.rows(seeds, done * config.sparsity.rewire_every)
            state, metrics = programs.round(
                hyper, state, placed.put(rows), valid, examples
            )
            done += 1
            metrics = processes.fetch(metrics)
            loaded.check_read()
            emitted = _round_records(config, chunk, done, metrics)
            spent = meter(spent, emitted)
            emit("round", *emitted)
            stop = processes.any_of(should_stop())
            now = time.perf_counter()
            # After the last round the result is kept instead.
            due = done < whole and (done == until or _due(config, done, now - kept))
            if stop or processes.any_of(due):
                seconds = before + now - began
                checkpoints.save(state, Saved(done, seconds, names, spent))
                kept = now
            if stop:
                raise Stopped
        if until < whole:
            return
        part = placed.put(loaded.part(seeds))
        final = programs.evaluate(hyper, state, part, examples)
        final, trained = processes.fetch(
            (final, state.train._replace(opt_state=None, saved=None))
        )
        loaded.check_read()
        seconds = before + time.perf_counter() - began
        for lane, trial in enumerate(chunk.trials):
            result = _result(trained, lane)
            record = _trial_record(group, trial, lane, final, result)
            taken = spent[lane] if spent else costs.train_flops(config, trial)
            record["train_flops"] = taken
            record["wall_seconds"] = seconds / len(chunk.trials)
            record["lanes"], record["devices"] = chunk.lanes, chunk.devices
            record["chunk"] = chunk.name
            if config.save_results and processes.is_first():
                results.save(results.file(workdir, trial.name), result)
            emit("trial", record)
    processes.first(lambda: shutil.rmtree(folder, ignore_errors=True))


def _parents(trials: list[Trial], workdir: Path) -> dict[str, results.Result]:
    """What is inherited, by the names of the trials that inherit."""
    return {
        trial.name: results.load(results.file(workdir, parent))
        for trial in trials
        if (parent := trial.parent_name)
    }


def _number(value: Any) -> float | None:
    """A JSON number; None where it is not finite."""
    value = float(value)
    return value if math.isfinite(value) else None


def _round_records(
    config: Config, chunk: Chunk, done: int, metrics: RoundMetrics
) -> list[Record]:
    step = done * config.sparsity.rewire_every
    records = []
    for lane, trial in enumerate(chunk.trials):
        record: Record = {"trial": trial.name, "round": done, "step": step}
        found = _fields(jax.tree.map(lambda x, lane=lane: x[lane], metrics))
        topology = found.pop("topology")
        record |= found | topology
        if trial.method == "dense":
            record["nnz"] = trial.nnz
        record["density"] = record["nnz"] / sum(trial.sizes)
        records.append(record)
    return records


def _fields(metrics: Any) -> Any:
    """The JSON form of metrics: counts as integers, what is not finite as None."""
    if hasattr(metrics, "_asdict"):
        metrics = metrics._asdict()
    if isinstance(metrics, dict):
        return {name: _fields(value) for name, value in metrics.items()}
    if metrics is None or np.issubdtype(metrics.dtype, np.integer):
        return None if metrics is None else int(metrics)
    return _number(metrics)


def _result(network: TrainState, lane: int) -> results.Result:
    of_lane = jax.tree.map(lambda x: np.asarray(x[lane]), network)
    masks = trees.named_leaves(of_lane.sparse.masks)
    params = trees.named_leaves(of_lane.params)
    for name, mask in masks.items():
        if isinstance(mask, Tiled):
            matrix = formats.to_csr(mask, params[name])
            params[name] = matrix
            if mask.window:  # never large
                params[name] = matrix.toarray().reshape(mask.kernel)
                stored = results.stored(results.Result({name: matrix}, {}), name)
                masks[name] = stored.toarray().reshape(mask.kernel)
    dense = {k: m for k, m in masks.items() if isinstance(m, np.ndarray)}
    return results.Result(params, dense, trees.named_leaves(of_lane.statistics))


def chance_level(labels: np.ndarray, examples: int) -> float:
    """The highest accuracy that is not better than a constant answer.

    Args:
        labels: the share of the most frequent of them is what a constant answer gets.
        examples: that the accuracy was measured on; two standard errors are added.
            (Of a text, every example has a label for each of its positions.)
    """
    share = float(np.bincount(labels.ravel()).max() / labels.size)
    examples *= math.prod(labels.shape[1:])
    return share + 2 * math.sqrt(share * (1 - share) / examples)


def trial_fields(trial: Trial, task: str) -> Record:
    """What a record says of a trial whatever comes of it."""
    return {
        "trial": trial.name,
        "task": task,
        "budget": trial.budget,
        "point": trial.point,
        "structure": trial.structure,
        "method": trial.method,
        "width": trial.width,
        "depth": trial.depth,
        "density": trial.density,
        "allocation": trial.allocation,
        "pattern": trial.pattern,
        "learning_rate": trial.learning_rate,
        "seed": trial.seed,
        "nnz": trial.nnz,
        "parent": trial.parent_name,
    }


def _trial_record(
    group: Group,
    trial: Trial,
    lane: int,
    final: FinalMetrics,
    result: results.Result,
) -> Record:
    config, dataset = group.config, group.loaded.dataset
    metrics = {k: _number(v[lane]) for k, v in final._asdict().items()}
    status = "done"
    if any(value is None for value in metrics.values()):
        status = "diverged"
    elif float(final.valid_accuracy[lane]) <= chance_level(
        dataset.train_labels, config.data.validation
    ):
        status = "collapsed"
    layers = dict(trial.counts)
    dense = sum(v.size for k, v in result.params.items() if k not in layers)
    masks = {
        layer: results.stored(result, layer) for layer in sorted(layers, key=natural)
    }
    nnz = sum(int(mask.sum()) for mask in masks.values())
    conserves = algorithm_of(config, trial).conserves
    kept = {
        "layer": all(int(masks[k].sum()) == count for k, count in trial.counts),
        "total": nnz == trial.nnz,
        "remainder": all(
            0 <= count - int(masks[k].sum()) < masks[k].shape[-1]
            for k, count in trial.counts
        ),
        "nothing": True,
    }
    kept["end"], kept["total_end"] = kept["layer"], kept["total"]
    if not kept[conserves]:
        raise RuntimeError(
            f"{trial.method} ended with {nnz:,} weights instead of {trial.nnz:,}, or "
            f"with others in a layer, but declares conserves={conserves!r}"
        )
    shape = network(config, dataset, trial.width, trial.depth)
    useful = _effective(shape, masks)
    weights = {name: int(mask.sum()) for name, mask in masks.items()}
    return {
        **trial_fields(trial, dataset.name),
        "nnz": nnz,
        "parameters": nnz + dense,
        "effective_parameters": useful.parameters if useful else None,
        "steps": config.steps,
        **metrics,
        "train_flops": None,  # a number of the run
        "inference_flops": costs.inference_flops(trial, weights),
        # In the smallest form for each layer; all else is dense, in float32.
        "stored_bytes": storage.kernel_bytes(
            list(weights.values()),
            [math.prod(mask.shape) for mask in masks.values()],
        )
        + 4 * dense,
        "status": status,
        "representation": "compressed" if trial.rooms else "masked",
        "effective_neurons": list(useful.neurons) if useful else None,
        # What models of hardware need, for reports without JAX.
        "layers": [layer._asdict() for layer in with_counts(shape.layers, weights)],
    }


def _effective(network: Network, masks: dict[str, Any]) -> Effective | None:
    """What lies on a path from an input to an output; None where layers form no chain.

    What goes round a residual block reaches its output whatever the block's weights,
    and positions of a text reach each other: there, channels on no path say little.
    """
    layers = network.layers
    if not network.is_chain or {k.name for k in layers if k.sparse} != set(masks):
        return None
    neurons = [layer.outputs // layer.uses for layer in layers]
    windows = [len(layer.shape) > 2 for layer in layers]
    channels = sum(n for n, window in zip(neurons, windows, strict=True) if window)
    # Behind convolutions fully connected layers have biases; what is left of the
    # parameters belongs to the channels.
    left = network.others - (sum(neurons) - channels if channels else 0)
    each, rest = divmod(left, channels or sum(neurons))
    if rest or each < 0:
        return None
    return effective(
        [
            masks[layer.name] if layer.sparse else np.ones(layer.shape, bool)
            for layer in layers
        ],
        biases=[each if window or not channels else 1 for window in windows],
        groups=[
            before // layer.shape[-2] if window and before else 1
            for layer, window, before in zip(
                layers, windows, [0, *neurons], strict=False
            )
        ],
    )
