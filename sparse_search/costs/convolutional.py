"""The layers of convolutional networks; see `families`."""

from sparse_search.costs.builder import Builder, Shape, images, perceptron, wrong_depth
from sparse_search.costs.layers import Network
from sparse_search.errors import UserError

_SMALL = 64  # pixels of a side up to which images are taken as CIFAR's are
_VGG = {11: (1, 1, 2, 2, 2), 13: (2,) * 5, 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
_RESNET = {
    18: ((2, 2, 2, 2), False),
    34: ((3, 4, 6, 3), False),
    50: ((3, 4, 6, 3), True),
    101: ((3, 4, 23, 3), True),
    152: ((3, 8, 36, 3), True),
}


def lenet5(
    width: int, depth: int, classes: int, shape: Shape, multiplier: float = 1.0
) -> Network:
    """`models.cnn.lenet5`."""
    if depth != 4:
        raise wrong_depth("lenet5", depth, "depth 4")
    net = images(shape, multiplier)
    if min(net.shape[:2]) < 16:
        raise UserError("lenet5 takes images of at least 16×16 pixels.")
    for number, channels in enumerate((width, round(2.5 * width))):
        outputs = net.scaled(channels)
        net.conv(f"Conv_{number}", outputs, 5, pad=False, bias=True)
        net.pool()
    return perceptron(net, (net.scaled(25 * width),), classes)


def vgg(
    width: int, depth: int, classes: int, shape: Shape, multiplier: float = 1.0
) -> Network:
    """`models.cnn.vgg`."""
    if depth not in _VGG:
        raise wrong_depth("vgg", depth, f"depth {', '.join(map(str, _VGG))}")
    net = images(shape, multiplier)
    small, number = max(net.shape[:2]) <= _SMALL, 0
    for stage, convolutions in enumerate(_VGG[depth]):
        for _ in range(convolutions):
            net.conv(f"Conv_{number}", net.scaled(width * 2 ** min(stage, 3)), 3)
            net.norm()
            number += 1
        if min(net.shape[:2]) > 1:
            net.pool()
    hidden = () if small else (net.scaled(64 * width),) * 2
    return perceptron(net, hidden, classes)


def mobilenet_v1(
    width: int, depth: int, classes: int, shape: Shape, multiplier: float = 1.0
) -> Network:
    """`models.cnn.mobilenet_v1`."""
    if depth < 8:
        raise wrong_depth("mobilenet_v1", depth, "depth 8 or more (13 in the paper)")
    net = images(shape, multiplier)
    stride = 1 if max(net.shape[:2]) <= _SMALL else 2
    net.conv("Conv_0", net.scaled(width), 3, stride)
    net.norm()
    separable = [(2, 1), (4, 2), (4, 1), (8, 2), (8, 1), (16, 2)]
    separable += [(16, 1)] * (depth - 8) + [(32, 2), (32, 1)]
    for number, (factor, stride) in enumerate(separable):
        name = f"Depthwise_{number}/Conv_0"
        net.conv(name, net.shape[-1], 3, stride, depthwise=True)
        net.norm()
        net.conv(f"Conv_{number + 1}", net.scaled(factor * width), 1)
        net.norm()
    net.mean()
    net.dense("head", classes)
    return net.made(is_chain=True)


def resnet(
    width: int, depth: int, classes: int, shape: Shape, multiplier: float = 1.0
) -> Network:
    """`models.resnet.resnet`."""
    if depth not in _RESNET:
        raise wrong_depth("resnet", depth, f"depth {', '.join(map(str, _RESNET))}")
    stages, bottleneck = _RESNET[depth]
    net = images(shape, multiplier)
    if max(net.shape[:2]) <= _SMALL:
        net.conv("Conv_0", net.scaled(width), 3)
    else:
        net.conv("Conv_0", net.scaled(width), 7, 2)
        net.pool(3, 1)
    net.norm()
    number = 0
    for stage, blocks in enumerate(stages):
        for block in range(blocks):
            stride = 2 if stage and not block else 1
            channels = width * 2**stage
            _residual(net, f"ResidualBlock_{number}", channels, stride, bottleneck)
            number += 1
    net.mean()
    net.dense("head", classes)
    return net.made()


def _residual(
    net: Builder,
    name: str,
    channels: int,
    stride: int,
    bottleneck: bool = False,
    pad: bool = False,
) -> None:
    before, inner = net.shape, net.scaled(channels)
    windows = [(inner, 3, stride), (inner, 3, 1)]
    if bottleneck:
        outer = net.scaled(4 * channels)
        windows = [(inner, 1, 1), (inner, 3, stride), (outer, 1, 1)]
    for number, (outputs, window, step) in enumerate(windows):
        net.conv(f"{name}/Conv_{number}", outputs, window, step)
        net.norm()
    if net.shape != before and not pad:
        after, net.shape = net.shape, before
        net.conv(f"{name}/Conv_{len(windows)}", after[-1], 1, stride)
        net.norm()


def cifar_resnet(
    width: int, depth: int, classes: int, shape: Shape, multiplier: float = 1.0
) -> Network:
    """`models.resnet.cifar_resnet`."""
    blocks = _blocks("cifar_resnet", depth, 2)
    net = images(shape, multiplier)
    net.conv("Conv_0", net.scaled(width), 3)
    net.norm()
    for number in range(3 * blocks):
        stage, block = divmod(number, blocks)
        stride = 2 if stage and not block else 1
        name = f"ResidualBlock_{number}"
        _residual(net, name, width * 2**stage, stride, pad=True)
    net.mean()
    net.dense("head", classes)
    return net.made()


def wrn(
    width: int, depth: int, classes: int, shape: Shape, multiplier: float = 1.0
) -> Network:
    """`models.resnet.wrn`."""
    blocks = _blocks("wrn", depth, 4)
    net = images(shape, multiplier)
    net.conv("Conv_0", net.scaled(min(16, width)), 3)
    for number in range(3 * blocks):
        stage, block = divmod(number, blocks)
        stride = 2 if stage and not block else 1
        name, channels = f"WideBlock_{number}", net.scaled(width * 2**stage)
        net.norm()
        convolution = 0
        if net.shape[-1] != channels or stride > 1:
            before = net.shape
            net.conv(f"{name}/Conv_0", channels, 1, stride)
            net.shape, convolution = before, 1
        net.conv(f"{name}/Conv_{convolution}", channels, 3, stride)
        net.norm()
        net.conv(f"{name}/Conv_{convolution + 1}", channels, 3)
    net.norm()
    net.mean()
    net.dense("head", classes)
    return net.made()


def _blocks(name: str, depth: int, others: int) -> int:
    if depth <= others or (depth - others) % 6:
        allowed = ", ".join(str(6 * n + others) for n in range(1, 5))
        raise wrong_depth(name, depth, f"depth {allowed}, …")
    return (depth - others) // 6
