"""Which layers of a trial store nothing but their weights.

`config.representation` says "masked" (none), "compressed" (all that can) or "auto": the
layers for which a step is measured to be faster that way, on this machine. What was
chosen is part of a trial from then on: it is in the plan, and all that resumes or
repeats the trial uses it.
"""

import dataclasses
import functools
import json
import math
import statistics
import time
from collections.abc import Callable, Collection
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from sparse_search import build
from sparse_search.algorithms.compressed import reason_against
from sparse_search.config import Config, Model, Optimizer
from sparse_search.data.dataset import Dataset
from sparse_search.errors import Impossible, one_of
from sparse_search.sparse import formats, native
from sparse_search.sparse.layers import TOPOLOGY, Conv, Dense, window_of
from sparse_search.train import optimizer
from sparse_search.train.trials import SparseLayer, Trial, algorithm_of

KINDS = ("auto", "masked", "compressed")

# Above which no matrix product was ever faster, on any machine seen. Convolutions of
# few channels are slow when dense, whatever their density.
_DENSEST = 0.6
_WORTH_MEASURING = 5e10  # multiply-adds of dense trainings
_TOO_LARGE = 2**28  # entries
_ACTIVATIONS = 2**23  # of a layer's input that is measured with
_REPEATS = 7


@dataclasses.dataclass(frozen=True)
class Site:
    """A layer of a network that can be compressed, where it is.

    Attributes:
        kernel: the shape of its weights.
        given: of its input, for one example.
        options: of a convolution, what decides how long it takes; "" of others.
        layer: a module of its own.
    """

    kernel: tuple[int, ...]
    given: tuple[int, ...]
    options: str
    layer: Any = dataclasses.field(compare=False)

    @property
    def places(self) -> int:
        """How often an example has the layer's product."""
        return math.prod(self.given[:-1])


def with_rooms(trial: Trial, layers: Collection[str]) -> Trial:
    """The trial with some of its layers compressed."""
    rooms = tuple(
        (layer.name, formats.room(layer.count, layer.size))
        for layer in trial.layers
        if layer.name in layers
    )
    return dataclasses.replace(trial, rooms=rooms)


def sizes_of(trial: Trial) -> str:
    """Trials of equal sizes have the same layers that are faster compressed."""
    return dataclasses.replace(trial, rooms=tuple(_numbers(trial).items())).group


def _numbers(trial: Trial) -> dict[str, int]:
    """The rounded number of weights of every sparse layer."""
    return {one.name: formats.rounded(one.count, one.size) for one in trial.layers}


def resolve(config: Config, dataset: Dataset, trial: Trial) -> Trial:
    """The trial in its representation.

    Raises:
        Impossible: the config asks for compressed layers, and the trial can have none.
    """
    if config.representation == "compressed" and trial.method != "dense":
        return with_rooms(trial, asked_for(config, dataset, trial))
    if config.representation == "auto":
        return with_rooms(trial, faster_layers(config, dataset, trial))
    return trial


def check(config: Config) -> None:
    """Raise a `UserError` for a representation that there is not."""
    if config.representation not in KINDS:
        raise one_of("config.representation", config.representation, KINDS)


def asked_for(config: Config, dataset: Dataset, trial: Trial) -> tuple[str, ...]:
    """All layers that can be compressed.

    Raises:
        Impossible: there are none.
    """
    reason = _reason_against(config, trial)
    if reason:
        raise Impossible(
            f'config.representation="compressed": {reason}; "masked" and "auto" take '
            "it."
        )
    layers = _candidates(config, dataset, trial, densest=1.0)
    if not layers:
        raise Impossible(
            'config.representation="compressed": no layer of '
            f"{config.model.name!r} can be compressed; they are Dense or Conv of "
            "sparse_search.sparse.layers, not dense, and within a scan only with "
            "repeated=True."
        )
    return tuple(layers)


def faster_layers(
    config: Config, dataset: Dataset, trial: Trial, trainings: int = 1
) -> tuple[str, ...]:
    """The layers that are measured to be faster compressed; none in short trainings.

    Args:
        config: the experiment.
        dataset: its data.
        trial: one of its trials.
        trainings: how many there are of the same sizes.
    """
    if not native.usable() or trial.method == "dense":
        return ()
    sites = compressible(config, dataset, trial)
    places = {name: site.places for name, site in sites.items()}
    work = sum(float(one.size) * places.get(one.name, 1) for one in trial.layers)
    if work * config.batch_size * config.steps * trainings < _WORTH_MEASURING:
        return ()
    if _reason_against(config, trial):
        return ()
    numbers = _numbers(trial)
    candidates = _candidates(config, dataset, trial, densest=_DENSEST)
    return tuple(
        layer
        for layer, site in candidates.items()
        if faster(site, numbers[layer], config.batch_size)
    )


def _reason_against(config: Config, trial: Trial) -> str | None:
    if config.init_from:
        return "a network that begins with a checkpoint (config.init_from) is masked"
    reason = reason_against(algorithm_of(config, trial))
    if reason:
        return f"the method {trial.method!r} {reason}"
    if not elementwise(config):
        return (
            f"the optimizer {config.optimizer.name!r} looks at more of a weight than "
            "the weight itself"
        )
    return None


def _candidates(
    config: Config, dataset: Dataset, trial: Trial, densest: float
) -> dict[str, Site]:
    """The sparse layers that can be compressed, matrices up to a density."""
    sites = compressible(config, dataset, trial)

    def few(layer: SparseLayer) -> bool:
        site = sites[layer.name]
        # Nor is a convolution measured where it is too large.
        limited = not site.options or layer.size > _TOO_LARGE
        most = densest if limited else 1.0
        return layer.count < layer.size and layer.count <= most * layer.size

    return {
        layer.name: sites[layer.name]
        for layer in trial.layers
        if layer.name in sites and few(layer)
    }


