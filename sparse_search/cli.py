"""The command line: a function a command.

A user's mistake is one sentence on standard error and exit status 2, never a
traceback. SIGINT and SIGTERM save and say how to go on (exit status 130 and 143).
"""

import argparse
import os
import shlex
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from sparse_search import records
from sparse_search.arguments import COMMANDS, parser, split_overrides
from sparse_search.errors import UserError, disk_is_full, nearest

if TYPE_CHECKING:
    from sparse_search.config import Config
    from sparse_search.report import Summary

_DISK_IS_FULL = (
    "The disk is full; what was finished is kept. Free some space and run the same "
    "command again"
)


class _Stop:
    """A flag that SIGINT and SIGTERM set; a second SIGINT ends at once."""

    def __init__(self) -> None:
        self.signal: int | None = None

    def __enter__(self) -> "_Stop":
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._set)
        return self

    def __exit__(self, *error: object) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def _set(self, number: int, frame: FrameType | None) -> None:
        if self.signal is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal = number
        # Not `print`: the signal may have come in the middle of another one.
        os.write(2, "Stopping: saving what is done …\n".encode())

    def __call__(self) -> bool:
        return self.signal is not None


def _config(arguments: argparse.Namespace, overrides: Sequence[str]) -> "Config":
    from sparse_search.config_file import load_config

    if not arguments.config:
        raise UserError(
            f"{arguments.command} needs --config=FILE, a Python file with get_config()."
        )
    return load_config(arguments.config, overrides)


def _train(
    arguments: argparse.Namespace, overrides: Sequence[str], stop: _Stop
) -> None:
    from sparse_search.train import environment

    environment.prepare()
    from sparse_search.progress import RoundLines
    from sparse_search.train import processes, single

    if arguments.distributed is not None:
        processes.join(arguments.distributed)
    trial = source = None
    if arguments.source:
        folder, colon, name = arguments.source.partition(":")
        if not colon or arguments.config or overrides:
            raise UserError(
                "--from=DIR:TRIAL names a workdir of a search and one of its trials; "
                "it takes the config from there, so give neither --config nor fields."
            )
        source = Path(folder)
        config, trial = single.from_search(source, name)
    else:
        config = _config(arguments, overrides)
    lines = RoundLines(config.steps, arguments.quiet)
    record = single.train(
        config,
        arguments.workdir,
        trial=trial,
        source=source,
        should_stop=stop,
        on_round=lines,
    )
    if not processes.is_first():
        return
    for name in ("trial", "status", "nnz", "parameters", "effective_parameters"):
        print(f"{name + ':':22}{record[name]}", end="")
        less = name == "nnz" and record["status"] != "failed"
        if less and record["nnz"] != record["budget"]:
            print(f" (the nearest that {record['budget']:,} weights allow)", end="")
        print()
    for metric in ("loss", "accuracy"):
        for part in ("train", "valid", "test"):
            value = record[f"{part}_{metric}"]
            shown = "-" if value is None else f"{value:.4f}"
            print(f"{f'{part}_{metric}:':22}{shown}")
    print(f"{'seconds:':22}{record['wall_seconds']:.1f}")
    print(f"{'workdir:':22}{arguments.workdir}")


