"""A map against what networks would take on a machine: time, energy, and their fronts.

The layers of every trial are in its record, and where its weights are in `results/`, if
it was kept; otherwise they count as if they were anywhere.
"""

import csv
import html
import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from sparse_search import records, results
from sparse_search.analysis import pareto
from sparse_search.analysis.pareto import Point
from sparse_search.analysis.table import read_trials
from sparse_search.costs import hardware
from sparse_search.costs.layers import Layer
from sparse_search.errors import UserError
from sparse_search.report import pareto_plot
from sparse_search.report.figure_sections import members_table
from sparse_search.report.page import Section, downloads, picture
from sparse_search.report.scales import Scale
from sparse_search.report.workdir import Workdir

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_QUANTITIES = {
    "inference_seconds": ("inference", "s"),
    "training_step_seconds": ("a training step", "s"),
    "inference_joules": ("inference", "J"),
    "training_step_joules": ("a training step", "J"),
}
_PREFIXES = (("n", 1e-9), ("µ", 1e-6), ("m", 1e-3), ("", 1.0))


class Modelled(NamedTuple):
    """A workdir on a machine.

    Attributes:
        machine: the model.
        examples: in a batch.
        activations: the part of inputs that are not zero, but for the first layer's.
        rows: the trials with layers, and the quantities of `_QUANTITIES` in seconds
            and joules.
        fronts: the points of every front, costs in the units of `words`.
        units: of every quantity, its size in seconds or joules.
        words: for every quantity, with its unit.
        placed: of how many trials it is known where the weights are.
    """

    machine: hardware.Hardware
    examples: int
    activations: float
    rows: list[records.Record]
    fronts: dict[str, list[Point]]
    units: dict[str, float]
    words: dict[str, str]
    placed: int

    @property
    def file(self) -> str:
        """The name of its figure, without the suffix."""
        return f"hardware_{self.machine.name.replace(':', '_').replace('/', '_')}"


def modelled(
    run: Workdir, name: str, metric: str, activations: float = 1.0
) -> Modelled:
    """Model all trials of a workdir.

    Args:
        run: a search or a single run.
        name: of a machine; see `costs.hardware.named`.
        metric: "accuracy" or "loss".
        activations: the part of every layer's inputs that are not zero, but for the
            first layer, whose inputs are the data.

    Raises:
        UserError: there is no such machine, or no record tells a trial's layers.
    """
    machine = hardware.named(name)
    if not 0 < activations <= 1:
        raise UserError(
            f"--activations={activations} is no part of the activations: it lies above "
            "0 and is at most 1."
        )
    if not any(row.get("layers") for row in run.trials):
        raise UserError(
            f"{run.path} does not tell the layers of its trials, which --hardware "
            "needs: it was written by an older version. Search again in a new workdir."
        )
    config = records.read_config(run.path)["config"]
    examples = int(config["batch_size"])
    rows, placed = [], 0
    for row in run.trials:
        found, masks = _costs(run, row, machine, examples, activations)
        placed += masks
        rows.append({**row, **found})
    units, words = {}, {}
    for quantity, (what, unit) in _QUANTITIES.items():
        values = [row[quantity] for row in rows if row[quantity]]
        if values:
            prefix, size = _prefix(values)
            units[quantity] = size
            words[quantity] = f"{what} on {machine.name}, {prefix}{unit}"
    scaled = [
        {**row, **{q: row[q] and row[q] / size for q, size in units.items()}}
        for row in rows
    ]
    fronts = {}
    if run.command != "train":
        trials = read_trials(scaled, metric, list(units))
        fronts = pareto.fronts(scaled, trials, units)
    rows = [row for row in rows if row["inference_seconds"]]
    return Modelled(machine, examples, activations, rows, fronts, units, words, placed)


