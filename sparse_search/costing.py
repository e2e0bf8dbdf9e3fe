"""The command `cost`: of a named model, of a config, or of a trained network."""

import functools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sparse_search.costs import architectures, tally
from sparse_search.costs.tally import Tally
from sparse_search.errors import UserError

if TYPE_CHECKING:
    from sparse_search.config import Config


def of_model(
    name: str,
    *,
    shape: Sequence[int] | None = None,
    width: int | None = None,
    depth: int | None = None,
    classes: int | None = None,
    density: float = 1.0,
    allocation: str = "erk",
    pattern: str = "unstructured",
) -> Tally:
    """What a named network costs; JAX is not needed, but for patterns.

    Args:
        name: as `costs.architectures.by_name` understands it.
        shape: of one example; what is not given is the name's own.
        width: see the models.
        depth: likewise.
        classes: outputs, or different tokens.
        density: nnz over size of the sparsified layers.
        allocation: how the weights are divided among the layers.
        pattern: which masks are allowed.

    Raises:
        UserError: a name is not known, or a number does not fit.
    """
    made = architectures.by_name(name)
    given: dict[str, Any] = {"width": width, "depth": depth, "classes": classes}
    given["shape"] = tuple(shape) if shape else None
    made = made._replace(**{k: v for k, v in given.items() if v is not None})
    if min(made.width, made.depth, made.classes, *made.shape) < 1:
        raise UserError("Width, depth, classes and input are whole numbers from 1 on.")
    reach = None
    if pattern != "unstructured":
        from sparse_search.masks import patterns

        reach = functools.partial(patterns.reach, patterns.by_name(pattern))
    network = tally.allocated(made.network(), density, allocation, reach)
    return Tally(network, tally.per_step(network), pattern)


def of_config(config: "Config") -> Tally:
    """What the network of a config costs, and its training.

    Raises:
        UserError: the config cannot be used, or its data are not there.
    """
    from sparse_search.costs.layers import with_counts
    from sparse_search.train import costs, methods, single, trials

    dataset = single.load_dataset(config)
    trials.check(config, dataset)
    trial = trials.single_trial(config, dataset)
    network = trials.network(config, dataset, trial.width, trial.depth)
    layers = with_counts(network.layers, dict(trial.counts))
    network = network._replace(layers=tuple(layers))
    # Some rewire even where the config's own method does not.
    rigl = methods.make_algorithm(_plain(config), "rigl", "unstructured")(0.0, 0)
    when = methods.schedule(config, rigl)
    own = {trial.method: config.sparsity.options}
    train = tally.per_step(network, when, own)
    if (total := costs.train_flops(config, trial)) is not None:
        samples = config.steps * config.batch_size
        train[trial.method] = tally.round_half(total, samples)
    return Tally(network, train, trial.pattern)


def _plain(config: "Config") -> "Config":
    """The config without what only its own method takes."""
    import dataclasses

    sparsity = dataclasses.replace(config.sparsity, options={}, drop_schedule="")
    return dataclasses.replace(config, sparsity=sparsity)


def of_trained(folder: Path, trial: str) -> dict[str, Any]:
    """What zero weights and zero activations save of a trained network's products.

    Raises:
        UserError: there is no such trial, or no result of it.
    """
    from sparse_search.train.activations import measured

    return measured(folder, trial)


def lines(found: Mapping[str, Any]) -> list[str]:
    """For people, of what `Tally.to_json` says."""
    wide = max(len(_short(layer["name"])) for layer in found["layers"])
    dense = found["dense_inference_flops"]
    base = found["train_flops_per_sample"]["dense"]
    top = [
        ("weights", f"{found['weights']:,} in {len(found['layers'])} layers"),
        ("nnz", f"{found['nnz']:,} ({found['density']:.4g} of what is sparsified)"),
        ("parameters", _of(found["parameters"], found["dense_parameters"])),
        ("inference FLOPs", _of(found["inference_flops"], dense)),
    ]
    if found["attention_flops"]:
        top.append(("  of attention", f"{found['attention_flops']:,}"))
    top += [(f"bytes, {name}", f"{size:,}") for name, size in found["bytes"].items()]
    top += [
        ("bytes, others", f"{found['other_bytes']:,}"),
        *((f"bytes, {k}", f"{v:,}") for k, v in found["optimizer_bytes"].items()),
        ("bytes, outputs", f"{found['activation_bytes']:,} an example"),
    ]
    text = [f"{name + ':':24}{value}" for name, value in top]
    text += [
        "",
        "Training FLOPs an example and step, and their part of dense training:",
    ]
    text += [
        f"  {name:22}{value:>20,}  {value / base:.4f}"
        for name, value in found["train_flops_per_sample"].items()
    ]
    head = f"{'layer':{wide}}  {'shape':>18} {'size':>13} {'nnz':>13} density"
    text += ["", f"{head} {'FLOPs':>16}"]
    for layer in found["layers"]:
        shape = "×".join(map(str, layer["shape"]))
        text.append(
            f"{_short(layer['name']):{wide}}  {shape:>18} {layer['size']:>13,} "
            f"{layer['nnz']:>13,} {layer['density']:7.4f} {layer['flops']:>16,}"
        )
    return text


def trained_lines(found: Mapping[str, Any]) -> list[str]:
    """For people, of what `of_trained` says."""
    rows = [*found["layers"], {"name": "all", **found["total"]}]
    wide = max(len(_short(row["name"])) for row in rows)
    text = [
        f"Multiplications of {found['examples']} test examples, of those that a dense "
        "network makes: with the weights that exist, with activations that are not "
        "zero, with both.",
        f"{'layer':{wide}} {'products':>18} {'weights':>8} {'active':>8} {'both':>8}",
    ]
    for row in rows:
        whole = max(row["products"], 1)
        parts = (row[k] / whole for k in ("weights", "activations", "both"))
        shares = " ".join(f"{part:8.4f}" for part in parts)
        text.append(f"{_short(row['name']):{wide}} {row['products']:>18,} {shares}")
    return text


def printed(found: Mapping[str, Any]) -> str:
    """The JSON of what was found."""
    return json.dumps(found, indent=1)


def _short(name: str) -> str:
    return name.removeprefix("params/").removesuffix("/kernel")


def _of(part: int, whole: int) -> str:
    return f"{part:,} of {whole:,} ({part / whole:.4f})"
