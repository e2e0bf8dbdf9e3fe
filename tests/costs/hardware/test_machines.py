"""Every machine by hand where that is short, and what all must obey."""

import math

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st

from sparse_search.costs.hardware import (
    NAMES,
    Cost,
    cambricon_x,
    cnvlutin,
    cpu,
    eie,
    energy,
    gpu,
    inference,
    named,
    scnn,
    total,
    training_step,
)
from sparse_search.costs.hardware.block_sparse import occupied
from sparse_search.costs.hardware.machine import Batch
from sparse_search.costs.layers import Layer
from sparse_search.errors import UserError

MACHINES = {name: make() for name, make in NAMES.items()}
SKIP_WEIGHTS = ("cpu", "cambricon-x", "eie", "scnn", "a100-block32", "h100-block32")
SKIP_INPUTS = ("cnvlutin", "eie", "scnn")


def dense_layer(inputs, outputs, nnz=None, sparse=True):
    size = inputs * outputs
    nnz = size if nnz is None else nnz
    return Layer("layer", (inputs, outputs), 1, nnz, sparse, inputs, outputs)


def conv_layer(nnz=None):
    """3×3 windows over 8 channels of 6×6 places, to 16."""
    size = 9 * 8 * 16
    nnz = size if nnz is None else nnz
    return Layer("layer", (3, 3, 8, 16), 36, nnz, True, 288, 576)


def forward(name, layer, examples=1, activations=1.0, mask=None):
    """What the one layer takes."""
    masks = None if mask is None else {"layer": mask}
    return inference(
        MACHINES[name], [layer], examples, activations=activations, masks=masks
    )["layer"]


def random_mask(shape, nnz, seed=0):
    mask = np.zeros(math.prod(shape), bool)
    mask[np.random.default_rng(seed).permutation(mask.size)[:nnz]] = True
    return mask.reshape(shape)


def test_both_regimes_of_a_dense_gpu():
    # One example is bound by memory: 2 bytes for 1024² weights and 2048 numbers.
    moved = 2 * (1024**2 + 2048)
    one = forward("a100", dense_layer(1024, 1024))
    assert one.seconds == pytest.approx(moved / 2039e9)
    assert one.joules == pytest.approx(400 * moved / 2039e9)
    # 4096 are bound by arithmetic.
    many = forward("a100", dense_layer(1024, 1024), 4096)
    assert many.seconds == pytest.approx(2 * 1024**2 * 4096 / 312e12)
    assert forward("a100", dense_layer(1024, 1024, 7), 4096) == many


def test_two_four_halves_the_forward_product_and_nothing_else():
    layer = dense_layer(8192, 8192, 2**25)
    board = gpu.BOARDS["h100"]
    batch = Batch(layer, 8192)
    half, whole = 2**25 * 8192 * 2, 2**26 * 8192 * 2
    product = MACHINES["h100-2:4"].product
    assert product(batch, "forward").seconds == half / board.roof.flops
    assert product(batch, "weights").seconds == whole / board.roof.flops
    # Of one example it is the bytes: 9/16 of the weights'.
    one = product(Batch(layer, 1), "forward").seconds * board.roof.bandwidth
    assert one == pytest.approx(2**26 * 9 / 8 + 2 * 2**14)


def test_two_four_looks_at_the_mask():
    eight = np.arange(8)
    along = np.zeros((8, 8), bool)
    along[eight % 4 < 2] = True  # of every output the first two of four inputs
    both = (eight[:, None] + eight) % 4 < 2
    dense = MACHINES["a100"].product(Batch(dense_layer(8, 8), 10**6), "forward")
    for mask, gains in ((along, [1, 0, 0]), (both, [1, 1, 0]), (along.T, [0, 1, 0])):
        batch = Batch(dense_layer(8, 8, 32), 10**6, mask=mask)
        found = [
            MACHINES["a100-2:4"].product(batch, which) != dense
            for which in ("forward", "inputs", "weights")
        ]
        assert found == [bool(gain) for gain in gains]
        assert found[0] == (
            MACHINES["a100-2:4"].product(
                batch._replace(mask=scipy.sparse.csr_array(mask)), "forward"
            )
            != dense
        )


