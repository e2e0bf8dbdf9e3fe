"""Every family of models: its published size, its contract, its width dial."""

import math

import jax
import numpy as np
import pytest

import sparse_search
from sparse_search import build
from sparse_search.config import Model
from sparse_search.errors import UserError
from sparse_search.models.resnet import ResNet
from sparse_search.testing import models
from sparse_search.train import widths
from sparse_search.train.trials import model_shapes, sparse_shapes

IMAGENET, CIFAR, GREY = (224, 224, 3), (32, 32, 3), (28, 28, 1)
SMALL = (8, 8, 3)


def tokens(length):
    return jax.ShapeDtypeStruct((length,), np.int32)


def shapes(name, width, depth, classes, example):
    if isinstance(example, tuple):
        example = jax.ShapeDtypeStruct(example, np.float32)
    return model_shapes(Model(name), width, depth, classes, example)


def sizes(found):
    """Parameters, weights in sparse kernels, and how many kernels there are."""
    kernels = sparse_shapes(found)
    every, sparse = (
        sum(math.prod(s) for _, s in some) for some in (found, kernels.items())
    )
    return every, sparse, len(kernels)


@pytest.mark.parametrize(
    ("name", "width", "depth", "classes", "example", "parameters"),
    [
        # torchvision's resnet18 and resnet50, and the kernels that RigL counts.
        ("resnet", 64, 18, 1000, IMAGENET, 11_689_512),
        ("resnet", 64, 50, 1000, IMAGENET, 25_557_032),
        # Keras's MobileNet, trainable parameters; width 24 is its multiplier 0.75.
        ("mobilenet_v1", 32, 13, 1000, IMAGENET, 4_231_976),
        ("mobilenet_v1", 24, 13, 1000, IMAGENET, 2_585_560),
        # torchvision's vgg16_bn, 138,365,992, has 4,224 biases before its norms.
        ("vgg", 64, 16, 1000, IMAGENET, 138_365_992 - 4_224),
        ("vgg", 64, 16, 10, CIFAR, 14_728_266 - 4_224),
        # He et al. 2016, table 6: 0.27, 0.46 and 0.85 million.
        ("cifar_resnet", 16, 20, 10, CIFAR, 269_722),
        ("cifar_resnet", 16, 32, 10, CIFAR, 464_154),
        ("cifar_resnet", 16, 56, 10, CIFAR, 853_018),
        # Zagoruyko and Komodakis 2016, table 4: 36.5 and 8.9 million.
        ("wrn", 160, 28, 10, CIFAR, 36_479_194),
        ("wrn", 64, 40, 10, CIFAR, 8_949_210),
        # timm's vit_tiny, vit_base; GPT-2 small; LeNet-5 as Caffe has it.
        ("vit", 192, 12, 1000, IMAGENET, 5_717_416),
        ("vit", 768, 12, 1000, IMAGENET, 86_567_656),
        ("gpt", 768, 12, 50257, tokens(1024), 124_439_808),
        ("lenet5", 20, 4, 10, GREY, 431_080),
        ("lenet_300_100", 300, 2, 10, GREY, 266_610),
    ],
)
def test_published_numbers_of_parameters(
    name, width, depth, classes, example, parameters
):
    assert sizes(shapes(name, width, depth, classes, example))[0] == parameters


def test_kernels_that_are_sparsified():
    found = shapes("resnet", 64, 50, 1000, IMAGENET)
    assert sizes(found)[1:] == (25_502_912, 54)
    # Depthwise kernels stay dense, which RigL counts with MobileNet's weights.
    found = shapes("mobilenet_v1", 32, 13, 1000, IMAGENET)
    depthwise = sum(math.prod(s) for n, s in found if "Depthwise" in n)
    assert sizes(found)[1] + depthwise == 4_209_088


@pytest.mark.parametrize(("name", "gates"), [("gru", 3), ("lstm", 4)])
@pytest.mark.parametrize(("width", "depth", "classes"), [(7, 1, 5), (16, 3, 50)])
def test_recurrent_networks_have_the_size_of_the_formula(
    name, gates, width, depth, classes
):
    found = shapes(name, width, depth, classes, tokens(6))
    layer = gates * (2 * width * width + 2 * width)
    others = classes * width + width * classes + classes
    assert sizes(found)[0] == depth * layer + others