def _costs(
    run: Workdir,
    row: records.Record,
    machine: hardware.Hardware,
    examples: int,
    activations: float,
) -> tuple[dict[str, float | None], bool]:
    """The quantities of a trial, and whether it is known where its weights are."""
    if not row.get("layers"):  # it failed
        return dict.fromkeys(_QUANTITIES), False
    layers = [_layer(fields) for fields in row["layers"]]
    file = results.file(run.path, row["trial"])
    masks: dict[str, Any] = {}
    sparse = [layer.name for layer in layers if layer.sparse]
    if sparse and file.is_file():
        result = results.load(file)
        masks = {name: results.stored(result, name) for name in sparse}
    parts = {layer.name: activations for layer in layers[1:]}
    found = {}
    for what, model in (
        ("inference", hardware.inference),
        ("training_step", hardware.training_step),
    ):
        costs = model(machine, layers, examples, activations=parts, masks=masks)
        whole = hardware.total(list(costs.values()))
        found[f"{what}_seconds"], found[f"{what}_joules"] = whole
    return found, bool(masks) or not sparse


def _layer(fields: Mapping[str, Any]) -> Layer:
    layer = Layer(**{**fields, "shape": tuple(fields["shape"])})
    # A machine need not store the places of weights that are all there.
    return layer._replace(sparse=layer.sparse and layer.nnz < layer.size)


def _prefix(values: Sequence[float]) -> tuple[str, float]:
    """The unit in which the middle one of some values has at most three digits."""
    middle = sorted(values)[len(values) // 2]
    fitting = [prefix for prefix in _PREFIXES if middle >= prefix[1]]
    return (fitting or _PREFIXES[:1])[-1]


def draw(one: Modelled, task: str, scale: Scale) -> "Figure":
    """A panel a quantity; see `pareto_plot.draw_pareto`."""
    return pareto_plot.draw_pareto(one.fronts, task, scale, one.words)


def sentences(one: Modelled) -> list[str]:
    """What the fronts say, or a single run takes."""
    name = one.machine.name
    if not one.fronts:
        return [
            f"{row['trial']}, modelled for {one.examples} examples: "
            + "; ".join(
                f"{one.words[q]}: {row[q] / size:.3g}" for q, size in one.units.items()
            )
            + "."
            for row in one.rows
        ]
    parts = []
    for quantity, points in one.fronts.items():
        members = [point for point in points if point.member]
        sparse = sum(not point.dense for point in members)
        if quantity.endswith("seconds") and members:
            what = _QUANTITIES[quantity][0]
            parts.append(f"{sparse} of the {len(members)} networks for {what}")
    if not parts:
        return []
    return [
        f"On the front of the metric against time on {name}, as modelled, large-sparse "
        f"are {' and '.join(parts)}."
    ]


def section(one: Modelled, image: bytes, scale: Scale, chosen_on: str) -> Section:
    """The figure with what the model is, and the members of the fronts as a table."""
    lost = len(one.rows) - one.placed
    unknown = (
        f"Of {lost:,} of {len(one.rows):,} trials it is not known where the weights "
        "are, which count as if they were anywhere. "
        if lost
        else ""
    )
    caption = (
        f"Test {scale.metric} against what {one.examples} examples would take. "
        f"{html.escape(one.machine.about)}. A bound that a real machine stays behind; "
        "see <code>sparse_search/costs/hardware</code> for sources and what is left "
        f"out. {unknown}Of all layers but the first, "
        f"{100 * one.activations:.3g} % of the inputs count as not zero "
        "(<code>--activations</code>). Large points, joined, are the front, "
        f"chosen on {chosen_on}, as in the fronts above. {scale.spacing} "
    )
    body = picture(
        image, f"on {one.machine.name}", caption + downloads(one.file, "csv")
    )
    table = members_table(one.fronts, scale, one.words)
    return Section(f"Time and energy on {one.machine.name}", body + table)


def to_csv(one: Modelled) -> bytes:
    """All points, in seconds and joules; a missing number is an empty cell."""
    points: dict[tuple[str, str, int], dict[str, Any]] = {}
    for quantity, found in one.fronts.items():
        for p in found:
            row = points.setdefault((p.structure, p.name, p.nnz), {"point": p})
            row[quantity] = p.cost * one.units[quantity]
            row[f"{quantity}_front"] = int(p.member)
    quantities = [name for q in one.fronts for name in (q, f"{q}_front")]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("structure", "point", "nnz", "mean", "seeds", *quantities))
    for (structure, name, nnz), row in sorted(points.items()):
        p = row["point"]
        found = [row.get(quantity, "") for quantity in quantities]
        values = [f"{x:.9g}" if isinstance(x, float) else x for x in found]
        writer.writerow([structure, name, nnz, repr(p.mean), p.seeds, *values])
    return text.getvalue().encode()
