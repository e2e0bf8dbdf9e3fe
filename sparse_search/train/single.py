"""One training run in a workdir of its own."""

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path

import jax

from sparse_search import build, records
from sparse_search.config import Config, freeze
from sparse_search.data.dataset import Dataset
from sparse_search.errors import UserError, nearest
from sparse_search.records import Record
from sparse_search.train import workdir as workdirs
from sparse_search.train.journals import open_journals
from sparse_search.train.run import Chunk, run_chunk
from sparse_search.train.trials import Group, Loaded, Trial, check, single_trial

_CHUNK = "single"


def load_dataset(config: Config) -> Dataset:
    """The data set of a config."""
    load = build.factory("config.data.name", config.data.name, build.DATASETS)
    return load(config.data.data_dir)


def from_search(folder: Path, trial: str) -> tuple[Config, Trial, int]:
    """The config, the trial and the number of lanes that repeat a search's trial.

    Raises:
        UserError: there is no such trial.
    """
    content = workdirs.read_config(folder)
    planned: dict[str, Record] = {
        t["name"]: {**t, "lanes": plan["lanes"]}
        for plan in records.read(folder / "plan.jsonl")
        for t in plan["trials"]
    }
    if trial not in planned:
        raise UserError(
            f"{folder} has no trial {trial!r} among its {len(planned)}."
            f"{nearest(trial, planned)}"
        )
    record = planned[trial]
    config = freeze(content["config"])
    fields = {f.name: record[f.name] for f in dataclasses.fields(Trial)}
    fields["counts"] = tuple((k, v) for k, v in fields["counts"])
    fields["sizes"] = tuple(fields["sizes"])
    same = Trial(**fields)
    config = dataclasses.replace(
        config,
        seed=same.seed,
        lanes=record["lanes"],
        model=dataclasses.replace(config.model, width=same.width, depth=same.depth),
        optimizer=dataclasses.replace(
            config.optimizer, learning_rate=same.learning_rate
        ),
        sparsity=dataclasses.replace(
            config.sparsity,
            method=same.method,
            nnz=same.nnz,
            allocation=same.allocation or config.sparsity.allocation,
        ),
    )
    return config, same, record["lanes"]


def train(
    config: Config,
    workdir: Path,
    *,
    trial: Trial | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    on_round: Callable[[Record], None] = lambda record: None,
) -> Record:
    """Train one network, or go on where an earlier call was stopped.

    Args:
        config: the experiment; its space is not looked at.
        workdir: where all is written.
        trial: a trial of a search to repeat; otherwise the config's own.
        should_stop: asked after every round.
        on_round: takes the record of every round.

    Returns:
        The trial's record.

    Raises:
        UserError: the config or the workdir cannot be used.
        Stopped: it was asked to stop; the same call goes on.
    """
    dataset = load_dataset(config)
    check(config, dataset)
    trial = trial or single_trial(config, dataset)
    with workdirs.claim(workdir, config, "train"), open_journals(workdir) as journals:
        if trial.name in journals.trials:
            return journals.trials[trial.name]
        workdirs.write_environment(workdir, [str(d) for d in jax.devices()])
        loaded = Loaded(config, dataset)
        lanes = config.lanes or 1
        chunk = Chunk(_CHUNK, (trial,), lanes)
        plan = {
            "chunk": _CHUNK,
            "group": trial.group,
            "lanes": lanes,
            "rounds": config.steps // config.sparsity.rewire_every,
            "trials": [{"name": trial.name, **dataclasses.asdict(trial)}],
        }
        if not (workdir / "plan.jsonl").exists():
            journal = records.Journal(workdir / "plan.jsonl")
            journal.append(plan)
            journal.close()
        from tensorboardX import SummaryWriter

        began = time.time()
        with SummaryWriter(str(workdir / "tb"), flush_secs=10) as board:
            told = set()

            def emit(kind: str, record: Record) -> None:
                journals.write(kind, record)
                if kind == "round" and record["round"] not in told:
                    told.add(record["round"])
                    on_round(record)
                    for name, value in record.items():
                        if isinstance(value, int | float) and name != "step":
                            board.add_scalar(
                                name, value, record["step"], walltime=began
                            )

            run_chunk(Group(config, trial, loaded), chunk, workdir, emit, should_stop)
        return journals.trials[trial.name]
