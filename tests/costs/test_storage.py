"""Bytes of kernels, by hand."""

import math

import jax
import pytest

from sparse_search.costs.layers import Layer
from sparse_search.costs.storage import activation_bytes, format_bytes, kernel_bytes
from sparse_search.sparse import formats


def test_every_layer_takes_its_smallest_form():
    assert kernel_bytes([100], [100]) == 400  # dense: 4 an entry
    assert kernel_bytes([50], [100]) == 50 * 4 + 13  # a bitmap of 100 bits
    assert kernel_bytes([2], [100]) == 2 * 8  # coordinates
    assert kernel_bytes([2], [2**32 + 8]) == 2 * 12  # positions of 64 bits
    assert kernel_bytes([100, 50, 2], [100] * 3) == 400 + 213 + 16
    assert kernel_bytes([], []) == 0


def test_what_no_layer_holds():
    with pytest.raises(ValueError, match="cannot hold 5"):
        kernel_bytes([5], [4])


LAYERS = [
    Layer("params/Conv_0/kernel", (3, 3, 4, 8), 25, 30, True, 100, 200),
    Layer("params/Dense_0/kernel", (300, 100), 1, 900, True, 300, 100),
    Layer("params/head/kernel", (100, 10), 1, 1000, True, 100, 10),
]


def test_formats_by_hand():
    found = format_bytes(LAYERS)
    assert list(found) == ["dense", "bitmap", "coo", "csr", "tiled"]
    # The last layer is dense in all.
    assert found["dense"] == 4 * (288 + 30_000 + 1000)
    assert found["bitmap"] == (120 + 36) + (3600 + 3750) + 4000
    assert found["coo"] == 8 * 30 + 8 * 900 + 4000
    assert found["csr"] == (240 + 4 * 37) + (7200 + 4 * 301) + 4000
    assert activation_bytes(LAYERS) == 4 * 310


def test_formats_of_patterns_by_hand():
    half = [layer._replace(nnz=layer.size // 2) for layer in LAYERS[1:]]
    # Two bits tell which of four.
    assert format_bytes(half, "2:4")["n_m"] == 4 * 15_500 + 15_500 // 4
    assert format_bytes(half, "1:2@out")["n_m"] == 4 * 15_500 + (15_000 + 7 + 500) // 8
    blocks = [(15_000 // 8, 75), (-(-500 // 8), 25)]
    expected = sum(4 * (b + rows + 1) for b, rows in blocks) + 4 * 15_500
    assert format_bytes(half, "block4x2")["block"] == expected
    assert format_bytes(half, "fan_in")["fan_in"] == 8 * 15_500
    assert "channel" not in format_bytes(half, "channel")


@pytest.mark.parametrize("density", [0.5, 0.1, 0.05, 0.03, 0.01, 0.002, 0.0005, 0.0001])
@pytest.mark.parametrize("shape", [(700, 300), (20_000, 3000), (3, 3, 64, 400)])
def test_tiled_is_what_compressed_layers_keep(shape, density):
    size = math.prod(shape)
    nnz = round(density * size)
    topology = jax.tree.leaves(formats.like(shape, nnz))
    kept = sum(leaf.size * leaf.dtype.itemsize for leaf in topology) + 4 * nnz
    layer = Layer("params/Dense_0/kernel", shape, 1, nnz, True, 1, 1)
    assert format_bytes([layer])["tiled"] == kept
