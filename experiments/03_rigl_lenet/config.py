"""LeNet-300-100 at 99 % and 89 % sparsity: what architecture does RigL leave of it?

The set-up of Evci et al. 2020 (arXiv:1911.11134, Table 2) on MNIST, with the arguments
of the code published with it; what is asked and found is in the README.md beside this
file.
"""

from sparse_search.config import defaults


def get_config(arg: str = ""):
    """The experiment; `:smoke` is a two-round miniature of it."""
    if arg not in ("", "smoke"):
        raise ValueError(f"there is no variant {arg!r}, only ':smoke'")
    config = defaults()
    config.data.name = "mnist"
    config.data.validation = 500  # nothing is chosen by it
    config.data.divisor = 255.0  # pixels from 0 to 1
    config.batch_size = 100
    config.steps = 119_000  # 200 epochs of 59,500 examples
    config.model.name = "lenet_300_100"
    config.model.width = 300
    config.sparsity.method = "rigl"
    config.sparsity.layer_nnz = {"Dense_0": 2352, "Dense_1": 3270, "Dense_2": 1000}
    config.sparsity.rewire_every = 100
    config.sparsity.rewire_until = 50 / 119  # 50,000 steps
    config.sparsity.drop_fraction = 0.3
    config.optimizer.options = {"momentum": 0.9, "nesterov": True}
    config.optimizer.learning_rate = 0.2
    config.optimizer.weight_decay = 1e-4
    config.optimizer.warmup = 0.0
    config.optimizer.schedule = "step"
    config.optimizer.steps_at = (75 / 200, 95 / 200)  # epochs
    config.optimizer.step_factor = 1 / 3

    space = config.space
    space.budgets = (2352 + 3270 + 1000,)
    space.widths = (300,)
    space.small_dense.depths = ()
    space.methods = ("static", "set", "rigl")
    space.seeds = (0, 1, 2, 3, 4)

    if arg == "smoke":
        config.data.validation = 50
        config.steps = 20
        config.sparsity.rewire_every = 10
        config.batch_size = 16
        space.seeds = (0, 1)
    return config