def bottlenecks(width, depth, classes):
    """A ResNet-50 of one block a stage."""
    return ResNet(width, (1,) * depth, True, classes)


SUBJECTS = {
    "mlp": (SMALL, {"width": 8}),
    "lenet5": ((16, 16, 1), {"depth": 4}),
    "wrn": (SMALL, {"depth": 10, "dropout": 0.3}),
    "gru": (tokens(5), {"width": 8, "dropout": 0.1}),
    "their_models:small_nnx": (SMALL, {}),
}
# Deep, or like one of the others: without the round, which takes most of the time.
QUICK = {
    "lenet_300_100": ((5, 5), {"width": 6, "depth": 2}),
    "vgg": (SMALL, {"width": 2, "depth": 11}),
    "cifar_resnet": (SMALL, {"depth": 8}),
    "test_families:bottlenecks": (SMALL, {"width": 2, "depth": 2}),
    "mobilenet_v1": (SMALL, {"width": 2, "depth": 8}),
    "vit": (SMALL, {"width": 8, "dropout": 0.1}),
    "gpt": (tokens(5), {"width": 8, "dropout": 0.1}),
    "lstm": (tokens(5), {"width": 8}),
    "their_models:small": (SMALL, {}),
}
OF_ROUNDS = (models.check_round, models.check_lanes, models.check_compiles_once)


@pytest.mark.parametrize("name", SUBJECTS)
def test_contract(name):
    example, options = SUBJECTS[name]
    models.check(name, example, 4, **options)


@pytest.mark.parametrize("name", QUICK)
def test_contract_without_a_round(name):
    example, options = QUICK[name]
    make = build.factory("The model", name, build.MODELS)
    subject = models.Subject(make, example, 4, **options)
    for check in models.CHECKS:
        if check not in OF_ROUNDS:
            check(subject)


@pytest.mark.parametrize(
    ("name", "width", "depth", "example"),
    [
        ("mlp", 57, 2, (64,)),
        ("lenet_300_100", 300, 2, GREY),
        ("lenet5", 20, 4, GREY),
        ("cifar_resnet", 16, 8, CIFAR),
        ("wrn", 32, 10, CIFAR),
        ("vit", 48, 2, CIFAR),
        ("gru", 100, 2, tokens(8)),
    ],
)
def test_the_width_of_a_size_is_found_again(name, width, depth, example):
    size = sizes(shapes(name, width, depth, 10, example))[1]
    for budget in (size, size + 3):
        found = sparse_search.width_for(
            name, budget, depth, example=example, classes=10
        )
        assert found == width


def test_the_nearest_width_is_found_with_few_looks_among_those_that_are_taken():
    looks = []

    def size(width):
        looks.append(width)
        if width % 6:
            raise UserError("heads")
        return 12 * width**2 + 7 * width

    taken = [6 * n for n in range(1, 200)]
    for budget in (1, 500, 10_000, 432_042, 5_000_000):
        looks.clear()
        found = widths.nearest_width(size, budget, "heads")
        nearest = min(taken, key=lambda w: abs(12 * w**2 + 7 * w - budget))
        assert found == nearest
        assert sum(not width % 6 for width in looks) < 12


@pytest.mark.parametrize(
    ("name", "depth", "example", "options", "words"),
    [
        ("wrn", 11, CIFAR, {}, "wrn has 10, 16, 22, 28"),
        ("resnet", 20, CIFAR, {}, "cifar_resnet has 20, 32, 56"),
        ("gpt", 1, CIFAR, {}, "gpt takes tokens"),
        ("gru", 1, CIFAR, {}, "gru takes tokens"),
        ("wrn", 10, tokens(8), {}, "takes images"),
        ("vit", 1, (9, 9, 1), {}, "cannot be cut into patches"),
        ("vit", 1, CIFAR, {"pach": 2}, "Did you mean 'patch'"),
        ("vitt", 1, CIFAR, {}, "Did you mean 'vit'"),
    ],
)
def test_mistakes_are_sentences(name, depth, example, options, words):
    with pytest.raises(UserError, match=words):
        sparse_search.width_for(
            name, 1000, depth, example=example, classes=10, **options
        )
