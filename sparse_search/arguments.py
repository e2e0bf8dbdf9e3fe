"""What the command line takes: its commands, their arguments, and overrides."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sparse_search import __version__
from sparse_search.errors import UserError

COMMANDS = {
    "train": "train one network; the same command again resumes it",
    "search": "train a population and draw the region map; again continues it",
    "report": "rebuild tables, plots and page from the journals",
    "compare": "curves of several workdirs in one table, plot and page",
    "scaling": "fit scaling laws of nnz, sparsity and data to a table of losses",
    "cost": "weights, FLOPs and bytes of a network, without training it",
    "status": "what is done, running and failed, and how long the rest will take",
    "export": "a trained network as files that other programs read",
    "calibrate": "measure this CPU for the model of its speed",
}


class _Parser(argparse.ArgumentParser):
    """An argument parser whose errors are ours."""

    def error(self, message: str) -> None:  # type: ignore[override]
        raise UserError(f"{message}. See sparse-search --help.")


def parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    top = _Parser(
        prog="sparse-search",
        description="Sparse architecture search: train populations of sparse networks "
        "and map where accuracy is decided by the number of weights and where by "
        "their structure.",
    )
    top.add_argument("--version", action="version", version=__version__)
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    add = {
        name: commands.add_parser(name, help=text, description=text.capitalize() + ".")
        for name, text in COMMANDS.items()
    }
    for name in ("train", "search"):
        command = add[name]
        command.add_argument(
            "--config", metavar="FILE[:ARG]", help="a Python file with get_config()"
        )
        command.add_argument(
            "--workdir", metavar="DIR", type=Path, required=True, help="where all goes"
        )
        command.add_argument("--quiet", action="store_true", help="no progress")
        command.epilog = (
            "Any field of the config is set by --config.FIELD=VALUE, as in "
            "--config.sparsity.density=0.05."
        )
    add["train"].add_argument(
        "--from", dest="source", metavar="DIR:TRIAL", help="repeat a search's trial"
    )
    add["train"].add_argument(
        "--distributed",
        metavar="HOST:PORT,NUMBER,INDEX",
        nargs="?",
        const="",
        help="be one of several processes that train the network together",
    )
    add["search"].add_argument(
        "--dry-run", action="store_true", help="print what would be trained, and stop"
    )
    folder: dict[str, Any] = {"metavar": "DIR", "type": Path}
    add["status"].add_argument("workdir", help="a workdir", **folder)
    add["report"].add_argument("workdir", help="a workdir", nargs="?", **folder)
    add["report"].add_argument(
        "--from-csv",
        metavar="FILE",
        type=Path,
        help="somebody else's table instead: nnz, structure, seed and a metric",
    )
    for name in ("report", "compare"):
        add[name].add_argument(
            "--metric", default="", help="accuracy, loss or error; default: accuracy"
        )
    add["status"].add_argument(
        "--skipped", action="store_true", help="what a search leaves out, and why"
    )
    add["report"].add_argument("--out", help="default: DIR/report", **folder)
    add["report"].add_argument(
        "--hardware",
        metavar="NAME",
        action="append",
        default=[],
        help="model time and energy on a machine: a100, h100, a100-2:4, a100-block32, "
        "cpu, cambricon-x, cnvlutin, eie, scnn, …; may be repeated",
    )
    add["report"].add_argument(
        "--activations",
        metavar="PART",
        type=float,
        default=1.0,
        help="for --hardware: the part of a layer's inputs that are not zero",
    )
    add["compare"].add_argument(
        "workdirs", help="workdirs, or tables as CSV files", nargs="+", **folder
    )
    add["compare"].add_argument("--out", help="for the page", required=True, **folder)
    add["scaling"].add_argument(
        "table", metavar="FILE|DIR", type=Path, help="a CSV file, or a workdir"
    )
    add["scaling"].add_argument(
        "--out", help="for the results", required=True, **folder
    )
    add["scaling"].add_argument(
        "--columns",
        metavar="OURS=THEIRS,…",
        action="append",
        default=[],
        help="what columns hold, where their names do not say it: nnz or size (all "
        "entries), sparsity or density, data (steps, tokens), loss",
    )
    add["scaling"].add_argument(
        "--only",
        metavar="COLUMN=VALUE,…",
        action="append",
        default=[],
        help="use only the rows with these values; may be repeated",
    )
    add["export"].add_argument(
        "source", metavar="DIR[:TRIAL]", help="a workdir, and one of its trials"
    )
    add["export"].add_argument(
        "--format",
        required=True,
        help="npz, safetensors, safetensors-2:4 or statistics",
    )
    for name, text in (
        ("export", "a folder for npz, else a file; CSV or JSON for statistics"),
        ("calibrate", "a JSON file, for report --hardware=FILE"),
    ):
        add[name].add_argument(
            "--out", help=text, metavar="PATH", type=Path, required=True
        )
    _add_cost(add["cost"])
    return top


def _add_cost(command: argparse.ArgumentParser) -> None:
    command.add_argument("--model", help="a name, as in resnet50 or mobilenet_v1_0.5")
    command.add_argument(
        "--config", metavar="FILE[:ARG]", help="or a Python file with get_config()"
    )
    command.add_argument(
        "--from",
        dest="source",
        metavar="DIR:TRIAL",
        help="or a trained network: what its zero activations save",
    )
    command.add_argument(
        "--input", metavar="N,…", help="shape of an example, as in 224,224,3"
    )
    for name, text in (
        ("width", "channels of the first stage, neurons of a layer or of a token"),
        ("depth", "layers or blocks, as the model counts them"),
        ("classes", "outputs; of a text, its different tokens"),
    ):
        command.add_argument(f"--{name}", metavar="N", type=int, help=text)
    command.add_argument("--density", type=float, metavar="D", help="default: 1, dense")
    command.add_argument("--allocation", metavar="RULE", help="default: erk")
    command.add_argument("--pattern", help="default: unstructured")
    command.add_argument("--json", action="store_true", help="print JSON")
    command.epilog = (
        "With --config, fields of the config are set by --config.FIELD=VALUE, and give "
        "density, allocation and all else. FLOPs count multiplications and additions."
    )


def split_overrides(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Take `--config.x=y` and `--config.x y` out of the arguments."""
    rest, overrides = [], []
    left = list(arguments)
    while left:
        argument = left.pop(0)
        if not argument.startswith("--config."):
            rest.append(argument)
            continue
        override = argument.removeprefix("--config.")
        if "=" not in override and left and not left[0].startswith("--"):
            override += "=" + left.pop(0)
        overrides.append(override)
    return rest, overrides
