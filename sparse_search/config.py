"""Frozen specs of an experiment; all defaults live here and nowhere else.

A config file defines `get_config(arg=None)` and starts from `defaults()`:

    from sparse_search.config import defaults

    def get_config(arg=None):
        config = defaults()
        config.data.name = "digits"
        return config

`load_config("file.py:arg", ["steps=100"])` gives the frozen `Config` in a notebook;
the command line does the same with `--config=file.py:arg --config.steps=100`.
"""

import dataclasses
import hashlib
import json
import math
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from ml_collections import ConfigDict, config_dict

from sparse_search.errors import UserError, nearest

_LARGEST_SEED = 2**31 - 1


def _within(default: Any, **limits: float) -> Any:
    """A field whose value (every value of a list) has a `low`, `high` or `above`."""
    return field(default=default, metadata=limits)


@dataclass(frozen=True)
class Data:
    """What is learned.

    Attributes:
        name: digits, mnist, fashion_mnist, emnist, cifar10, cifar100, image_folder (a
            folder of images for every class, larger than the memory maybe),
            tiny_shakespeare, enwik8, text8 or text (any file), tabular (CSV or .npz) or
            teacher (a sparse network whose connections are known); or
            `package.module:factory`.
        validation: how many training examples (of a text, windows) are held out for
            validation.
        augment: what is done to the images of a training batch, in this order: crop,
            crop_reflect, flip, cutout, mixup.
        divisor: what numbers are divided by for the network, as in 255 for pixels from
            0 to 1; 0 takes their root mean square, which initialisers assume.
        center: whether the mean of every channel or feature is subtracted first; then
            a divisor of 0 takes the standard deviation.
        options: further arguments of the data set, by name, such as the context of a
            text or the file of a table.
    """

    name: str = "digits"
    validation: int = _within(287, low=1)
    augment: tuple[str, ...] = ()
    divisor: float = _within(0.0, low=0)
    center: bool = False
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Model:
    """The network that is made sparse.

    Attributes:
        name: mlp, lenet_300_100, lenet5, vgg, resnet, cifar_resnet, wrn, mobilenet_v1,
            vit, gpt, gru or lstm; or `package.module:factory`.
        width: neurons of a hidden layer, of a token, or channels of the first stage.
        depth: the number of hidden layers or blocks, or, where networks are called by
            it as ResNet-50 is, of layers.
        options: further arguments of the model, by name.
    """

    name: str = "mlp"
    width: int = _within(128, low=1)
    depth: int = _within(2, low=1)
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Sparsity:
    """Which weights exist.

    Attributes:
        method: an algorithm of `sparse_search.algorithms`, such as dense, static, set
            or rigl; or `package.module:factory`.
        density: nnz / size over all sparse layers, if nnz is not given.
        nnz: the exact number of non-zero weights; 0 takes it from the density.
        allocation: uniform, uniform_dense_first, er, erk, er^p, erk^p or
            largest_first: how they are divided among the layers; global or lamp for
            methods that compare the weights of all layers.
        layer_nnz: the exact number of some layers, by name, as in {"Dense_0": 500};
            the allocation divides the rest.
        pattern: which masks are allowed: unstructured, 2:4 (or any N:M), n:4, block4x8
            (or any size), channel or fan_in.
        rewire_every: ΔT, the gradients from one rewire to the next; a round.
        rewire_until: the part of training after which masks stay as they are.
        interval_growth: of the rounds from one rewire to the next; 1 keeps them.
        drop_fraction: the part of a layer's weights exchanged at a rewire; RigL
            lets it fall to 0 on a cosine, SET keeps it.
        drop_schedule: how it goes on: constant, cosine, linear or inverse_power; ""
            takes the method's own.
        scale_init: whether initial weights are scaled to the fan-in that a random mask
            leaves of a layer's; otherwise they stay as they are drawn for dense layers.
        options: further arguments of the method, by name.
    """

    method: str = "rigl"
    density: float = _within(0.1, above=0, high=1)
    nnz: int = _within(0, low=0)
    allocation: str = "er"
    layer_nnz: dict[str, Any] = field(default_factory=dict)
    pattern: str = "unstructured"
    rewire_every: int = _within(100, low=1)
    rewire_until: float = _within(0.75, low=0, high=1)
    interval_growth: float = _within(1.0, low=1)
    drop_fraction: float = _within(0.3, low=0, high=1)
    drop_schedule: str = ""
    scale_init: bool = True
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Optimizer:
    """How weights are updated.

    Attributes:
        name: any optimizer of optax.
        learning_rate: its peak.
        schedule: constant; linear or cosine, down to 0 at the last step; or step, which
            multiplies the rate by `step_factor` at every one of `steps_at`.
        steps_at: parts of training.
        step_factor: see `schedule`.
        warmup: the part of training over which the rate rises linearly to its peak.
        weight_decay: decoupled where the optimizer has it, else L2.
        options: further arguments of the optimizer, by name.
    """

    name: str = "sgd"
    learning_rate: float = _within(0.1, above=0)
    schedule: str = "cosine"
    steps_at: tuple[float, ...] = _within((0.5, 0.75), above=0, high=1)
    step_factor: float = _within(0.1, above=0, high=1)
    warmup: float = _within(0.05, low=0, high=1)
    weight_decay: float = _within(0.0, low=0)
    options: dict[str, Any] = field(default_factory=lambda: {"momentum": 0.9})


