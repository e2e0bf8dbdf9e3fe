"""MNIST, LeNet-300-100 at 5 % density, trained with RigL.

Question: how accurate is LeNet-300-100 with a twentieth of its weights?
Command: sparse-search train --config=configs/mnist_lenet.py --workdir=runs/lenet
    --config.data_dir=DIR (with the four IDX files)
    [--config.sparsity.density=0.1] [--config.seed=1]; another algorithm with
    --config=configs/mnist_lenet.py:algorithm=granet
Cost: about half a minute on 2 cores.
Expected: test accuracy 98.27 % (98.33, 98.22, 98.26 for seeds 0 to 2); at 10 % density
    98.48 % (98.49, 98.39, 98.55).
"""

from sparse_search.config import defaults


def get_config(arg: str = ""):
    """The run; `:smoke` makes two short rounds of it."""
    key, _, algorithm = arg.partition("=")
    if arg not in ("", "smoke") and (key != "algorithm" or not algorithm):
        raise ValueError(f"no variant {arg!r}, only ':smoke' and ':algorithm=NAME'")
    config = defaults()
    config.data.name = "mnist"
    config.data.validation = 5000
    config.model.name = "lenet_300_100"
    config.model.width = 300
    config.sparsity.method = algorithm or "rigl"
    config.sparsity.density = 0.05
    config.steps = 12000
    config.batch_size = 128
    config.optimizer.learning_rate = 0.2
    config.optimizer.weight_decay = 5e-4
    if arg == "smoke":
        config.data.validation = 50
        config.steps = 20
        config.sparsity.rewire_every = 10
        config.batch_size = 16
    return config
