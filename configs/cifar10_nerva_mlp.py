"""CIFAR-10, the perceptron of Nerva (3072-1024-512-10), sparse from the start.

Question: how accurate is a perceptron with 10 % to 0.1 % of its weights, and does it
    help that they move? Nerva (Wesselink et al. 2024, arXiv:2407.17437) trains static
    random masks for 100 epochs.
Command: sparse-search train --config=configs/cifar10_nerva_mlp.py --workdir=runs/nerva
    --config.data_dir=DIR [--config.sparsity.density=0.01]
    [--config.sparsity.method=rigl]
Cost: an hour on one core; not run here to the end.
Expected: with --config.steps=600 (ten seconds) 42.2 % on the test set at density
    0.1. Published, in references/cifar10_mlp_1024_512.csv: 62.0 % at
    density 0.1, 56.2 % at 0.01, 53.2 % at 0.005, 32.9 % at 0.001, dense 64.2 %, trained
    on all 50,000 images, of which 5,000 are held out here.
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
    config.model.width = 1024
    config.model.depth = 2
    config.model.options = {"widths": (1024, 512)}
    config.sparsity.method = "static"
    config.sparsity.density = 0.1
    config.batch_size = 100
    config.steps = 45000  # 100 epochs
    config.optimizer.learning_rate = 0.01
    config.optimizer.options = {"momentum": 0.9, "nesterov": True}
    config.optimizer.schedule = "step"
    config.optimizer.steps_at = (0.5, 0.75)
    config.optimizer.warmup = 0.0
    if arg == "smoke":
        config.data.validation = 20
        config.model.width = 32
        config.sparsity.method = "rigl"
        config.steps = 6
        config.sparsity.rewire_every = 3
        config.batch_size = 8
    return config