@dataclass(frozen=True)
class SmallDense:
    """The reference family: dense networks as small as the budgets.

    At every budget and depth it takes the width whose kernels come nearest to the
    budget, within `tolerance`. Empty lists leave the family out.

    Attributes:
        depths: the numbers of hidden layers to choose from.
        learning_rates: the peaks to choose from.
        extra_budgets: budgets beyond the sparse ones, to measure gains in doublings.
        tolerance: how far the kernels may be from the budget, as a part of it; reports
            compare what is within 5 %.
    """

    depths: tuple[int, ...] = _within((), low=1)
    learning_rates: tuple[float, ...] = _within((), above=0)
    extra_budgets: tuple[int, ...] = _within((), low=1)
    tolerance: float = _within(0.02, low=0, high=0.05)


@dataclass(frozen=True)
class Space:
    """The population of a search: every combination of these lists.

    A list that is None takes the one value of the fields above. What costs more than a
    cap is left out, small dense networks too; a cap of 0 is none.

    Attributes:
        budgets: exact numbers of non-zero weights, or
        densities: in place of budgets, parts of the network of `model.width` and
            `model.depth`; the numbers of weights that follow are those of all networks.
        widths: of large networks.
        depths: of large networks.
        allocations: see `Sparsity`.
        patterns: see `Sparsity`.
        methods: see `Sparsity`.
        learning_rates: the best on validation is taken at every point.
        seeds: a seed shares data split and data order across all structures.
        small_dense: the reference family.
        max_train_flops: of a whole training, counted as `sparse-search cost` does; a
            method of your own whose number of weights changes counts as dense.
        max_inference_flops: of one example.
        max_bytes: of the parameters, masks or indices, and optimizer state of a trial;
            networks that may be compressed, where a measurement decides, as masked.
    """

    budgets: tuple[int, ...] | None = _within(None, low=1)
    densities: tuple[float, ...] | None = _within(None, above=0, high=1)
    widths: tuple[int, ...] | None = _within(None, low=1)
    depths: tuple[int, ...] | None = _within(None, low=1)
    allocations: tuple[str, ...] | None = None
    patterns: tuple[str, ...] | None = None
    methods: tuple[str, ...] | None = None
    learning_rates: tuple[float, ...] | None = _within(None, above=0)
    seeds: tuple[int, ...] | None = _within(None, low=0, high=_LARGEST_SEED)
    small_dense: SmallDense = SmallDense()
    max_train_flops: int = _within(0, low=0)
    max_inference_flops: int = _within(0, low=0)
    max_bytes: int = _within(0, low=0)


@dataclass(frozen=True)
class Strategy:
    """How a search chooses what to train of its space.

    The small dense family is the reference, and always trained; but halving and
    hyperband give up those of its learning rates that begin badly, and boundary takes
    its first seeds.

    Attributes:
        name: grid, all; random or quasi_random, some points; boundary, all points
            with few seeds, and more where the region map is undetermined; halving, all
            for a few rounds, and the best on validation to the end; hyperband,
            halvings with several first rounds; evolution, some points, the later ones
            near the best; tpe, gp, nsga2 or nsga3, some points that a sampler of
            Optuna suggests; or `package.module:factory`.
        points: how many points are trained, each with all seeds, where it is some.
        trials: how many boundary trains at most; 0 for as many as it takes.
        first_rounds: that halving trains every point for, hyperband those that it
            gives up first.
        reduction: η: of so many points halving lets one go on, for so many times the
            rounds.
        generation: points that are trained before a strategy looks at them: of every
            budget in evolution, tpe and gp, of all in nsga2 and nsga3.
        inherit: whether children in evolution begin with the weights and masks of
            their parents, as far as those fit, where a method can begin with any.
        objectives: that nsga2 and nsga3 make small: some of valid_loss, nnz,
            train_flops and bytes (of the kernels in float32).
    """

    name: str = "grid"
    points: int = _within(0, low=0)
    trials: int = _within(0, low=0)
    first_rounds: int = _within(1, low=1)
    reduction: int = _within(3, low=2)
    generation: int = _within(8, low=1)
    inherit: bool = False
    objectives: tuple[str, ...] = ("valid_loss", "nnz")


