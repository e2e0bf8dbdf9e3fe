"""CIFAR-10, ResNet-32 at 10 % density, trained with RigL.

Question: how accurate is the ResNet-32 of He et al. 2016 (arXiv:1512.03385, section
    4.2) with a tenth of its weights?
Command: sparse-search train --config=configs/cifar10_resnet32.py
    --workdir=runs/resnet32 --config.data_dir=DIR [--config.sparsity.method=set]
Cost: 64,000 steps, for one accelerator; not run here to the end.
Expected: dense, the paper reports 92.49 %.
"""

from sparse_search.config import defaults


def get_config(arg: str = ""):
    """The run; `:smoke` makes two short rounds of a small network."""
    if arg not in ("", "smoke"):
        raise ValueError(f"there is no variant {arg!r}, only ':smoke'")
    config = defaults()
    config.data.name = "cifar10"
    config.data.center = True
    config.data.validation = 5000
    config.data.augment = ("crop", "flip")
    config.model.name = "cifar_resnet"
    config.model.width = 16
    config.model.depth = 32
    config.sparsity.density = 0.1
    config.sparsity.allocation = "erk"
    config.batch_size = 128
    config.steps = 64000
    config.optimizer.learning_rate = 0.1
    config.optimizer.weight_decay = 1e-4
    config.optimizer.schedule = "step"
    config.optimizer.steps_at = (0.5, 0.75)  # 32,000 and 48,000
    config.optimizer.warmup = 0.0
    if arg == "smoke":
        config.data.validation = 20
        config.model.width = 4
        config.model.depth = 8
        config.sparsity.density = 0.5
        config.steps = 6
        config.sparsity.rewire_every = 3
        config.batch_size = 8
    return config
