"""One training run in a workdir of its own."""

import contextlib
import dataclasses
from collections.abc import Callable
from pathlib import Path

import jax

from sparse_search import build, records, results
from sparse_search.config import Config, freeze
from sparse_search.data.dataset import Dataset
from sparse_search.errors import UserError, nearest
from sparse_search.records import Record
from sparse_search.train import (
    environment,
    processes,
    representation,
    sharding,
    starting_file,
)
from sparse_search.train import workdir as workdirs
from sparse_search.train.lanes import Group, Loaded
from sparse_search.train.run import Chunk, plan_record, planned_chunk, run_chunk
from sparse_search.train.trials import Trial, check, single_trial

_CHUNK = "single"

_TOPOLOGY = (
    "nnz",
    "density",
    "dropped",
    "grown",
    "turnover",
    "exploration",
    "effective_parameters",
    "dead_neurons",
    "gradient_norm_on",
    "gradient_norm_off",
)


def load_dataset(config: Config) -> Dataset:
    """The data set of a config."""
    return build.dataset(config.data, config.data_dir)


def from_search(folder: Path, trial: str) -> tuple[Config, Trial]:
    """The config (with its lanes and devices) and the trial that repeat a search's.

    Raises:
        UserError: there is no such trial.
    """
    content = records.read_config(folder)
    planned: dict[str, tuple[Trial, Chunk]] = {}
    for record in records.read_plan(folder).values():
        chunk = planned_chunk(record)
        planned |= {trial_.name: (trial_, chunk) for trial_ in chunk.trials}
    if trial not in planned:
        raise UserError(
            f"{folder} has no trial {trial!r} among its {len(planned)}."
            f"{nearest(trial, planned)}"
        )
    same, chunk = planned[trial]
    dense = same.method == "dense"
    config = freeze(content["config"])
    config = dataclasses.replace(
        config,
        seed=same.seed,
        lanes=chunk.lanes,
        devices=chunk.devices,
        model=dataclasses.replace(config.model, width=same.width, depth=same.depth),
        optimizer=dataclasses.replace(
            config.optimizer, learning_rate=same.learning_rate
        ),
        sparsity=dataclasses.replace(
            config.sparsity,
            method=same.method,
            nnz=same.nnz,
            allocation=same.allocation or config.sparsity.allocation,
            pattern=config.sparsity.pattern if dense else same.pattern,
        ),
    )
    return config, same


def train(
    config: Config,
    workdir: Path | str,
    *,
    trial: Trial | None = None,
    source: Path | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    on_round: Callable[[Record], None] = lambda record: None,
) -> Record:
    """Train one network, or go on where an earlier call was stopped.

    Args:
        config: the experiment; its space is not looked at.
        workdir: where all is written.
        trial: a trial of a search to repeat; otherwise the config's own.
        source: the workdir of that search, for what the trial inherits.
        should_stop: asked after every round.
        on_round: takes the record of every round.

    Returns:
        The trial's record.

    Raises:
        UserError: the config or the workdir cannot be used.
        Stopped: it was asked to stop; the same call goes on.
    """
    environment.prepare()
    workdir = Path(workdir)
    dataset = load_dataset(config)
    check(config, dataset)
    representation.check(config)
    repeated = trial is not None
    trial = trial or single_trial(config, dataset)
    lanes = config.lanes or 1
    devices = sharding.devices(config, lanes)
    with contextlib.ExitStack() as stack:

        def begin() -> None:
            start = None
            if config.init_from:
                copied = source and source / starting_file.FILE
                start = copied or starting_file.locate(config.init_from)
            stack.enter_context(workdirs.claim(workdir, config, "train", start))
            if _CHUNK in records.read_plan(workdir):
                return
            if trial.parent and source:
                inherited = results.file(source, trial.parent_name)
                results.save(
                    results.file(workdir, trial.parent_name), results.load(inherited)
                )
            of_plan = trial
            if not repeated and devices == 1:  # what a search planned stays
                of_plan = representation.resolve(config, dataset, trial)
            chunk = Chunk(_CHUNK, (of_plan,), lanes, devices)
            with records.open_journal(workdir / "plan.jsonl") as plan:
                plan.append(plan_record(config, chunk))

        processes.first(begin)
        chunk = planned_chunk(records.read_plan(workdir)[_CHUNK])
        if trial.name in records.read_finished(workdir):
            return records.read_trials(workdir)[trial.name]
        group = Group(config, chunk.trials[0], Loaded(config, dataset))
        boards = []
        if processes.is_first():
            workdirs.write_environment(workdir, [str(d) for d in jax.devices()])
            boards.append(stack.enter_context(_Board(workdir / "tb")))

        def emit(kind: str, record: Record) -> None:
            for board in boards:
                board.write(kind, record)
            if kind == "round":
                on_round(record)

        run_chunk(group, chunk, workdir, should_stop, emit)
        return records.read_trials(workdir)[trial.name]


class _Board:
    """TensorBoard's scalars of a run, a point a round."""

    def __init__(self, folder: Path):
        self._folder = folder

    def __enter__(self) -> "_Board":
        from tensorboardX import SummaryWriter

        self._writer = SummaryWriter(str(self._folder), flush_secs=10)
        return self

    def __exit__(self, *error: object) -> None:
        self._writer.close()

    def write(self, kind: str, record: Record) -> None:
        if kind == "round":
            for name in ("train", "valid"):
                for metric in ("loss", "accuracy"):
                    value = record[f"{name}_{metric}"]
                    if value is not None:
                        tag = f"{metric}/{name}"
                        self._writer.add_scalar(tag, value, record["step"])
            for name in _TOPOLOGY:
                if record[name] is not None:
                    self._writer.add_scalar(
                        f"topology/{name}", record[name], record["step"]
                    )
            for layer, values in record["layers"].items():
                for name in ("nnz", "density", "exploration", "fan_in_spread"):
                    tag = f"{name}/{layer}"
                    self._writer.add_scalar(tag, values[name], record["step"])