@dataclass(frozen=True)
class Config:
    """An experiment.

    Attributes:
        data: what is learned.
        data_dir: the folder of the data set's files; without one, they are downloaded
            to the user's cache.
        model: the network.
        sparsity: which weights exist.
        optimizer: how weights are updated.
        steps: gradients, those of rewires included.
        batch_size: examples a gradient.
        seed: of a single run.
        precision: float32, or bfloat16: what layers compute with; parameters, gradients
            and the loss stay float32.
        init_from: the workdir of a training, or WORKDIR:TRIAL of a search, whose final
            parameters and masks are begun with.
        representation: masked, compressed (layers store nothing but their weights), or
            auto: whichever is measured to be faster.
        lanes: how many trials are vmapped together; 0 measures it.
        devices: that train one network together, or a search's lanes; 0 takes all.
        checkpoint_every: rounds from one checkpoint to the next; 0 saves the first that
            ends half a minute after the last.
        save_results: keep the final parameters and masks of every trial.
        executor: local, processes, ray, slurm, or auto: processes on a CPU with several
            cores; or `package.module:factory`.
        workers: how many train at the same time; 0 takes one a core, or one a GPU.
        executor_options: further arguments of ray's `init` or of submitit's
            `update_parameters`, by name.
        retries: how often a trial whose training broke, or whose worker died, goes on
            from its last checkpoint before it is recorded as failed.
        patience: seconds without a round after which a worker is taken to hang (where
            a round takes long, 20 times that).
        space: the population of a search.
        strategy: what of it is trained.
    """

    data: Data = Data()
    data_dir: str = ""
    model: Model = Model()
    sparsity: Sparsity = Sparsity()
    optimizer: Optimizer = Optimizer()
    steps: int = _within(2000, low=1, high=2**31 - 1)
    batch_size: int = _within(128, low=1)
    seed: int = _within(0, low=0, high=_LARGEST_SEED)
    precision: str = "float32"
    init_from: str = ""
    representation: str = "auto"
    lanes: int = _within(0, low=0)
    devices: int = _within(1, low=0)
    checkpoint_every: int = _within(0, low=0)
    save_results: bool = True
    executor: str = "auto"
    workers: int = _within(0, low=0)
    executor_options: dict[str, Any] = field(default_factory=dict)
    retries: int = _within(2, low=0)
    patience: float = _within(1800.0, above=0)
    space: Space = Space()
    strategy: Strategy = Strategy()


# What decides which trials are run, and how they are run, watched and kept, but not
# the result of any: fields, and whole groups of fields.
_NO_RESULT = {
    "data_dir",
    "checkpoint_every",
    "save_results",
    "executor",
    "workers",
    "executor_options",
    "retries",
    "patience",
    "strategy",
    "space.max_train_flops",
    "space.max_inference_flops",
    "space.max_bytes",
}
# Lists that may grow in a workdir that already has trials.
_GROWING = {
    "space.budgets",
    "space.densities",
    "space.widths",
    "space.depths",
    "space.allocations",
    "space.patterns",
    "space.methods",
    "space.learning_rates",
    "space.seeds",
    "space.small_dense.depths",
    "space.small_dense.learning_rates",
    "space.small_dense.extra_budgets",
}


def _types(spec: type) -> dict[str, Any]:
    return typing.get_type_hints(spec)


def _to_config_dict(spec: Any) -> ConfigDict:
    """The mutable form of a spec; fields that may be None become placeholders."""
    out = ConfigDict()
    for name in _types(type(spec)):
        value = getattr(spec, name)
        if dataclasses.is_dataclass(value):
            out[name] = _to_config_dict(value)
        elif isinstance(value, dict):
            out[name] = ConfigDict(value)
        elif value is None:
            out[name] = config_dict.placeholder(tuple)
        else:
            out[name] = value
    return out


def defaults() -> ConfigDict:
    """A mutable config with every field at its default, for config files."""
    return _to_config_dict(Config())


def check_names(given: Any, spec: type = Config, where: str = "config") -> None:
    """Raise a `UserError` for the first field that the spec does not have."""
    known = _types(spec)
    for name, value in given.items():
        if name not in known:
            raise UserError(
                f"{where}.{name} is not a field; {where} has {', '.join(known)}."
                f"{nearest(name, known)}"
            )
        if dataclasses.is_dataclass(known[name]):
            if not hasattr(value, "items"):
                raise UserError(f"{where}.{name} is a group of fields, not {value!r}.")
            check_names(value, known[name], f"{where}.{name}")


