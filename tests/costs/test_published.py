"""Our counts against published tables."""

import math

import pytest

from sparse_search.costs import storage, tally
from sparse_search.costs.architectures import by_name
from sparse_search.costs.flops import dense_inference_flops, inference_flops
from sparse_search.costs.tally import allocated
from sparse_search.errors import UserError

# Parameters as torchvision, timm, Keras (without its running means), Hugging Face and
# the papers on residual networks for CIFAR give them.
PARAMETERS = {
    "resnet18": 11_689_512,
    "resnet34": 21_797_672,
    "resnet50": 25_557_032,
    "resnet101": 44_549_160,
    "resnet152": 60_192_808,
    "resnet20": 269_722,
    "resnet56": 853_018,
    "wrn-28-10": 36_479_194,
    "mobilenet_v1": 4_231_976,
    "mobilenet_v1_0.5": 1_342_536 - 2 * 5_472,
    "vit_tiny": 5_717_416,
    "vit_small": 22_050_664,
    "vit_base": 86_567_656,
    "gpt2": 124_439_808,
    "lenet_300_100": 266_610,
    "lenet5": 431_080,
}


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters(name):
    made = by_name(name).network()
    found = sum(layer.size for layer in made.layers) + made.others
    assert found == PARAMETERS[name]


RESNET50 = by_name("resnet50").network()


def ratio(network):
    dense = dense_inference_flops(network.layers)
    return inference_flops(network.layers) / dense


def test_resnet50_dense():
    assert len(RESNET50.layers) == 54
    assert sum(layer.size for layer in RESNET50.layers) == 25_502_912
    assert dense_inference_flops(RESNET50.layers) == 8_189_483_496  # 8.19e9


# Evci et al. 2020 (RigL): inference, and training with RigL at ΔT = 100 and with SNFS.
@pytest.mark.parametrize(
    "density, inference, rigl, snfs",
    [(0.2, 0.4146, 0.4165, 0.6097), (0.1, 0.2429, 0.2454, 0.4952)],
)
def test_resnet50_with_erk(density, inference, rigl, snfs):
    made = allocated(RESNET50, density, "erk")
    assert sum(layer.nnz for layer in made.layers) == round(density * 25_502_912)
    assert round(ratio(made), 4) == inference
    train = tally.per_step(made)
    assert round(train["rigl"] / train["dense"], 4) == rigl
    assert round(train["snfs"] / train["dense"], 4) == snfs
    assert train["dense"] == 3 * 8_189_483_496


def test_densities_of_the_layers_of_resnet50():
    found = [round(k.density, 4) for k in allocated(RESNET50, 0.2, "erk").layers]
    windows = [
        d
        for d, layer in zip(found, RESNET50.layers, strict=True)
        if layer.shape[:2] == (3, 3)
    ]
    stages = [0.3619] * 3 + [0.1769] * 4 + [0.0874] * 6 + [0.0435] * 3
    assert found[0] == 0.8572 and windows == stages and found[-1] == 0.1482


def test_resnet50_with_a_dense_first_layer():
    # RigL's table says 0.23 and 0.13: its notebook counts the first convolution of an
    # image that was padded before at 115² places, not 112².
    for density, ours, theirs in ((0.2, 0.2239, 0.23), (0.1, 0.1268, 0.13)):
        made = allocated(RESNET50, density, "uniform_dense_first")
        assert made.layers[0].density == 1
        assert round(ratio(made), 4) == ours
        first = made.layers[0]
        padded = first._replace(uses=115**2, outputs=115**2 * 64)
        layers = (padded, *made.layers[1:])
        assert round(ratio(made._replace(layers=layers)), 2) == theirs


# RigL's repository, README: sparsity and size with ERK in MB, with a bit an entry for
# where weights are, float32, and a bias a channel (normalisation is folded).
@pytest.mark.parametrize(
    "sparsity, megabytes", [(0.8, 23.683), (0.9, 13.499), (0.95, 8.399)]
)
def test_the_size_of_resnet50(sparsity, megabytes):
    made = allocated(RESNET50, 1 - sparsity, "erk")
    biases = 4 * (26_560 + 1_000)
    size = storage.format_bytes(made.layers)["bitmap"] + biases
    assert size / 1e6 == pytest.approx(megabytes, abs=0.001)


# RigL's notebook MobileNet_Counting: MFLOPs. It counts images that were padded before
# at up to one row and column more, and depthwise outputs as those of one channel.
MOBILENET = [
    ("mobilenet_v1", 1.0, "erk", 1141.544),
    ("mobilenet_v1", 0.25, "erk", 599.144),
    ("mobilenet_v1", 0.25, "uniform_dense_first", 330.769),
    ("mobilenet_v1", 0.15, "erk", 439.152),
    ("mobilenet_v1", 0.15, "uniform_dense_first", 222.666),
    ("mobilenet_v1", 0.1, "erk", 334.134),
    ("mobilenet_v1", 0.1, "uniform_dense_first", 168.614),
    ("mobilenet_v1_0.47", 1.0, "erk", 266.539),
    ("mobilenet_v1_0.353", 1.0, "erk", 154.770),
    ("mobilenet_v1_0.285", 1.0, "erk", 103.825),
]


@pytest.mark.parametrize("name, density, allocation, mflops", MOBILENET)
def test_mobilenet(name, density, allocation, mflops):
    made = allocated(by_name(name).network(), density, allocation)
    assert inference_flops(made.layers) / 1e6 == pytest.approx(mflops, rel=0.005)
    depthwise = [layer for layer in made.layers if not layer.sparse]
    assert len(depthwise) == 13 and all(layer.density == 1 for layer in depthwise)


def test_names():
    assert by_name("ResNet-50") == by_name("resnet50") == by_name("resnet")
    assert by_name("wrn_16_4").network() == by_name("wrn-16-4").network()
    assert by_name("cifar_resnet32") == by_name("resnet32")
    half = by_name("resnet50-0.5").network()
    assert [layer.shape[-1] for layer in half.layers[:3]] == [32, 32, 32]
    assert math.isclose(by_name("mobilenet_v1_0.75").multiplier, 0.75)
    with pytest.raises(UserError, match="Did you mean 'mobilenet_v1'"):
        by_name("mobilenet_v2")
    for wrong in ("wrn-23-2", "cifar_resnet21", "mobilenet_v1_0.0"):
        with pytest.raises(UserError):
            by_name(wrong).network()
    with pytest.raises(UserError, match="takes images"):
        by_name("resnet50")._replace(shape=(12,)).network()
