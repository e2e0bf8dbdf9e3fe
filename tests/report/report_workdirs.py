"""Writes workdirs that look like real ones, for the tests of the report.

The accuracies follow a law simple enough to know the answer: the error falls as a
power of nnz, wide layouts pay at small densities unless they are rewired, and
everything flattens near the ceiling.
"""

import json
import math
import random
from pathlib import Path
from typing import Any

from sparse_search import records

WIDTHS = (64, 128, 256, 512)
METHODS = ("static", "set", "rigl")
BUDGETS = (512, 1024, 2048, 4096, 8192)
INPUTS, CLASSES = 64, 10


def kernel_size(width: int) -> int:
    """Weights of a dense two-hidden-layer MLP on digits."""
    return INPUTS * width + width * width + width * CLASSES


def _accuracy(nnz: int, width: int, method: str, noise: float) -> float:
    error = 0.018 + 1.9 * nnz**-0.45
    squeeze = max(0.0, math.log2(width / math.sqrt(nnz) / 1.2))
    repair = {"static": 1.0, "set": 0.55, "rigl": 0.35, "dense": 0.0}[method]
    error *= 1 + 0.5 * repair * squeeze - (0.12 if method != "dense" else 0.0)
    return 1 - min(0.9, error * math.exp(noise))


def trial(
    structure: str, method: str, width: int, budget: int, nnz: int, seed: int, **more
) -> records.Record:
    """One finished trial with every column."""
    # A string seed is hashed by content, so a table never depends on the others in it.
    rng = random.Random(f"{structure}/{width}/{budget}/{seed}/{more}")
    seeds = random.Random(f"{budget}/{seed}")
    accuracy = _accuracy(nnz, width, method, rng.gauss(0, 0.03) + seeds.gauss(0, 0.03))
    point = f"{structure}-{width}-{budget}"
    record: dict[str, Any] = {
        "point": point,
        "structure": structure,
        "method": method,
        "width": width,
        "depth": 2,
        "density": nnz / kernel_size(width),
        "allocation": "erk" if method != "dense" else "dense",
        "pattern": "unstructured" if method != "dense" else "dense",
        "learning_rate": 0.001,
        "seed": seed,
        "nnz": nnz,
        "parameters": nnz + 2 * width + CLASSES,
        "effective_parameters": int(nnz * 0.97) + 2 * width + CLASSES,
        "steps": 1200,
        "train_loss": 0.6 * (1 - accuracy),
        "train_accuracy": min(1.0, accuracy + 0.015),
        "valid_loss": 3 * (1 - accuracy),
        "valid_accuracy": round(min(1.0, accuracy + rng.gauss(0, 0.003)), 5),
        "test_loss": 3.1 * (1 - accuracy),
        "test_accuracy": accuracy,
        "train_flops": 6 * nnz * 1200 * 64,
        "inference_flops": 2 * nnz,
        "stored_bytes": (4 if method == "dense" else 8) * nnz + 8 * width + 4 * CLASSES,
        "wall_seconds": 1.5 + rng.random(),
        "status": "done",
        "trial": f"{point}-s{seed}",
        "budget": budget,
        "task": "digits",
        "lanes": 3,
    }
    record.update(more)
    return record


def sparse_trials(
    widths=WIDTHS, methods=METHODS, budgets=BUDGETS, seeds=3
) -> list[records.Record]:
    """Large and sparse: width x method x budget x seed, where it fits."""
    return [
        trial(f"mlp2x{width}-erk-{method}", method, width, budget, budget, seed)
        for method in methods
        for width in widths
        for budget in budgets
        if budget < kernel_size(width)
        for seed in range(seeds)
    ]


def dense_trials(budgets=BUDGETS, seeds=3) -> list[records.Record]:
    """Small and dense, up to four times the largest budget."""
    rows = []
    for budget in (*budgets, 2 * max(budgets), 4 * max(budgets)):
        width = round((-74 + math.sqrt(74**2 + 4 * budget)) / 2)
        rows += [
            trial(
                "small_dense",
                "dense",
                width,
                budget,
                # Widths are integers, so small dense lies up to 2 % beside its budget.
                budget - budget // 80,
                seed,
                density=1.0,
            )
            for seed in range(seeds)
        ]
    return rows


def rounds_of(record: records.Record, rounds: int = 12) -> list[records.Record]:
    """Learning curves that end at the trial's own validation accuracy."""
    rows = []
    for index in range(rounds):
        share = 1 - math.exp(-3 * (index + 1) / rounds)
        accuracy = (record["valid_accuracy"] or 0.1) * share
        rows.append(
            {
                "trial": record["trial"],
                "round": index,
                "step": 100 * (index + 1),
                "train_loss": 2.3 * (1 - share),
                "train_accuracy": min(1.0, accuracy + 0.01),
                "valid_loss": 2.3 * (1.02 - share),
                "valid_accuracy": accuracy,
            }
        )
    return rows


def line(record: records.Record) -> str:
    """A record as it is in a journal."""
    return json.dumps({"schema": records.SCHEMA, **record})


def write_workdir(
    workdir: Path,
    trials: list[records.Record],
    command: str = "search",
    rounds: int = 0,
) -> Path:
    """Writes config.json and both journals."""
    workdir.mkdir(parents=True, exist_ok=True)
    task = trials[0]["task"] if trials else "digits"
    config = {
        "schema": 1,
        "fingerprint": "5eed",
        "command": command,
        "config": {"data": {"name": task}, "steps": 1200},
    }
    (workdir / "config.json").write_text(json.dumps(config))
    lines = {"trials": trials, "rounds": []}
    for record in trials:
        lines["rounds"] += rounds_of(record, rounds)
    for name, rows in lines.items():
        # One write, not one fsync a line: the larger tests have 5,000 trials.
        text = "".join(line(record) + "\n" for record in rows)
        (workdir / f"{name}.jsonl").write_text(text)
    return workdir


def realistic_trials(seeds: int = 3) -> list[records.Record]:
    """A whole digits map with one collapsed, one diverged and one failed trial."""
    rows = sparse_trials(seeds=seeds) + dense_trials(seeds=seeds)
    missing = dict.fromkeys(
        name for name in records.COLUMNS if name.endswith(("_loss", "_accuracy"))
    )
    rows[0] |= {"status": "collapsed", "test_accuracy": 0.1, "valid_accuracy": 0.1}
    rows[7] |= {**missing, "status": "diverged", "reason": "loss was NaN in round 3"}
    rows[11] |= {**missing, "status": "failed", "reason": "out of memory <8 GiB> & $x"}
    return rows