def compressible(config: Config, dataset: Dataset, trial: Trial) -> dict[str, Site]:
    """The layers of a model that can be compressed, by the names of their kernels."""
    options = json.dumps(config.model.options, sort_keys=True)
    return _compressible(
        config.model.name,
        options,
        trial.width,
        trial.depth,
        dataset.classes,
        dataset.example,
    )


@functools.lru_cache(maxsize=512)
def _compressible(
    model: str,
    options: str,
    width: int,
    depth: int,
    classes: int,
    example: jax.ShapeDtypeStruct,
) -> dict[str, Site]:
    spec = Model(model, options=json.loads(options))
    module = build.model(spec, width, depth, classes)
    found: dict[str, Site] = {}

    def note(call: Callable[..., Any], args: Any, kwargs: Any, context: Any) -> Any:
        layer, out = context.module, call(*args, **kwargs)
        if isinstance(layer, Dense | Conv) and context.method_name == "__call__":
            name = "/".join(["params", *layer.path, "kernel"])
            given, options, channels = args[0].shape[1:], "", args[0].shape[-1]
            kernel = (channels, layer.features)
            if isinstance(layer, Conv):
                window = window_of(layer, given[:-1])
                if window is None:
                    return out
                kernel, options = (*window.size, *kernel), repr(window)
            own = layer.clone(parent=None, name=None)
            found[name] = Site(kernel, given, options, own)
        return out

    with nn.intercept_methods(note):
        jax.eval_shape(
            lambda: module.init(
                jax.random.key(0), jnp.zeros((1, *example.shape), example.dtype)
            )
        )
    return found


def elementwise(config: Config) -> bool:
    """Whether an optimizer treats the weights of a matrix like those of a vector.

    Seen from what it does: the same updates, whether the weights are in a matrix or
    follow each other in a longer vector of zeros.
    """
    return _elementwise(json.dumps(dataclasses.asdict(config.optimizer)))


@functools.cache
def _elementwise(spec: str) -> bool:
    transform: Any = optimizer.make(Optimizer(**json.loads(spec)), 0.1, 0.01, 10)
    rng = np.random.default_rng(0)
    weights, grads = rng.standard_normal((2, 4, 6)).astype(np.float32)

    def updates(place: Callable[[np.ndarray], Any]) -> Any:
        params = {"kernel": place(weights)}
        state = transform.init(params)
        for factor in (1.0, -0.5, 2.0):
            made, state = transform.update(
                {"kernel": place(grads * factor)}, state, params
            )
            params = jax.tree.map(lambda p, u: p + u, params, made)
        return np.asarray(params["kernel"])

    try:
        matrix = updates(jnp.asarray)
        vector = updates(lambda x: jnp.pad(jnp.asarray(x).ravel(), (0, 8)))
    except Exception:  # one that does not take vectors, or none of this shape
        return False
    return bool(np.allclose(matrix.ravel(), vector[: matrix.size], 1e-5, 1e-6))


@functools.cache
def faster(site: Site, nnz: int, batch: int) -> bool:
    """Whether a layer's step is faster compressed than masked, here and now.

    Its product on inputs of their real size, both gradients and a momentum update of
    either are timed in turns. A layer of which dense arrays would take gigabytes is not
    tried.
    """
    rng = np.random.default_rng(0)
    shape = formats.matrix(site.kernel)
    size = math.prod(shape)
    if size > _TOO_LARGE:
        return True
    places = rng.choice(size, nnz, replace=False, shuffle=False)
    mask = np.zeros(size, bool)
    mask[places] = True
    topology = formats.from_mask(mask.reshape(site.kernel))
    # The time of long batches is in proportion to their length.
    batch = min(batch, max(_ACTIVATIONS // math.prod(site.given), 1))
    x = jnp.asarray(rng.standard_normal((batch, *site.given)), jnp.float32)
    bias = {"bias": jnp.zeros(shape[1])} if site.layer.use_bias else {}
    values = jnp.asarray(rng.standard_normal(nnz), jnp.float32)
    weights = formats.to_dense(topology, values).reshape(site.kernel)

    def step(mask: Any) -> Callable[..., Any]:
        def loss(kernel: Any, bias: Any, x: Any) -> Any:
            variables = {"params": {"kernel": kernel, **bias}}
            if mask is None:
                variables[TOPOLOGY] = {"kernel": topology}
            return jnp.sum(site.layer.apply(variables, x) ** 2)

        def update(weights: Any, momentum: Any, bias: Any, x: Any) -> Any:
            made, *rest = jax.grad(loss, (0, 1, 2))(weights, bias, x)
            made = made if mask is None else jnp.where(mask, made, 0)
            momentum = 0.9 * momentum + made
            return weights - 1e-3 * momentum, momentum, rest

        return jax.jit(update)

    contenders = [
        (step(None), values),
        (step(jnp.asarray(mask).reshape(site.kernel)), weights),
    ]
    times: list[list[float]] = [[], []]
    for _ in range(_REPEATS + 1):
        for number, (run, weight) in enumerate(contenders):
            began = time.perf_counter()
            jax.block_until_ready(run(weight, weight, bias, x))
            times[number].append(time.perf_counter() - began)
    one, other = (statistics.median(found[1:]) for found in times)
    return one < other