def _search(
    arguments: argparse.Namespace, overrides: Sequence[str], stop: _Stop
) -> None:
    from sparse_search.train import environment

    environment.prepare()
    from sparse_search.progress import SearchProgress, duration
    from sparse_search.search import driver
    from sparse_search.status import describe_skipped

    config = _config(arguments, overrides)
    if arguments.dry_run:
        from sparse_search.search import dry_run

        todo = driver.plan(config, arguments.workdir)
        print("\n".join(dry_run.describe(todo)))
        print("\n".join(describe_skipped(todo.population.skipped)))
        seconds = dry_run.estimate(config, todo)
        print(f"Estimate: about {duration(seconds)} (within a factor of 2 or 3).")
        return
    with SearchProgress(arguments.quiet, arguments.workdir) as watch:
        todo = driver.search(config, arguments.workdir, should_stop=stop, watch=watch)
    if skipped := todo.population.skipped:
        print("\n".join(describe_skipped(skipped, most=5)))
    from sparse_search.report import build_report

    _tell(build_report(arguments.workdir))
    failed = [
        record["reason"]
        for record in records.read_trials(arguments.workdir).values()
        if record["status"] == "failed"
    ]
    for reason in dict.fromkeys(failed):
        print(f"Failed {failed.count(reason)} times: {reason}.")
    if failed:
        print(
            f"Which they are: sparse-search status {arguments.workdir}. The same "
            "command tries them again."
        )


def _report(arguments: argparse.Namespace) -> None:
    from sparse_search.report import build_report, build_table_report

    table, workdir, out = arguments.from_csv, arguments.workdir, arguments.out
    if (table is None) == (workdir is None):
        raise UserError("report takes a workdir, or --from-csv=FILE: one of them.")
    machines = list(dict.fromkeys(arguments.hardware))
    activations = arguments.activations
    if machines and table is not None:
        raise UserError("--hardware needs a workdir: a table does not tell the layers.")
    # For machines of the user's own, in a module in the working directory.
    sys.path.append(os.getcwd())
    if activations != 1 and not machines:
        raise UserError("--activations goes with --hardware=NAME only.")
    if table is None:
        metric = arguments.metric or "accuracy"
        _tell(build_report(workdir, out, metric, machines, activations))
    elif out is None:
        raise UserError("--from-csv=FILE takes --out=DIR, the folder to write to.")
    else:
        _tell(build_table_report(table, out, arguments.metric))


def _tell(summary: "Summary") -> None:
    print("\n".join(summary.verdict))
    wrong = {
        status: number
        for status, number in summary.counts.items()
        if number and status != "done"
    }
    if wrong:
        print(
            "; ".join(
                f"{number} trial{'s' if number > 1 else ''} {status}"
                for status, number in wrong.items()
            )
            + "."
        )
    print(f"Report: {summary.page}")


def _compare(arguments: argparse.Namespace) -> None:
    from sparse_search.report import compare

    metric = arguments.metric or "accuracy"
    _tell(compare(arguments.workdirs, arguments.out, metric))


def _scaling(arguments: argparse.Namespace) -> None:
    from sparse_search.report import scaling

    columns = scaling.columns_of(arguments.columns)
    only = scaling.only_of(arguments.only)
    sentences = scaling.build_scaling(arguments.table, arguments.out, columns, only)
    print("\n".join(sentences))
    print(f"Results: {arguments.out / 'scaling.json'} and scaling.png, .svg, .pdf")


def _status(arguments: argparse.Namespace) -> None:
    from sparse_search.status import skipped, status

    print("\n".join((skipped if arguments.skipped else status)(arguments.workdir)))


def _export(arguments: argparse.Namespace) -> None:
    from sparse_search.export import export

    trial = export(arguments.source, arguments.format, arguments.out)
    print(f"Exported {trial}: {arguments.out}")


def _calibrate(arguments: argparse.Namespace) -> None:
    from sparse_search.train import environment

    environment.prepare()
    from sparse_search.costs.hardware.calibrate import calibrate

    found = calibrate(arguments.out)
    forward, backward = found.forward.multiply_add, found.backward.multiply_add
    print(
        f"{found.machine}: {found.flops / 1e9:.0f} GFLOP/s, "
        f"{found.bandwidth / 1e9:.0f} GB/s; a weight and example take "
        f"{1e12 * forward:.0f} ps forward, {1e12 * backward:.0f} ps backward."
    )
    print(f"For sparse-search report DIR --hardware={arguments.out}")