def test_blocks_that_hold_a_weight():
    mask = np.zeros((100, 70), bool)
    mask[0, 0] = mask[31, 31] = mask[99, 69] = True
    batch = Batch(dense_layer(100, 70, 3), 10**6, mask=mask)
    assert occupied(batch, 32) == 2
    # Of a small layer it is the bytes, of a large one the arithmetic.
    found = MACHINES["a100-block32"].product(batch, "weights").seconds
    moved = 2 * (2 * 32**2 + 170 * 10**6) + 4 * 2
    assert found == pytest.approx(moved / 2039e9)
    mask = scipy.sparse.csr_array(([True] * 2, ([0, 7000], [0, 9])), (8192, 8192))
    batch = Batch(dense_layer(8192, 8192, 2), 10**6, mask=mask)
    found = named("a100-block4096").product(batch, "weights").seconds
    assert found == pytest.approx(2 * 2 * 4096**2 * 10**6 / 312e12 / 0.986)


def test_expected_blocks_are_the_mean_of_random_masks():
    layer = dense_layer(50, 40, 30)
    masks = [random_mask((50, 40), 30, seed) for seed in range(400)]
    counted = [occupied(Batch(layer, 1, mask=mask), 16) for mask in masks]
    error = np.std(counted) / len(counted) ** 0.5
    assert abs(np.mean(counted) - occupied(Batch(layer, 1), 16)) < 4 * error


def test_a_cpu_takes_the_faster_of_both():
    calibration = cpu.Calibration(
        "by hand", 1e9, 1e12, cpu.Kernel(2e-9, 1e-9), cpu.Kernel(4e-9, 0)
    )
    machine = cpu.cpu(calibration)
    # Dense: 2 · 10,000 · 10 / 1e9 s. Compressed: 500 · 10 · 2 ns + 200 · 10 · 1 ns.
    for nnz, seconds in ((500, 12e-6), (10_000, 200e-6)):
        costs = inference(machine, [dense_layer(100, 100, nnz)], 10)
        assert costs["layer"].seconds == pytest.approx(seconds)
        assert costs["layer"].joules is None
    # The backward pass and the update: 500 · 10 · 4 ns, 20 bytes a weight.
    step = training_step(machine, [dense_layer(100, 100, 500)], 10)["layer"].seconds
    assert step == pytest.approx(12e-6 + 20e-6 + 20 * 500 / 1e12)
    # Convolutions are masked, whatever their weights.
    assert inference(machine, [conv_layer(5)], 2) == inference(
        machine, [conv_layer()], 2
    )


def test_eie_by_hand():
    # 128 outputs, two an element; element 3 has five weights, the others at most one.
    mask = np.zeros((8, 128), bool)
    mask[:3, 3] = mask[:2, 67] = True
    mask[7, 10] = True
    layer = dense_layer(8, 128, 6)
    cost = forward("eie", layer, 10, 0.5, mask)
    assert cost.seconds == pytest.approx(5 * 10 * 0.5 / 800e6)
    entry = energy.MULTIPLY_ADD_16 + 8 * energy.sram_bit(128)
    inputs = 8 * 16 * energy.sram_bit(128)
    assert cost.joules == pytest.approx(10 * 0.5 * (6 * entry + inputs))


def test_eie_stores_zeros_to_skip_more_than_fifteen():
    # Element 0 has the outputs 0, 64, 128, …: 60 of them of each of two inputs.
    mask = np.zeros((2, 64 * 60), bool)
    mask[0, [0, 64 * 16, 64 * 33]] = True  # 15 and 16 zeros between
    mask[1, 64 * 50] = True  # 50 zeros before: three are stored
    assert eie.entries(mask)[0] == 3 + 1 + 1 + 3
    assert eie.entries(scipy.sparse.csr_array(mask)).sum() == 8
    # Without a mask, the same in the mean.
    counted = [
        eie.entries(random_mask((40, 64 * 60), 3000, seed)).sum() for seed in range(30)
    ]
    expected = 40 * 64 * eie.expected_entries(60, 3000 / (40 * 64 * 60))
    assert np.mean(counted) == pytest.approx(expected, rel=0.01)


