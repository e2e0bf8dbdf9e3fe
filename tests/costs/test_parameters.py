import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparse_search.costs.parameters import Effective, effective


def matrix(*rows):
    return np.array(rows, bool)


def test_dense_network_counts_everything():
    masks = [np.ones(shape, bool) for shape in ((784, 300), (300, 100), (100, 10))]
    nnz = 784 * 300 + 300 * 100 + 100 * 10
    assert effective(masks, biases=True) == Effective(nnz + 410, nnz, (784, 300, 100))
    assert effective(masks, biases=False) == Effective(nnz, nnz, (784, 300, 100))


def test_dead_neurons_by_hand():
    # Hidden neuron 0: in and out. 1: no input. 2: no output. 3: neither.
    first = matrix([1, 0, 1, 0], [1, 0, 1, 0])
    second = matrix([1, 0], [1, 1], [0, 0], [0, 0])
    # Left: two weights into neuron 0 and one out of it; its bias and both outputs'.
    assert effective([first, second], biases=True) == Effective(6, 3, (2, 1))
    assert effective([first, second], biases=False) == Effective(3, 3, (2, 1))


def test_death_spreads_along_the_chain():
    # Inputs 0, 1; hidden a0, a1; hidden b0, b1; one output. The path 0-a0-b0-output
    # is whole. b1 has no way out, so a1, which leads only there, is dead too.
    first = matrix([1, 0], [0, 1])
    second = matrix([1, 0], [0, 1])
    third = matrix([1], [0])
    assert effective([first, second, third], biases=True) == Effective(6, 3, (1, 1, 1))
    # The other way round: a1 without an input kills b1 and its weight to the output.
    first, third = matrix([1, 0], [0, 0]), matrix([1], [1])
    assert effective([first, second, third], biases=True) == Effective(6, 3, (1, 1, 1))


def test_an_unconnected_output_keeps_its_bias():
    assert effective([matrix([1, 0], [1, 0])], biases=True) == Effective(4, 2, (2,))
    nothing = [np.zeros((3, 4), bool), np.zeros((4, 2), bool)]
    assert effective(nothing, biases=True) == Effective(2, 0, (0, 0))


@given(
    st.lists(st.integers(1, 6), min_size=2, max_size=5),
    st.integers(0, 2**32 - 1),
    st.floats(0, 1),
)
def test_agrees_with_counting_paths(widths, seed, density):
    generator = np.random.default_rng(seed)
    masks = [
        generator.random((i, o)) < density
        for i, o in zip(widths, widths[1:], strict=False)
    ]
    # Paths into and out of each neuron, as integers; a weight is effective if
    # multiplying both with it leaves a path.
    into, out = [np.ones(widths[0], int)], [np.ones(widths[-1], int)]
    for mask in masks:
        into.append(into[-1] @ mask.astype(int))
    for mask in reversed(masks):
        out.insert(0, mask.astype(int) @ out[0])
    nnz = sum(
        np.count_nonzero(into[layer][:, None] * mask * out[layer + 1])
        for layer, mask in enumerate(masks)
    )
    alive = tuple(
        np.count_nonzero(into[layer] * out[layer]) for layer in range(len(masks))
    )
    expected = Effective(nnz + sum(alive[1:]) + widths[-1], nnz, alive)
    result = effective(masks, biases=True)
    assert result == expected
    assert type(result.parameters) is type(result.nnz) is int


def test_channels_are_the_neurons_of_convolutions():
    # Three channels; only 0 sees the image, only 0 and 1 go on.
    first = np.zeros((3, 3, 1, 3), bool)
    first[0, :2, 0, 0] = True
    second = np.zeros((2, 2, 3, 2), bool)
    second[:, :, 0, 0] = True
    second[1, 1, 1, 1] = True
    # 2 channels at 4 places, channels last, to 2 outputs: both see channel 0 somewhere.
    third = np.zeros((4, 2, 2), bool)
    third[0, 0, 0] = third[3, 0, 1] = third[2, 1, 1] = True
    masks = [first, second, third.reshape(8, 2)]
    found = effective(masks, biases=[2, 2, 1])
    # Weights 2, 4 and 2; two parameters of either channel left, two outputs' biases.
    assert found == Effective(8 + 2 + 2 + 2, 8, (1, 1, 1))


def test_a_depthwise_channel_sees_itself():
    first = np.ones((1, 1, 1, 4), bool)
    first[..., 3] = False
    depthwise = np.ones((3, 3, 1, 4), bool)
    last = np.zeros((1, 1, 4, 1), bool)
    last[..., :2, 0] = True
    found = effective([first, depthwise, last], biases=False, groups=[1, 4, 1])
    assert found == Effective(2 + 2 * 9 + 2, 2 + 2 * 9 + 2, (1, 2, 2))


def test_wrong_masks_are_errors():
    with pytest.raises(ValueError, match="4 outputs .* 3 inputs"):
        effective([np.ones((2, 4), bool), np.ones((3, 2), bool)], biases=True)
    with pytest.raises(ValueError, match="bool"):
        effective([np.ones((2, 4))], biases=True)
    with pytest.raises(ValueError, match="non-empty"):
        effective([], biases=True)
