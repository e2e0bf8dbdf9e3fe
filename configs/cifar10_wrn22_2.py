"""CIFAR-10, WRN-22-2 as in RigL: 250 epochs, densities from 50 % to 5 %.

Question: what does a wide residual network lose with a tenth of its weights, where they
    are rewired by gradients? (Evci et al. 2020, arXiv:1911.11134, section 4.2.)
Command: sparse-search train --config=configs/cifar10_wrn22_2.py --workdir=runs/wrn
    --config.data_dir=DIR [--config.sparsity.density=0.5]
    [--config.sparsity.method=static]
Cost: 97,700 steps, for one accelerator; not run here to the end.
Expected: the paper's figure of WRN-22-2 has RigL near its dense network at 50 % density
    and above static masks at all. Departures: 5,000 images are held out, steps are
    rounded to whole rounds.
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
    config.model.name = "wrn"
    config.model.width = 32
    config.model.depth = 22
    config.sparsity.density = 0.1
    config.sparsity.allocation = "erk"
    config.sparsity.rewire_until = 0.768  # 75,000 steps
    config.batch_size = 128
    config.steps = 97_700  # 250 epochs of 50,000 images
    config.optimizer.learning_rate = 0.1
    config.optimizer.weight_decay = 5e-4
    config.optimizer.options = {"momentum": 0.9, "nesterov": True}
    # A fifth, every 30,000 steps.
    config.optimizer.schedule = "step"
    config.optimizer.step_factor = 0.2
    config.optimizer.steps_at = tuple(step / 97_700 for step in (30e3, 60e3, 90e3))
    config.optimizer.warmup = 0.0
    if arg == "smoke":
        config.data.validation = 20
        config.model.width = 8
        config.model.depth = 10
        config.sparsity.density = 0.5
        config.steps = 6
        config.sparsity.rewire_every = 3
        config.batch_size = 8
    return config
