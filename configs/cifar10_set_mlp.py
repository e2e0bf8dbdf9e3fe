"""CIFAR-10, SET-MLP: 4000-1000-4000 hidden neurons, of which 1.4 % are connected.

Question: how accurate is a wide perceptron whose connections are grown at random and
    dropped where they are small? (Mocanu et al. 2018, arXiv:1707.04780.)
Command: sparse-search train --config=configs/cifar10_set_mlp.py --workdir=runs/set_mlp
    --config.data_dir=DIR
Cost: 450,000 steps; not run here to the end.
Expected: the paper reports 74.84 % after 1,000 epochs with 278,630
    parameters. Departures: ReLU in place of SReLU, no dropout, shifts and mirroring in
    place of the stronger augmentation there; 5,000 images are held out.
"""

from sparse_search.config import defaults


def get_config(arg: str = ""):
    """The run; `:smoke` makes two short rounds of a narrow network."""
    if arg not in ("", "smoke"):
        raise ValueError(f"there is no variant {arg!r}, only ':smoke'")
    config = defaults()
    config.data.name = "cifar10"
    config.data.center = True
    config.data.validation = 5000
    config.data.augment = ("crop", "flip")
    config.model.width = 4000
    config.model.depth = 3
    config.model.options = {"widths": (4000, 1000, 4000)}
    config.sparsity.method = "set"
    config.sparsity.nnz = 278_630
    config.sparsity.rewire_every = 450  # an epoch
    config.sparsity.rewire_until = 1.0
    config.batch_size = 100
    config.steps = 450_000  # 1000 epochs
    config.optimizer.learning_rate = 0.01
    config.optimizer.weight_decay = 2e-4
    config.optimizer.schedule = "constant"
    config.optimizer.warmup = 0.0
    if arg == "smoke":
        config.data.validation = 20
        config.model.width = 64
        config.sparsity.nnz = 3000
        config.steps = 6
        config.sparsity.rewire_every = 3
        config.batch_size = 8
    return config
