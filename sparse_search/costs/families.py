"""The layers of the known families, from width, depth, classes and input: no tracing.

Each function gives what the model of that name in `sparse_search.models` has, names and
order of layers included. `multiplier` scales the channels of every layer by itself and
rounds down, as published tables with width multipliers do (Keras, RigL); the models
themselves have whole numbers of channels in the first stage only.
"""

from collections.abc import Callable

from sparse_search.costs import convolutional
from sparse_search.costs.builder import (
    Builder,
    Shape,
    images,
    perceptron,
    tokens,
    wrong_depth,
)
from sparse_search.costs.layers import Layer, Network
from sparse_search.errors import UserError


def mlp(
    width: int, depth: int, classes: int, shape: Shape, multiplier: float = 1.0
) -> Network:
    """`models.mlp.mlp`."""
    net = Builder(shape, multiplier)
    return perceptron(net, (net.scaled(width),) * depth, classes)


def lenet_300_100(
    width: int, depth: int, classes: int, shape: Shape, multiplier: float = 1.0
) -> Network:
    """`models.mlp.lenet_300_100`."""
    if depth != 2:
        raise wrong_depth("lenet_300_100", depth, "depth 2")
    net = Builder(shape, multiplier)
    hidden = net.scaled(width), net.scaled(round(width / 3))
    return perceptron(net, hidden, classes)


def vit(
    width: int,
    depth: int,
    classes: int,
    shape: Shape,
    multiplier: float = 1.0,
    patch: int = 0,
) -> Network:
    """`models.transformer.vit`."""
    net = images(shape, multiplier)
    rows, columns, channels = net.shape
    side = patch or (16 if rows >= 128 else 4 if rows >= 16 else 2)
    if rows % side or columns % side:
        raise UserError(
            f"Images of {rows}×{columns} pixels cannot be cut into patches of "
            f"{side}×{side}."
        )
    width = net.scaled(width)
    places = rows * columns // side**2
    net.shape = places, side * side * channels
    net.dense("Patches", width)
    net.shape = places + 1, width
    net.others += width + (places + 1) * width
    _transformer(net, depth)
    net.norm()
    net.shape = (width,)
    net.dense("head", classes)
    return net.made()


def _transformer(net: Builder, depth: int) -> None:
    places, width = net.shape
    for number in range(depth):
        name = f"TransformerBlock_{number}"
        net.norm()
        for part in ("key", "query", "value", "values_out"):
            net.dense(f"{name}/Attention_0/{part}", width)
        net.products += 2 * places**2 * width
        net.norm()
        net.dense(f"{name}/Dense_0", 4 * width)
        net.dense(f"{name}/Dense_1", width)


def gpt(
    width: int, depth: int, classes: int, shape: Shape, multiplier: float = 1.0
) -> Network:
    """`models.transformer.gpt`."""
    net = tokens(shape, multiplier)
    (places,), width = net.shape, net.scaled(width)
    net.shape = places, width
    net.others += places * width
    _transformer(net, depth)
    net.norm()
    # The embedding again.
    net.layers.append(
        Layer(
            "params/Embed_0/embedding",
            (classes, width),
            places,
            classes * width,
            False,
            places * width,
            places * classes,
        )
    )
    return net.made()


def gru(
    width: int,
    depth: int,
    classes: int,
    shape: Shape,
    multiplier: float = 1.0,
    gates: int = 3,
) -> Network:
    """`models.rnn.gru`."""
    net = tokens(shape, multiplier)
    (places,), width = net.shape, net.scaled(width)
    net.others += classes * width
    for number in range(depth):
        for part in ("inputs", "step/state"):
            net.shape = places, width
            net.dense(f"Recurrent_{number}/{part}", gates * width)
    net.shape = places, width
    net.dense("head", classes)
    return net.made()


def lstm(
    width: int, depth: int, classes: int, shape: Shape, multiplier: float = 1.0
) -> Network:
    """`models.rnn.lstm`."""
    return gru(width, depth, classes, shape, multiplier, gates=4)


FAMILIES: dict[str, Callable[..., Network]] = {
    "mlp": mlp,
    "lenet_300_100": lenet_300_100,
    "lenet5": convolutional.lenet5,
    "vgg": convolutional.vgg,
    "resnet": convolutional.resnet,
    "cifar_resnet": convolutional.cifar_resnet,
    "wrn": convolutional.wrn,
    "mobilenet_v1": convolutional.mobilenet_v1,
    "vit": vit,
    "gpt": gpt,
    "gru": gru,
    "lstm": lstm,
}
"""`(width, depth, classes, shape, multiplier) -> Network`, by the names of models."""
