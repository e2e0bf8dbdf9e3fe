"""A synthetic task whose right answer is known: a sparse network made the labels.

Inputs are independent normal numbers. The teacher is a perceptron as `mlp` with one
hidden layer, whose kernels have few weights; an example's class is its largest output.
So the task can be made harder in three ways (more inputs, of which the teacher looks
at few; more weights; wrong labels), and the connections that a method finds can be
compared with those that are there. The setting of students that recover a sparse
teacher is that of Tian 2020 (arXiv:1909.13458), here with masks.
"""

from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

from sparse_search.data.dataset import Dataset
from sparse_search.errors import UserError

_TEST = 2000
_PILOT = 4096  # inputs that balance the classes


def load(
    data_dir: str | Path | None = None,
    *,
    inputs: int = 64,
    width: int = 8,
    classes: int = 4,
    nnz: int = 48,
    noise: float = 0.0,
    examples: int = 8000,
    seed: int = 0,
) -> Dataset:
    """Makes training examples of shape [inputs], and 2,000 test examples.

    With the noise p, no network has a better accuracy than 1 - p + p / classes.

    Args:
        data_dir: not used.
        inputs: numbers of an example.
        width: hidden neurons of the teacher.
        classes: outputs of the teacher.
        nnz: weights of the teacher, of both layers.
        noise: the part of the labels that are drawn at random, in training and test.
        examples: for training.
        seed: of the teacher, its inputs and its noise.

    Raises:
        UserError: there is no such teacher.
    """
    del data_dir
    if not 0 <= noise <= 1:
        raise UserError(f"config.data.options.noise is {noise}; it is from 0 to 1.")
    if examples < 2:
        raise UserError(f"config.data.options.examples is {examples}; 2 or more.")
    first, second = _kernels(inputs, width, classes, nnz, seed)
    random = np.random.default_rng([seed, 1])

    def outputs(x: Float[np.ndarray, "n inputs"]) -> Float[np.ndarray, "n classes"]:
        return np.maximum(x @ first, 0) @ second

    # Biases and scales of the outputs, which no mask sees, make classes about equal.
    pilot = outputs(random.standard_normal((_PILOT, inputs)))
    mean, deviation = pilot.mean(axis=0), pilot.std(axis=0)

    def part(count: int) -> tuple[np.ndarray, np.ndarray]:
        x = random.standard_normal((count, inputs)).astype(np.float32)
        labels = np.argmax((outputs(x) - mean) / deviation, axis=1)
        drawn = random.integers(classes, size=count)
        wrong = random.random(count) < noise
        return x, np.where(wrong, drawn, labels).astype(np.int32)

    train, test = part(examples), part(_TEST)
    return Dataset(
        name="teacher",
        train_inputs=train[0],
        train_labels=train[1],
        test_inputs=test[0],
        test_labels=test[1],
        classes=classes,
        scale=1.0,
    )


def masks(
    *,
    inputs: int = 64,
    width: int = 8,
    classes: int = 4,
    nnz: int = 48,
    seed: int = 0,
    noise: float = 0.0,
    examples: int = 0,
) -> dict[str, Bool[np.ndarray, "inputs outputs"]]:
    """The teacher's connections, by the names that they have in an `mlp` of its width.

    Takes the options of `load`. Hidden neurons have no order: before a student's masks
    are compared with these, `analysis.structure.match` puts them into the same order.
    """
    del noise, examples
    first, second = _kernels(inputs, width, classes, nnz, seed)
    return {"Dense_0/kernel": first != 0, "Dense_1/kernel": second != 0}


def _kernels(
    inputs: int, width: int, classes: int, nnz: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Every neuron has the same number of inputs, to within one, all different.

    Half of the weights are of the second layer, as far as there is room.
    """
    least, most = 2 * max(width, classes), width * (inputs + classes)
    if min(inputs, width) < 1 or classes < 2 or not least <= nnz <= most:
        raise UserError(
            f"A teacher of {inputs} inputs, {width} neurons and {classes} classes has "
            f"{least} to {most} weights, not config.data.options.nnz={nnz}."
        )
    random = np.random.default_rng([seed, 0])
    above = max(min(nnz // 2, width * classes), width, nnz - width * inputs)
    above = min(max(above, classes), width * classes)
    return (
        _kernel(random, inputs, width, nnz - above),
        _kernel(random, classes, width, above).T,
    )


def _kernel(
    random: np.random.Generator, inputs: int, neurons: int, count: int
) -> np.ndarray:
    """A kernel [inputs, neurons] of some weights of size 1 and random sign.

    The inputs are dealt like cards, so that none is used twice before all are once,
    and no neuron has an input twice.
    """
    kernel = np.zeros((inputs, neurons))
    each = np.full(neurons, count // neurons)
    each[: count % neurons] += 1
    uses = np.zeros(inputs)
    for neuron, fan_in in enumerate(each):
        chosen = np.argsort(uses + random.random(inputs), kind="stable")[:fan_in]
        uses[chosen] += 1
        kernel[chosen, neuron] = random.choice([-1.0, 1.0], fan_in)
    return kernel
