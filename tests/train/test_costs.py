"""What trials of convolutional networks cost."""

from sparse_search.config import freeze
from sparse_search.data import digits
from sparse_search.train import costs
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
