"""Convolutions with the weights that exist, and their gradients.

Images are not unfolded (im2col), which would make as many copies of them as a window
has places. They are laid one after the other in one row a channel, with zeros between
them, and every place of the window sees that row from another beginning:

    y[o, p] = Σ w[place, c, o] x[c, p + shift(place)]

so a weight is one multiply-add over pieces of two rows, as in a fully connected layer.
With a stride, each of its phases is a channel of its own. What this computes for places
between images is thrown away.

The kernel does so with a few images at a time, which stay in cache from the laying to
the halving. Without it the weights are made dense.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from sparse_search.sparse import conv_gradients, formats, native, pooling
from sparse_search.sparse.products import Layer, check, parts
from sparse_search.types import Array, Float

_AXES = ("NHWC", "HWIO", "NHWC")


class Window(NamedTuple):
    """What a convolution looks at; of rows, then columns.

    Attributes:
        size: places.
        strides: from one output to the next.
        padding: zeros before and behind.
        dilation: from one place to the next.
    """

    size: tuple[int, int]
    strides: tuple[int, int]
    padding: tuple[tuple[int, int], tuple[int, int]]
    dilation: tuple[int, int]

    def outputs(self, places: tuple[int, ...]) -> tuple[int, int]:
        """The size of what comes of an image of some size."""
        rows, columns = (
            max((size + sum(pad) - (k - 1) * d - 1) // s + 1, 0)
            for size, k, s, pad, d in zip(places, *self, strict=True)
        )
        return rows, columns


class _Grid(NamedTuple):
    """How images lie in a row.

    Attributes:
        pads: zeros before the rows and columns of each image.
        size: rows and columns of an image with zeros, of every phase.
        front: zeros before the first image.
        base: of every place of the window, the number of its phase.
        shift: of every place of the window.
    """

    pads: tuple[int, int]
    size: tuple[int, int]
    front: int
    base: tuple[int, ...]
    shift: tuple[int, ...]


def _grid(window: Window, places: tuple[int, ...]) -> _Grid:
    pads, size, before = [], [], []
    for axis, out in enumerate(window.outputs(places)):
        (first, last), stride = window.padding[axis], window.strides[axis]
        reach = (window.size[axis] - 1) * window.dilation[axis]
        shared = stride == 1 and 0 <= min(first, last) <= reach
        if shared:  # the zeros behind one are those before the next
            needed = places[axis] + max(first, last)
        else:
            needed = max((out - 1) * stride + reach + 1, places[axis] + first)
        pads.append(0 if shared else first)
        size.append(-(-needed // stride))
        before.append(first if shared else 0)
    base, shift = [], []
    for r, c in np.ndindex(*window.size):
        r, c = r * window.dilation[0], c * window.dilation[1]
        base.append(r % window.strides[0] * window.strides[1] + c % window.strides[1])
        shift.append(r // window.strides[0] * size[1] + c // window.strides[1])
    return _Grid(
        pads=(pads[0], pads[1]),
        size=(size[0], size[1]),
        front=before[0] * size[1] + before[1],
        base=tuple(base),
        shift=tuple(shift),
    )


def convolution(
    layer: Layer,
    x: Float[Array, "batch h w channels"],
    window: Window,
    *,
    halved: bool = False,
) -> Float[Array, "batch h2 w2 neurons"]:
    """A convolution of images.

    Args:
        layer: with a topology of a kernel [rows, columns, channels, neurons].
        x: of the type of the weights, or bfloat16 with float32 weights; sums are in the
            weights' type.
        window: its size is that of the kernel.
        halved: whether max pooling of 2×2 places and max(·, 0) follow.

    Raises:
        ValueError: shapes or types do not fit.
    """
    check(layer, x.dtype)
    if native.usable():
        return _convolved(window, halved, layer, x)
    y = _dense(layer, x, window)
    return jax.nn.relu(pooling.halved(y)) if halved else y


def _dense(layer: Layer, x: Array, window: Window) -> Array:
    kind = layer.values.dtype
    kernel = formats.to_dense(layer.topology, layer.values)
    if layer.taps is not None:
        kernel = kernel + layer.taps[0]
    y = jax.lax.conv_general_dilated(
        x.astype(kind),
        kernel.reshape(layer.topology.kernel),
        window.strides,
        window.padding,
        rhs_dilation=window.dilation,
        dimension_numbers=_AXES,
    )
    return (y + layer.bias).astype(x.dtype)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _convolved(window: Window, halved: bool, layer: Layer, x: Array) -> Array:
    return _forward(window, halved, layer, x)[0]


def _forward(
    window: Window, halved: bool, layer: Layer, x: Array
) -> tuple[Array, Array]:
    """The outputs; where they are halved which place, of 1 to 4, each is of, else 0."""
    topology = layer.topology
    size = window.outputs(x.shape[1:3])
    if halved:
        size = (size[0] // 2, size[1] // 2)
    shape = (len(x), *size, topology.shape[1])
    return native.call(
        "SparseSearchWindowForward",
        (
            jax.ShapeDtypeStruct(shape, x.dtype),
            jax.ShapeDtypeStruct(shape if halved else (1,), x.dtype),
        ),
        topology.out_ptr,
        topology.ins,
        topology.perm,
        layer.values,
        layer.bias,
        x,
        **_told(window, halved, layer, x),
    )


def _remember(window: Window, halved: bool, layer: Any, x: Any) -> Any:
    values: Any = jax.tree.map(
        lambda leaf: leaf.value, (layer, x), is_leaf=lambda leaf: hasattr(leaf, "value")
    )
    plain, inputs = values
    flags = [() if x.perturbed else None, None if layer.taps is None else ()]
    y, which = _forward(window, halved, plain, inputs)
    saved = plain._replace(taps=None), inputs, which if halved else None, flags
    return y, saved


def _transpose(window: Window, halved: bool, saved: Any, g: Array) -> Any:
    layer, x, which, (need_dx, tapped) = saved
    topology, kind = layer.topology, layer.values.dtype
    several = parts(x.size + g.size, topology.capacity)
    dx, dw, db, _ = native.call(
        "SparseSearchWindowBackward",
        (
            jax.ShapeDtypeStruct(x.shape if need_dx is not None else (1,), x.dtype),
            jax.ShapeDtypeStruct(layer.values.shape, kind),
            jax.ShapeDtypeStruct(layer.bias.shape, kind),
            jax.ShapeDtypeStruct((several, topology.capacity), kind),
        ),
        topology.in_ptr,
        topology.outs,
        layer.values,
        x,
        g,
        jnp.zeros(1, x.dtype) if which is None else which,
        need_dx=need_dx is not None,
        **_told(window, halved, layer, x),
    )
    taps = None
    if tapped is not None:
        dy = g
        if halved:
            of_places = [jnp.where(which == place, g, 0) for place in range(1, 5)]
            dy = pooling.spread(of_places, window.outputs(x.shape[1:3]))
        geometry = window.size, window.strides, window.dilation, window.padding
        everywhere = conv_gradients.of_kernel(x, dy, *geometry)
        taps = (everywhere.reshape(topology.shape).astype(kind),)
    made = Layer(None, dw, db, taps)  # type: ignore[arg-type]
    return made, dx if need_dx is not None else None


_convolved.defvjp(_remember, _transpose, symbolic_zeros=True)


def _told(window: Window, halved: bool, layer: Layer, x: Array) -> dict[str, Any]:
    """What the kernel is told, forwards and backwards."""
    topology = layer.topology
    grid = _grid(window, x.shape[1:3])
    channels = topology.shape[0] // len(grid.base)
    return {
        "in": topology.shape[0],
        "tile_in": topology.tile.inputs,
        "tile_out": topology.tile.neurons,
        "halved": halved,
        "outputs": window.outputs(x.shape[1:3]),
        "size": grid.size,
        "front": grid.front,
        "strides": window.strides,
        "pads": grid.pads,
        "base": np.array(grid.base) * channels,
        "shift": grid.shift,
    }
