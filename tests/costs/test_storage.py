"""Bytes of kernels, by hand."""

import pytest

from sparse_search.costs.storage import kernel_bytes


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