def test_cambricon_x_by_hand():
    # Outputs are dealt to 16 elements: 0 and 16 are of one, with 17 and 1 weights.
    mask = np.zeros((40, 20), bool)
    mask[:17, 0] = mask[0, 16] = mask[:16, 5] = True
    layer = dense_layer(40, 20, 34)
    cost = forward("cambricon-x", layer, 1000, mask=mask)
    assert cost.seconds == pytest.approx((2 + 1) * 1000 / 1e9)
    # One example waits for the weights: 24 bits each over 51.2 GB/s.
    one = forward("cambricon-x", dense_layer(40, 16), mask=np.ones((40, 16), bool))
    assert one.seconds == pytest.approx(640 * 3 / 51.2e9)


def test_cnvlutin_by_hand():
    # 300 outputs are two times 256; 33 inputs are three for the first lane.
    assert forward("cnvlutin", dense_layer(33, 300, 9), 5).seconds == pytest.approx(
        2 * 3 * 5 / 606e6
    )
    # The busiest of 16 lanes of one input each has one, but for chance.
    half = forward("cnvlutin", dense_layer(16, 256), 5, 0.5).seconds
    assert half == pytest.approx((1 - 0.5**16) * 5 / 606e6)


def test_scnn_by_hand():
    # 64 elements, 4 examples each; of each input, 5 weights are two vectors.
    mask = np.zeros((3, 10), bool)
    mask[:, :5] = True
    cost = forward("scnn", dense_layer(3, 10, 15), 256, mask=mask)
    assert cost.seconds == pytest.approx(3 * 2 * 1 / 1e9)
    # A convolution: one example's 36 places are one vector for 36 elements.
    cost = forward("scnn", conv_layer(), mask=np.ones((3, 3, 8, 16), bool))
    cycles, fetched = 8 * (9 * 16 / 4) * 1, 9 * 8 * 16 * 20 / 8
    assert cost.seconds == pytest.approx(max(cycles / 1e9, fetched / 51.2e9))


def test_energies_of_memories_lie_between_those_of_the_table():
    assert energy.sram_bit(8) == pytest.approx(10e-12 / 64)
    assert energy.sram_bit(32) == pytest.approx(20e-12 / 64)
    assert energy.sram_bit(1) == energy.sram_bit(8)
    assert energy.sram_bit(10**6) == pytest.approx(100e-12 / 64)
    assert 20e-12 < 64 * energy.sram_bit(128) < 100e-12


@pytest.mark.parametrize("name", NAMES)
@settings(deadline=None, max_examples=15)
@given(
    st.integers(1, 300),
    st.integers(1, 300),
    st.integers(1, 200),
    st.floats(0.05, 1),
    st.floats(0.002, 1),
    st.floats(0.002, 1),
)
def test_more_weights_never_cost_less(
    name, inputs, outputs, examples, activations, one, other
):
    size = inputs * outputs
    counts = sorted(max(1, round(part * size)) for part in (one, other))
    # 2:4 gains at exactly half, which more and fewer weights do not.
    if name.endswith("2:4") and 2 * counts[1] == size:
        counts[1] += 1
    dense = dense_layer(inputs, outputs, sparse=False)
    layers = [dense_layer(inputs, outputs, nnz) for nnz in counts]
    for model in (inference, training_step):
        less, more, all_of_them = (
            model(MACHINES[name], [layer], examples, activations=activations)["layer"]
            for layer in (*layers, dense)
        )
        assert 0 < less.seconds <= more.seconds * (1 + 1e-6) or name.endswith("2:4")
        full = dense_layer(inputs, outputs)
        full = model(MACHINES[name], [full], examples, activations=activations)["layer"]
        assert full.seconds >= all_of_them.seconds * (1 - 1e-9) or name == "cpu"
        assert more.seconds <= full.seconds * (1 + 1e-6)
        for cost in (less, more):
            assert (cost.joules is None) == (name == "cpu")
            assert cost.joules is None or cost.joules > 0


