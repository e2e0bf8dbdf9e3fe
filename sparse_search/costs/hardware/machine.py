"""The contract of a hardware model, and what it says of a network.

A model is two functions. `product` tells what one of the three products of a layer
costs, with W [inputs, outputs], its inputs X and the gradient G of its outputs:

    forward     Y = X W         inference, and the first pass of a training step
    inputs      G Wᵀ            the gradient of the layer's inputs
    weights     Xᵀ G            the gradient of the weights that exist

and `update` what the optimizer costs. Layers follow each other, so that their costs add
up. As in `costs.flops`, the gradient of the network's own input is counted too.
Everything is a bound that a real machine stays behind: no kernel launches, no latency.
Of the zeros of activations only those of X are known: G counts as dense.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from sparse_search.costs.layers import Layer

Pass = Literal["forward", "inputs", "weights"]
_STEP: tuple[Pass, ...] = ("forward", "inputs", "weights")


class Batch(NamedTuple):
    """A layer with the examples that go through it.

    Attributes:
        layer: the layer.
        examples: in the batch.
        activations: the part of the layer's inputs that are not zero.
        mask: where its weights are, a bool array or a matrix of SciPy; None where only
            their number is known.
    """

    layer: Layer
    examples: int
    activations: float = 1.0
    mask: Any = None

    @property
    def columns(self) -> int:
        """Outputs of one place."""
        return self.layer.outputs // self.layer.uses

    @property
    def rows(self) -> int:
        """Inputs of one output: of a convolution, those of its window."""
        return self.layer.size // self.columns

    @property
    def places(self) -> int:
        """How often every weight is used: rows of the matrix X."""
        return self.layer.uses * self.examples

    @property
    def density(self) -> float:
        """Of the weights."""
        return self.layer.density

    @property
    def numbers(self) -> int:
        """Inputs and outputs of all examples together."""
        return (self.layer.inputs + self.layer.outputs) * self.examples


class Cost(NamedTuple):
    """What something takes.

    Attributes:
        seconds: time.
        joules: energy; None where the model's sources do not tell.
    """

    seconds: float
    joules: float | None

    def __add__(self, other: "Cost") -> "Cost":  # type: ignore[override]
        """One after the other."""
        joules = None
        if self.joules is not None and other.joules is not None:
            joules = self.joules + other.joules
        return Cost(self.seconds + other.seconds, joules)


class Hardware(NamedTuple):
    """A machine.

    Attributes:
        name: as on the command line.
        about: what it is, in a sentence for the report.
        product: `(batch, which) -> Cost` of one product of a layer.
        update: `(batch) -> Cost` of the optimizer's step on a layer's weights, momentum
            SGD.
    """

    name: str
    about: str
    product: Callable[[Batch, Pass], Cost]
    update: Callable[[Batch], Cost]


def inference(
    hardware: Hardware,
    layers: Sequence[Layer],
    examples: int,
    *,
    activations: Mapping[str, float] | float = 1.0,
    masks: Mapping[str, Any] | None = None,
) -> dict[str, Cost]:
    """What the forward pass of a batch takes, by layer.

    Args:
        hardware: the machine.
        layers: of the network.
        examples: in the batch.
        activations: the part of a layer's inputs that are not zero, of all or by name;
            layers that are not named have no zeros.
        masks: where weights are, by layer; of the others, as if they were anywhere.

    Raises:
        ValueError: the batch is empty, or a part of the inputs is not within 0 and 1.
    """
    batches = _batches(layers, examples, activations, masks)
    return {b.layer.name: hardware.product(b, "forward") for b in batches}


def training_step(
    hardware: Hardware,
    layers: Sequence[Layer],
    examples: int,
    *,
    activations: Mapping[str, float] | float = 1.0,
    masks: Mapping[str, Any] | None = None,
) -> dict[str, Cost]:
    """What a step of training takes, by layer: three products and the update.

    Arguments and errors are those of `inference`.
    """
    return {
        b.layer.name: total([*(hardware.product(b, p) for p in _STEP)])
        + hardware.update(b)
        for b in _batches(layers, examples, activations, masks)
    }


def total(costs: Sequence[Cost]) -> Cost:
    """All one after the other."""
    return sum(costs, Cost(0.0, 0.0))


def _batches(
    layers: Sequence[Layer],
    examples: int,
    activations: Mapping[str, float] | float,
    masks: Mapping[str, Any] | None,
) -> list[Batch]:
    if examples < 1:
        raise ValueError(f"A batch of {examples} examples cannot be.")
    found = []
    for layer in layers:
        part = activations
        if isinstance(part, Mapping):
            part = part.get(layer.name, 1.0)
        if not 0 <= part <= 1:
            raise ValueError(f"{layer.name}: {part} is no part of its inputs.")
        mask = (masks or {}).get(layer.name)
        found.append(Batch(layer, examples, part, mask))
    return found