def _cost(arguments: argparse.Namespace, overrides: Sequence[str]) -> None:
    from sparse_search import costing

    ways = [arguments.model, arguments.config, arguments.source]
    if sum(way is not None for way in ways) != 1:
        raise UserError(
            "cost takes --model=NAME, --config=FILE or --from=DIR:TRIAL: one of them."
        )
    names = ("input", "width", "depth", "classes", "density", "allocation", "pattern")
    given = {k: v for k in names if (v := getattr(arguments, k)) is not None}
    if arguments.model is None and given:
        raise UserError(f"--{next(iter(given))} goes with --model=NAME only.")
    if arguments.config is None and overrides:
        raise UserError("--config.FIELD=VALUE goes with --config=FILE only.")
    if arguments.source is not None:
        folder, colon, trial = arguments.source.partition(":")
        if not colon:
            raise UserError("--from=DIR:TRIAL names a workdir and one of its trials.")
        trained = costing.of_trained(Path(folder), trial)
        text = costing.trained_lines(trained)
        print(costing.printed(trained) if arguments.json else "\n".join(text))
        return
    if arguments.model is not None:
        given["shape"] = _shape(given.pop("input", ""))
        found = costing.of_model(arguments.model, **given).to_json()
    else:
        found = costing.of_config(_config(arguments, overrides)).to_json()
    text = costing.lines(found)
    print(costing.printed(found) if arguments.json else "\n".join(text))


def _shape(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(",")) if text else ()
    except ValueError:
        raise UserError(
            f"--input={text} is not a shape, whole numbers as in 224,224,3."
        ) from None


def _go_on(stop: _Stop, arguments: Sequence[str], workdir: Path) -> int:
    number = stop.signal or signal.SIGINT
    again = shlex.join(["sparse-search", *arguments])
    print(
        f"Stopped; what is done is saved in {workdir}. To go on: {again}",
        file=sys.stderr,
    )
    return 128 + number


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    given, overrides = split_overrides(arguments)
    try:
        unknown = given[0] if given else ""
        if unknown and not unknown.startswith("-") and unknown not in COMMANDS:
            raise UserError(
                f"{unknown!r} is not a command; it is one of {', '.join(COMMANDS)}."
                f"{nearest(unknown, COMMANDS)}"
            )
        parsed = parser().parse_args(given)
        return _run(parsed, overrides, arguments)
    except UserError as error:
        print(f"sparse-search: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        print(f"sparse-search: {_os_sentence(error)}{where}.", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("sparse-search: interrupted.", file=sys.stderr)
        return 130
    except Exception as error:  # orbax has its own words for a full disk
        if not disk_is_full(error):
            raise
        print(f"sparse-search: {_DISK_IS_FULL}.", file=sys.stderr)
        return 2


def _os_sentence(error: OSError) -> str:
    if disk_is_full(error):
        return _DISK_IS_FULL
    return error.strerror or str(error)


def _run(
    parsed: argparse.Namespace, overrides: Sequence[str], arguments: Sequence[str]
) -> int:
    if parsed.command in ("train", "search"):
        commands: dict[str, Callable[..., None]] = {"train": _train, "search": _search}
        with _Stop() as stop:
            from sparse_search.train.stopped import Stopped

            try:
                commands[parsed.command](parsed, overrides, stop)
            except Stopped:
                return _go_on(stop, arguments, parsed.workdir)
        return 0
    if parsed.command == "cost":
        _cost(parsed, overrides)
        return 0
    if overrides:
        raise UserError(f"{parsed.command} takes no --config fields.")
    if parsed.command == "report":
        _report(parsed)
    elif parsed.command == "compare":
        _compare(parsed)
    elif parsed.command == "scaling":
        _scaling(parsed)
    elif parsed.command == "export":
        _export(parsed)
    elif parsed.command == "calibrate":
        _calibrate(parsed)
    else:
        _status(parsed)
    return 0


if __name__ == "__main__":
    sys.exit(main())