@pytest.mark.parametrize("name", NAMES)
def test_who_skips_what(name):
    layer = dense_layer(2048, 2048)
    few = dense_layer(2048, 2048, 256)
    base = forward(name, layer, 4096).seconds
    assert (forward(name, few, 4096).seconds < 0.9 * base) == (name in SKIP_WEIGHTS)
    zeros = forward(name, layer, 4096, 0.1).seconds
    assert (zeros < 0.6 * base) == (name in SKIP_INPUTS)


@pytest.mark.parametrize("name", NAMES)
def test_random_masks_cost_what_is_expected(name):
    if name.endswith("2:4"):
        pytest.skip("without a mask it counts as dense")
    shape = (400, 300)
    layer = dense_layer(*shape, 6000)
    masks = [{"layer": random_mask(shape, 6000, seed)} for seed in range(6)]
    for model in (inference, training_step):
        machine = MACHINES[name]
        expected = model(machine, [layer], 64, activations=0.5)["layer"]
        found = [
            model(machine, [layer], 64, activations=0.5, masks=mask)["layer"]
            for mask in masks
        ]
        mean = np.mean([cost.seconds for cost in found])
        assert mean == pytest.approx(expected.seconds, rel=0.04)
        if expected.joules is not None:
            mean = np.mean([cost.joules for cost in found])
            assert mean == pytest.approx(expected.joules, rel=0.04)


@pytest.mark.parametrize("name", ["eie", "cambricon-x"])
def test_uneven_fan_in_costs_more_than_even(name):
    even, uneven = np.zeros((2, 256, 64), bool)
    even[:32] = True
    uneven[:, :8] = True
    layer = dense_layer(256, 64, 2048)
    cost = [forward(name, layer, 512, mask=mask).seconds for mask in (even, uneven)]
    assert cost[1] >= 4 * cost[0] if name == "eie" else cost[1] > cost[0] * 0.99


def test_a_network_is_the_sum_of_its_layers():
    layers = [dense_layer(64, 32)._replace(name="a"), conv_layer()._replace(name="b")]
    for machine in MACHINES.values():
        costs = inference(machine, layers, 8, activations={"b": 0.5})
        alone = inference(machine, layers[1:], 8, activations=0.5)
        assert list(costs) == ["a", "b"] and costs["b"] == alone["b"]
        whole = total(list(costs.values()))
        assert whole.seconds == costs["a"].seconds + costs["b"].seconds
    assert total([Cost(1, 2), Cost(1, None)]) == Cost(2, None)


def test_what_cannot_be():
    with pytest.raises(ValueError, match="batch of 0"):
        inference(MACHINES["eie"], [conv_layer()], 0)
    with pytest.raises(ValueError, match="no part"):
        inference(MACHINES["eie"], [conv_layer()], 1, activations=1.5)


def test_names(tmp_path):
    assert named("h100-block128").name == "h100-block128"
    with pytest.raises(UserError, match="Did you mean 'eie'"):
        named("eei")
    with pytest.raises(UserError, match="cannot be imported"):
        named("no_such_module:machine")
    assert named("sparse_search.costs.hardware.scnn:scnn").name == "scnn"
    with pytest.raises(UserError, match="gives no Hardware"):
        named("builtins:dict")
    file = tmp_path / "laptop.json"
    with pytest.raises(UserError, match="cannot be read"):
        named(str(file))
    file.write_text('{"machine": "a laptop"}')
    with pytest.raises(UserError, match="not what `sparse-search calibrate"):
        named(str(file))
    file.write_text(cpu.to_json(cpu.MEASURED._replace(machine="a laptop")))
    machine = named(str(file))
    assert machine.name == "laptop" and "a laptop" in machine.about
    assert cpu.read(file)._replace(machine="") == cpu.MEASURED._replace(machine="")


def test_elements_of_the_papers():
    # Peak rates: EIE 102 GOP/s, Cambricon-X 544 with its adders, SCNN 2 TOP/s.
    assert 2 * eie.ELEMENTS * 0.8 == pytest.approx(102, rel=0.01)
    assert 2 * cambricon_x.ELEMENTS * cambricon_x.MULTIPLIERS == 512
    assert scnn.ELEMENTS * scnn.SIDE**2 == 1024
    assert cnvlutin.LANES * cnvlutin.OUTPUTS == 4096
