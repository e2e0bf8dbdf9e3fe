"""Convolutions with the weights that exist, and their gradients.

Images are not unfolded (im2col), which would make as many copies of them as a window
has places. They are laid one after the other in one row a channel, with zeros between
them, and every place of the window sees that row from another beginning:

    y[o, p] = Σ w[place, c, o] x[c, p + shift(place)]

so a weight is one multiply-add over pieces of two rows, as in a fully connected layer.
With a stride, each of its phases is a channel of its own. What this computes for places
between images is thrown away.

Without the native kernel the weights are made dense.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from sparse_search.sparse import formats, native
from sparse_search.sparse.products import Layer, parts
from sparse_search.types import Array, Float

_BLOCK = 128  # columns that the kernel takes at a time, or a multiple of them
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

    def outputs(self, places: tuple[int, int]) -> tuple[int, int]:
        """The size of what comes of an image of some size."""
        rows, columns = (
            max((size + sum(pad) - (k - 1) * d - 1) // s + 1, 0)
            for size, k, s, pad, d in zip(places, *self, strict=True)
        )
        return rows, columns


class _Grid(NamedTuple):
    """How images lie in a row.

    Attributes:
        pad: zeros before and behind the rows and columns of each image.
        size: rows and columns of an image with them, of every phase.
        front: zeros before the first image, and before its own.
        base: of every place of the window, the number of its phase.
        shift: of every place of the window.
        columns: of outputs, with what is between images; whole blocks.
    """

    pad: tuple[tuple[int, int], tuple[int, int]]
    size: tuple[int, int]
    front: int
    base: tuple[int, ...]
    shift: tuple[int, ...]
    columns: int

    @property
    def margin(self) -> int:
        """Zeros before the gradients of outputs: the largest shift, or more."""
        return -(-max(self.shift) // _BLOCK) * _BLOCK

    @property
    def inputs(self) -> int:
        """Numbers in a row of inputs."""
        return self.columns + self.margin

    @property
    def outputs(self) -> int:
        """Numbers in a row of outputs."""
        return self.inputs + self.margin


def _grid(window: Window, batch: int, places: tuple[int, int]) -> _Grid:
    pad, size, before = [], [], []
    for axis, out in enumerate(window.outputs(places)):
        (first, last), stride = window.padding[axis], window.strides[axis]
        reach = (window.size[axis] - 1) * window.dilation[axis]
        shared = stride == 1 and 0 <= min(first, last) <= reach
        if shared:  # the zeros behind one are those before the next
            pad.append((0, max(first, last)))
        else:
            needed = (out - 1) * stride + reach + 1
            needed = max(needed, places[axis] + first)
            pad.append((first, -(-needed // stride) * stride - first - places[axis]))
        size.append((places[axis] + sum(pad[-1])) // stride)
        before.append(first if shared else 0)
    base, shift = [], []
    for r, c in np.ndindex(*window.size):
        r, c = r * window.dilation[0], c * window.dilation[1]
        base.append(r % window.strides[0] * window.strides[1] + c % window.strides[1])
        shift.append(r // window.strides[0] * size[1] + c // window.strides[1])
    columns = -(-batch * size[0] * size[1] // _BLOCK) * _BLOCK
    return _Grid(
        pad=(pad[0], pad[1]),
        size=(size[0], size[1]),
        front=before[0] * size[1] + before[1],
        base=tuple(base),
        shift=tuple(shift),
        columns=columns,
    )


def convolution(
    layer: Layer, x: Float[Array, "batch h w channels"], window: Window
) -> Float[Array, "batch h2 w2 neurons"]:
    """A convolution of images.

    Args:
        layer: with a topology of a kernel [rows, columns, channels, neurons].
        x: of the type of the weights, or bfloat16 with float32 weights; sums are in the
            weights' type.
        window: its size is that of the kernel.
    """
    if not native.usable():
        return _dense(layer, x, window)
    batch, height, width, channels = x.shape
    grid = _grid(window, batch, (height, width))
    rows, columns = window.strides
    front = grid.front
    if rows * columns > 1:
        x = jnp.pad(x, ((0, 0), *grid.pad, (0, 0)))
        x = x.reshape(batch, grid.size[0], rows, grid.size[1], columns, channels)
        x = x.swapaxes(2, 3).reshape(batch, *grid.size, -1)
    else:
        front += grid.pad[0][0] * grid.size[1] + grid.pad[1][0]
    given = _Rows(front, grid.size, grid.inputs)
    made = _Rows(grid.margin, grid.size, grid.outputs)
    y = _shifted(grid, layer, _unrolled(given, x))
    return _rolled(made, (batch, *window.outputs((height, width))), y)


class _Rows(NamedTuple):
    """How images lie in rows, one a channel, with room between them.

    Attributes:
        start: of the first.
        size: rows and columns from one image, or row, to the next.
        length: of a row.
    """

    start: int
    size: tuple[int, int]
    length: int


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _unrolled(rows: _Rows, x: Array) -> Array:
    """Images [batch, h, w, channels] as they lie: [channels, length], else zeros."""
    out = jax.ShapeDtypeStruct((x.shape[-1], rows.length), x.dtype)
    return native.call("SparseSearchUnroll", out, x, **_lie(rows))


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _rolled(rows: _Rows, shape: tuple[int, int, int], y: Array) -> Array:
    """Images [batch, h, w, channels] of such rows."""
    out = jax.ShapeDtypeStruct((*shape, len(y)), y.dtype)
    return native.call("SparseSearchRoll", out, y, **_lie(rows))


def _lie(rows: _Rows) -> dict[str, int]:
    return {"start": rows.start, "rows": rows.size[0], "columns": rows.size[1]}


_unrolled.defvjp(
    lambda rows, x: (_unrolled(rows, x), x.shape[:-1]),
    lambda rows, shape, g: (_rolled(rows, shape, g),),
)
_rolled.defvjp(
    lambda rows, shape, y: (_rolled(rows, shape, y), None),
    lambda rows, shape, _, g: (_unrolled(rows, g),),
)


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


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _shifted(grid: _Grid, layer: Layer, x: Array) -> Array:
    """The outputs as they lie, behind a margin, of inputs as they lie."""
    topology = layer.topology
    return native.call(
        "SparseSearchWindowForward",
        jax.ShapeDtypeStruct((topology.shape[1], grid.outputs), x.dtype),
        topology.out_ptr,
        topology.ins,
        topology.perm,
        layer.values,
        layer.bias,
        x,
        columns=grid.columns,
        **_places(grid, layer),
    )


def _remember(grid: _Grid, layer: Any, x: Any) -> Any:
    values: Any = jax.tree.map(
        lambda leaf: leaf.value, (layer, x), is_leaf=lambda leaf: hasattr(leaf, "value")
    )
    plain, inputs = values
    flags = [() if x.perturbed else None, None if layer.taps is None else ()]
    return _shifted(grid, plain, inputs), (plain._replace(taps=None), inputs, flags)


def _transpose(grid: _Grid, saved: Any, g: Array) -> Any:
    layer, x, (need_dx, tapped) = saved
    topology, kind = layer.topology, layer.values.dtype
    several = parts(x.size + g.size, topology.capacity)
    dx, dw, _ = native.call(
        "SparseSearchWindowBackward",
        (
            jax.ShapeDtypeStruct(x.shape if need_dx is not None else (1, 1), x.dtype),
            jax.ShapeDtypeStruct(layer.values.shape, kind),
            jax.ShapeDtypeStruct((several, topology.capacity), kind),
        ),
        topology.in_ptr,
        topology.outs,
        layer.values,
        x,
        g,
        columns=grid.columns,
        need_dx=need_dx is not None,
        **_places(grid, layer),
    )
    db = jnp.sum(g, axis=1, dtype=kind)
    taps = None if tapped is None else (_everywhere(grid, layer, x, g),)
    made = Layer(None, dw, db, taps)  # type: ignore[arg-type]
    return made, dx if need_dx is not None else None


_shifted.defvjp(_remember, _transpose, symbolic_zeros=True)


def _everywhere(grid: _Grid, layer: Layer, x: Array, g: Array) -> Array:
    """The gradient of all entries, place by place."""
    kind = layer.values.dtype
    channels = layer.topology.shape[0] // len(grid.base)
    g = g[:, grid.margin :][:, : grid.columns].T.astype(kind)
    found = []
    for base, shift in zip(grid.base, grid.shift, strict=True):
        seen = x[base * channels :][:channels, shift : shift + grid.columns]
        found.append(jnp.matmul(seen.astype(kind), g, preferred_element_type=kind))
    return jnp.concatenate(found)


def _places(grid: _Grid, layer: Layer) -> dict[str, Any]:
    topology = layer.topology
    channels = topology.shape[0] // len(grid.base)
    return {
        "in": topology.shape[0],
        "tile_in": topology.tile.inputs,
        "tile_out": topology.tile.neurons,
        "margin": grid.margin,
        "base": np.array(grid.base, np.int64) * channels,
        "shift": np.array(grid.shift, np.int64),
    }
