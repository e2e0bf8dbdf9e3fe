"""Zero activations of a trained trial, on examples of its test set."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sparse_search import build, results, trees
from sparse_search.costs import activations
from sparse_search.data.dataset import numbers
from sparse_search.train import single
from sparse_search.train.network import make_network

_EXAMPLES = 100


def measured(folder: Path, trial: str) -> dict[str, Any]:
    """What zero weights and zero activations save, as `costs.activations` counts it.

    Args:
        folder: a workdir, whose results were saved.
        trial: one of its trials.

    Raises:
        UserError: there is no such trial, or no result of it.
    """
    config, planned = single.from_search(folder, trial)
    result = results.load(results.file(folder, trial))
    dataset = single.load_dataset(config)
    rows = np.arange(min(_EXAMPLES, len(dataset.test_inputs)))
    inputs = jnp.asarray(dataset.test_inputs[rows], dataset.example.dtype)
    if dataset.scale is not None:
        inputs = numbers(inputs, dataset.mean, dataset.scale)
    module = build.model(config.model, planned.width, planned.depth, dataset.classes)
    network = make_network(module)
    params, statistics = jax.eval_shape(network.init, jax.random.key(0), inputs[:1])
    found = activations.measure(
        network.predict,
        trees.map_named(_dense, params, result.params),
        trees.map_named(_dense, statistics, result.statistics),
        inputs,
    )
    total = {
        name: sum(row[name] for row in found.values()) for name in activations.NAMES
    }
    rows = [{"name": name, **row} for name, row in found.items()]
    return {"examples": len(inputs), "total": total, "layers": rows}


def _dense(like: Any, value: Any) -> Any:
    # Compressed layers are matrices, convolutions too.
    whole = value.toarray() if hasattr(value, "toarray") else np.asarray(value)
    return jnp.asarray(whole.reshape(like.shape))
