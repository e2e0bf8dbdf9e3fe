"""What a trial costs: arithmetic and memory, from its shapes and counts alone."""

import math

import jax
import jax.numpy as jnp

from sparse_search.algorithms.base import SparseAlgorithm
from sparse_search.config import Config
from sparse_search.costs import flops
from sparse_search.data.dataset import Dataset
from sparse_search.sparse import formats
from sparse_search.train import optimizer
from sparse_search.train.methods import growth, rewires
from sparse_search.train.trials import Trial, algorithm_of, parameter_shapes

_CONSTANT = ("layer", "total")
_AT_MOST = (*_CONSTANT, "remainder")


def train_flops(config: Config, trial: Trial) -> int | None:
    """FLOPs of the training; None where the number of weights changes on the way."""
    algorithm = algorithm_of(config, trial)
    if algorithm.conserves not in _CONSTANT:
        return None
    return most_train_flops(config, trial, algorithm)


def most_train_flops(config: Config, trial: Trial, algorithm: SparseAlgorithm) -> int:
    """FLOPs that the training takes at most; see `costs.flops` for what is counted.

    Where the number of weights changes on the way, every step is counted as dense.

    Args:
        config: the experiment.
        trial: what is trained.
        algorithm: the trial's.
    """
    counts = [layer.count for layer in trial.layers]
    return flops.train_flops(
        growth(algorithm),
        counts if algorithm.conserves in _AT_MOST else trial.sizes,
        trial.sizes,
        steps=config.steps,
        rewires=rewires(config, algorithm),
        batch_size=config.batch_size,
    )


def inference_flops(trial: Trial) -> int:
    """FLOPs of the trained network on one example."""
    return flops.inference_flops([layer.count for layer in trial.layers])


def state_bytes(config: Config, dataset: Dataset, trial: Trial) -> int:
    """Bytes that a training carries from step to step, exact but for some scalars.

    These are parameters (float32), masks (a byte an entry) or, of compressed layers,
    indices, and the optimizer's state of all parameters that are stored. What a method
    keeps besides (SNFS a mean gradient, lottery tickets their first weights) and what
    metrics remember of masks come on top, and gradients and activations in a step.

    Args:
        config: for the model and the optimizer.
        dataset: for the shapes.
        trial: with the layers that are compressed; all others are counted as masked.
    """
    rooms = dict(trial.rooms)
    sparse = {layer.name for layer in trial.layers if trial.method != "dense"}
    topology, stored = 0, {}
    for name, shape in parameter_shapes(config, dataset, trial.width, trial.depth):
        if name in rooms:
            topology += _bytes(formats.like(shape, rooms[name]))
        elif name in sparse:
            topology += math.prod(shape)
        kept = (rooms[name],) if name in rooms else shape
        stored[name] = jax.ShapeDtypeStruct(kept, jnp.float32)
    tx = optimizer.make(config.optimizer, 1.0, 0.0, 1)
    return _bytes(stored) + topology + _bytes(jax.eval_shape(tx.init, stored))


def _bytes(tree: object) -> int:
    leaves = jax.tree.leaves(tree)
    return sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in leaves)
