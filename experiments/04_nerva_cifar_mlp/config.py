"""CIFAR-10 by the perceptron of Nerva: how accurate are its static sparse networks?

The set-up of Wesselink et al. 2024 (arXiv:2407.17437) with the arguments of the scripts
published with it; what is asked and found is in the README.md beside this file.
"""

from sparse_search.config import defaults

RATES = {"1": 0.01, "0.1": 0.03, "0.01": 0.1, "0.005": 0.1, "0.001": 0.1}


def get_config(arg: str = "0.1"):
    """The experiment at a density, as `:0.01`; `:smoke` is a two-round miniature."""
    if arg not in RATES and arg != "smoke":
        raise ValueError(f"there is no density {arg!r}, only {', '.join(RATES)}")
    config = defaults()
    config.data.name = "cifar10"
    config.data.validation = 500
    config.data.augment = ("crop_reflect", "flip")
    config.data.center = True
    config.data.divisor = 51.2  # 255 times the deviations of its scripts, 0.2
    config.batch_size = 100
    config.steps = 49_500  # 100 epochs of 49,500 examples
    config.model.width = 1024
    config.model.depth = 2
    config.model.options = {"widths": (1024, 512), "init": "glorot_uniform"}
    config.sparsity.method = "dense" if arg == "1" else "static"
    config.sparsity.density = 0.1 if arg == "smoke" else float(arg)
    config.sparsity.scale_init = False
    config.sparsity.rewire_every = 495  # an epoch; of RigL and SET
    config.optimizer.options = {"momentum": 0.9, "nesterov": True}
    config.optimizer.learning_rate = RATES.get(arg, 0.03)
    config.optimizer.warmup = 0.0
    config.optimizer.schedule = "step"
    config.optimizer.steps_at = (0.5, 0.75)
    config.optimizer.step_factor = 0.1

    space = config.space
    space.densities = (config.sparsity.density,)
    space.widths = (1024,)
    space.small_dense.depths = ()
    space.seeds = (0, 1, 2)

    if arg == "smoke":
        config.data.validation = 50
        config.model.width = 32
        config.steps = 20
        config.sparsity.rewire_every = 10
        config.batch_size = 16
        space.seeds = (0, 1)
        space.widths = (32,)
    return config
