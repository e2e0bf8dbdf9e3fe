"""All costs of one network, as the command `cost` tells them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from sparse_search.costs import storage, trajectories
from sparse_search.costs.flops import (
    Growth,
    Phase,
    Work,
    counts_of,
    train_flops,
    work_of,
)
from sparse_search.costs.layers import Network, with_counts
from sparse_search.costs.trajectories import Schedule
from sparse_search.errors import UserError, one_of
from sparse_search.masks import allocations

Shape = tuple[int, ...]

_EVERY = 100
"""ΔT where no config says it: that of RigL."""
_ROUNDS, _UNTIL = 100, 75
"""Of a training whose schedule no config says."""


class Tally(NamedTuple):
    """What a network costs.

    Attributes:
        network: its layers, with the weights that exist.
        train: FLOPs of a training step for one example, by method.
        pattern: of its masks.
    """

    network: Network
    train: dict[str, int]
    pattern: str = "unstructured"

    def to_json(self) -> dict[str, Any]:
        """As `sparse-search cost --json` prints it."""
        layers, products = self.network.layers, 2 * self.network.products
        sparse = [layer for layer in layers if layer.sparse]
        nnz = sum(layer.nnz for layer in sparse)
        dense = sum(layer.size for layer in layers if not layer.sparse)
        stored = [layer.nnz for layer in layers]
        numbers = sum(stored) + self.network.others
        return {
            "weights": sum(layer.size for layer in layers),
            "nnz": nnz,
            "density": nnz / max(sum(layer.size for layer in sparse), 1),
            "parameters": nnz + dense + self.network.others,
            "dense_parameters": sum(k.size for k in layers) + self.network.others,
            "inference_flops": sum(layer.flops for layer in layers) + products,
            "dense_inference_flops": sum(k.dense_flops for k in layers) + products,
            "attention_flops": products,
            "train_flops_per_sample": self.train,
            "bytes": storage.format_bytes(layers, self.pattern),
            # Beside the kernels, whatever their format: biases, norms, embeddings.
            "other_bytes": 4 * self.network.others,
            "optimizer_bytes": {"momentum": 4 * numbers, "adam": 8 * numbers},
            "activation_bytes": storage.activation_bytes(layers),
            "layers": [
                {
                    "name": layer.name,
                    "shape": list(layer.shape),
                    "size": layer.size,
                    "nnz": layer.nnz,
                    "density": layer.density,
                    "sparse": layer.sparse,
                    "uses": layer.uses,
                    "flops": layer.flops,
                    "dense_flops": layer.dense_flops,
                    "inputs": layer.inputs,
                    "outputs": layer.outputs,
                }
                for layer in layers
            ],
        }


def allocated(
    network: Network,
    density: float,
    allocation: str,
    reach: Callable[[Mapping[str, Shape], Mapping[str, int]], dict[str, int]]
    | None = None,
) -> Network:
    """A network with the weights that an allocation leaves it.

    Args:
        network: with all its weights.
        density: nnz over size of all sparsified layers; 1 leaves it dense.
        allocation: a rule of `masks.allocations`.
        reach: of shapes and counts, the counts that a pattern can have.

    Raises:
        UserError: the rule is not known, or the density does not fit.
    """
    if not 0 < density <= 1:
        raise UserError(f"A density is above 0 and at most 1, not {density}.")
    if allocation in allocations.ACROSS:
        known = [*allocations.RULES, allocations.DENSE_FIRST]
        raise UserError(
            f"allocation {allocation!r} is known when weights are; before training it "
            f"is one of {', '.join(known)}."
        )
    allocations.weight(allocation)
    # In the order in which a model's parameters come.
    sparse = sorted(
        (layer for layer in network.layers if layer.sparse),
        key=lambda layer: layer.name.split("/"),
    )
    shapes = {layer.name: layer.shape for layer in sparse}
    total = sum(layer.size for layer in sparse)
    if density == 1 or not sparse:
        return network
    counts = allocations.allocate(allocation, shapes, round(density * total))
    if reach:
        counts = reach(shapes, counts)
    return network._replace(layers=tuple(with_counts(network.layers, counts)))


def per_step(
    network: Network,
    schedule: Schedule | None = None,
    options: Mapping[str, Mapping[str, Any]] | None = None,
) -> dict[str, int]:
    """FLOPs of a training step for one example, by method, as means over a training.

    Without a schedule, methods that keep their numbers of weights rewire for ever,
    once behind every 100 updates, as in RigL's appendix; the others train for 100
    rounds of 100 gradients and rewire in the first 75.

    Args:
        network: with the weights that exist, or that a method ends with.
        schedule: of a config.
        options: arguments of a method, by its name.
    """
    work, counts = work_of(network), counts_of(network)
    found = {}
    for method, growth in trajectories.GROWTH.items():
        own = (options or {}).get(method, {})
        when = schedule or _schedule(method)
        if growth == "none":
            when = when._replace(due=(False,) * len(when.due))
        found[method] = _mean(work, method, growth, counts, when, own)
    return found


def _schedule(method: str) -> Schedule:
    if method in trajectories.SCHEDULED:
        due = tuple(number < _UNTIL for number in range(_ROUNDS))
        return Schedule(_EVERY, _UNTIL * _EVERY, due)
    return Schedule(_EVERY + 1, 3 * _EVERY, (True,))


def _mean(
    work: Work,
    method: str,
    growth: Growth,
    counts: Sequence[int],
    when: Schedule,
    options: Mapping[str, Any],
) -> int:
    phases: list[Phase] | None = trajectories.phases(
        method, growth, work.sizes, counts, when, options
    )
    if phases is None:
        raise one_of("method", method, trajectories.STORED)
    steps = sum(phase.steps for phase in phases)
    return round_half(train_flops(work, phases), steps)


def round_half(total: int, parts: int) -> int:
    """The whole number nearest to a quotient; floats would not be exact."""
    return (2 * total + parts) // (2 * parts)
