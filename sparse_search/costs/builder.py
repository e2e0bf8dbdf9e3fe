"""Builds the layers of a network while the shape of one example goes through it."""

import math

from sparse_search.costs.layers import Layer, Network
from sparse_search.errors import UserError
from sparse_search.masks.allocations import is_sparse

Shape = tuple[int, ...]


class Builder:
    """Collects layers while the shape of one example goes through them."""

    def __init__(self, shape: Shape, multiplier: float = 1.0):
        """Before the first layer; see `families` for the multiplier."""
        self.shape: Shape = shape
        self.multiplier = multiplier
        self.layers: list[Layer] = []
        self.others = self.products = 0

    def scaled(self, channels: int) -> int:
        """Channels times the multiplier, rounded down."""
        return max(int(self.multiplier * channels), 1)

    def kernel(self, name: str, shape: Shape, uses: int, inputs: int) -> None:
        """A layer; `inputs` are the numbers that it is given."""
        name = f"params/{name}/kernel"
        self.layers.append(
            Layer(
                name,
                shape,
                uses,
                math.prod(shape),
                is_sparse(name, shape),
                inputs,
                uses * shape[-1],
            )
        )

    def dense(self, name: str, outputs: int) -> None:
        """A layer over the last axis, with biases."""
        *places, features = self.shape
        uses = math.prod(places)
        self.kernel(name, (features, outputs), uses, uses * features)
        self.others += outputs
        self.shape = (*places, outputs)

    def conv(
        self,
        name: str,
        outputs: int,
        window: int,
        stride: int = 1,
        *,
        pad: bool = True,
        bias: bool = False,
        depthwise: bool = False,
    ) -> None:
        """A window over rows and columns; padded, stride 1 keeps the size."""
        rows, columns, channels = self.shape
        side = (window - 1) // 2 if pad else 0
        inputs = rows * columns * channels
        rows, columns = ((n + 2 * side - window) // stride + 1 for n in (rows, columns))
        seen = 1 if depthwise else channels
        self.kernel(name, (window, window, seen, outputs), rows * columns, inputs)
        self.others += outputs if bias else 0
        self.shape = rows, columns, outputs

    def norm(self) -> None:
        """A scale and a shift for every channel."""
        self.others += 2 * self.shape[-1]

    def pool(self, window: int = 2, side: int = 0) -> None:
        """The largest of a window, with stride 2, padded by `side`."""
        rows, columns, channels = self.shape
        rows, columns = ((n + 2 * side - window) // 2 + 1 for n in (rows, columns))
        self.shape = rows, columns, channels

    def flatten(self) -> None:
        """One axis of all."""
        self.shape = (math.prod(self.shape),)

    def mean(self) -> None:
        """The mean over all places."""
        self.shape = self.shape[-1:]

    def made(self, *, is_chain: bool = False) -> Network:
        """What was collected."""
        return Network(tuple(self.layers), self.others, self.products, is_chain)


def images(shape: Shape, multiplier: float) -> Builder:
    """Begins with an image; grey ones may come without channels."""
    if len(shape) == 2:
        shape = (*shape, 1)
    if len(shape) != 3:
        raise UserError(
            "This model takes images, rows,columns,channels as in 224,224,3, and not "
            f"{','.join(map(str, shape))}."
        )
    return Builder(shape, multiplier)


def tokens(shape: Shape, multiplier: float) -> Builder:
    """Begins with a text."""
    if len(shape) != 1:
        raise UserError(
            "This model takes texts, their number of positions as in 1024, and not "
            f"{','.join(map(str, shape))}."
        )
    return Builder(shape, multiplier)


def wrong_depth(what: str, depth: int, allowed: str) -> UserError:
    """The error of a depth that a family does not have."""
    return UserError(f"{what} has {allowed}, not {depth}.")


def perceptron(net: Builder, hidden: tuple[int, ...], classes: int) -> Network:
    """Fully connected layers behind all else."""
    net.flatten()
    for number, outputs in enumerate((*hidden, classes)):
        net.dense(f"Dense_{number}", outputs)
    return net.made(is_chain=True)
