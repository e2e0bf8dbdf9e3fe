"""What trials of convolutional networks cost."""

import numpy as np
import pytest

from sparse_search.config import freeze
from sparse_search.costs.families import FAMILIES
from sparse_search.data import digits
from sparse_search.train import costs, run
from sparse_search.train.trials import network, single_trial


def test_the_uses_of_a_convolution_are_in_its_trial():
    config = freeze(
        {
            "data": {"name": "digits"},
            "model": {"name": "cifar_resnet", "width": 4, "depth": 8},
            "sparsity": {"method": "set", "density": 0.2, "allocation": "erk"},
        }
    )
    dataset = digits.load()
    trial = single_trial(config, dataset)
    layers = network(config, dataset, 4, 8).layers
    sparse = {k.name: k for k in layers}
    assert [sparse[name].uses for name, _ in trial.counts] == list(trial.uses)
    # 8×8 pixels, halved twice.
    assert {4, 16, 64, 1} == set(trial.uses)
    counts = dict(trial.counts)
    expected = sum(2 * counts[k.name] * k.uses + k.outputs for k in layers)
    assert costs.inference_flops(trial) == expected
    steps = 3 * config.steps * config.batch_size
    assert costs.train_flops(config, trial) == steps * expected


@pytest.mark.parametrize(
    "name, width, depth, shape",
    [
        ("lenet_300_100", 30, 2, (8, 8)),
        ("lenet5", 4, 4, (20, 20)),
        ("vgg", 2, 11, (32, 32, 3)),
        ("mobilenet_v1", 2, 8, (32, 32, 3)),
    ],
)
def test_effective_parameters_of_chains(name, width, depth, shape):
    made = FAMILIES[name](width, depth, 5, shape)
    masks = {k.name: np.ones(k.shape, bool) for k in made.layers if k.sparse}
    everything = sum(layer.size for layer in made.layers) + made.others
    assert run._effective(made, masks).parameters == everything
    # Without one neuron's inputs all that belongs to it is gone.
    first, second = made.layers[:2]
    masks[first.name][..., 0] = False
    less = everything - run._effective(made, masks).parameters
    incoming = first.size // first.shape[-1]
    if second.sparse:
        outgoing = second.size // second.shape[-2]
        assert incoming + outgoing < less <= incoming + outgoing + 2
    else:
        # A depthwise window, its channel, and what that goes to.
        assert less == incoming + 2 + 9 + 2 + made.layers[2].shape[-1]


@pytest.mark.parametrize("name, shape", [("gpt", (6,)), ("gru", (6,))])
def test_texts_are_no_chains(name, shape):
    made = FAMILIES[name](16, 1, 7, shape)
    masks = {k.name: np.ones(k.shape, bool) for k in made.layers if k.sparse}
    assert run._effective(made, masks) is None