def _convert(value: Any, kind: Any, where: str) -> Any:
    """Check one value against its annotation; ints may be written 1e3, floats 1."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(kind, types.UnionType):
        if value is None:
            return None
        kind = next(k for k in typing.get_args(kind) if k is not type(None))
    if typing.get_origin(kind) is tuple:
        inner = typing.get_args(kind)[0]
        if isinstance(value, str) or not hasattr(value, "__iter__"):
            raise UserError(f"{where} is a list of {inner.__name__}, not {value!r}.")
        values = tuple(_convert(item, inner, where) for item in value)
        repeated = [v for i, v in enumerate(values) if v in values[:i]]
        if repeated:
            raise UserError(f"{where} has {repeated[0]!r} twice; list each value once.")
        return values
    if typing.get_origin(kind) is dict:
        if not hasattr(value, "items"):
            raise UserError(f"{where} is a group of fields, not {value!r}.")
        return dict(value)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind is int and number and float(value).is_integer():
        return int(value)
    if kind is float and number:
        return float(value)
    if kind not in (int, float) and isinstance(value, kind):
        return value
    raise UserError(f"{where} is of type {kind.__name__}, not {value!r}.")


def _from_dict(given: Any, spec: type, where: str) -> Any:
    values = {}
    for name, kind in _types(spec).items():
        if name not in given:
            continue
        value = given[name]
        if dataclasses.is_dataclass(kind):
            values[name] = _from_dict(value, typing.cast(type, kind), f"{where}.{name}")
        else:
            values[name] = _convert(value, kind, f"{where}.{name}")
            limits = spec.__dataclass_fields__[name].metadata
            if limits and values[name] is not None:
                _check_range(values[name], limits, f"{where}.{name}")
    return spec(**values)


def _check_range(value: Any, limits: Mapping[str, float], where: str) -> None:
    for one in value if isinstance(value, tuple) else (value,):
        for words, limit, wrong in (
            ("at least", limits.get("low"), lambda x, y: x < y),
            ("at most", limits.get("high"), lambda x, y: x > y),
            ("above", limits.get("above"), lambda x, y: x <= y),
        ):
            finite = math.isfinite(one)
            if limit is not None and (not finite or wrong(one, limit)):
                raise UserError(f"{where} is {one}; it must be {words} {limit}.")


def _check_rounds(config: Config) -> None:
    every = config.sparsity.rewire_every
    if config.steps % every:
        below = config.steps - config.steps % every
        nearby = f"{below} and {below + every}" if below else str(every)
        raise UserError(
            f"config.steps={config.steps} is not a whole number of rounds of "
            f"config.sparsity.rewire_every={every} steps; nearest: {nearby}."
        )


def freeze(given: Any) -> Config:
    """Check a (possibly partial) config and freeze it, defaults filled in.

    Raises:
        UserError: a field is not known, of a wrong type, or out of range.
    """
    check_names(given)
    config = _from_dict(given, Config, "config")
    _check_rounds(config)
    return config


def to_dict(config: Config) -> dict[str, Any]:
    """The JSON form of a config."""
    return json.loads(json.dumps(dataclasses.asdict(config)))


def flatten(nested: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Dotted names to values; optimizer options too are single fields."""
    flat = {}
    for name, value in nested.items():
        if isinstance(value, dict):
            flat.update(flatten(value, f"{prefix}{name}."))
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def _is_of_result(name: str) -> bool:
    return not {name, name.partition(".")[0]} & _NO_RESULT


def fingerprint(config: dict[str, Any]) -> str:
    """A hash of what all trials of a workdir share and what changes their results."""
    fixed = {
        name: value
        for name, value in sorted(flatten(config).items())
        if _is_of_result(name) and name not in _GROWING
    }
    return hashlib.sha256(json.dumps(fixed).encode()).hexdigest()[:16]


def _with_new_fields(old: dict[str, Any], default: Any) -> dict[str, Any]:
    whole = dict(old)
    for name in _types(type(default)):
        value = getattr(default, name)
        if dataclasses.is_dataclass(value):
            whole[name] = _with_new_fields(old.get(name, {}), value)
        else:
            whole.setdefault(name, json.loads(json.dumps(value)))
    return whole


def differences(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """The fields in which a config may not continue the workdir of another one.

    Lists of budgets, structures and seeds may grow; how trials are run, watched and
    kept may change; nothing else may. A field that there was not yet had its default.
    """
    before, after = flatten(_with_new_fields(old, Config())), flatten(new)
    out = []
    for name in sorted(before.keys() | after.keys()):
        was, now = before.get(name), after.get(name)
        if was == now or not _is_of_result(name):
            continue
        if name in _GROWING and was is not None and set(was) <= set(now or ()):
            continue
        out.append(f"config.{name}: {was!r} there, {now!r} here")
    return out
