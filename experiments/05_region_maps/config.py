"""Region maps for tasks of different difficulty.

Where does the number of weights decide, where their structure, and does the first
region grow with the difficulty of the task, as Sun et al. 2020 (arXiv:2004.11946)
expect? What is asked and found is in the README.md beside this file.
"""

from sparse_search.config import defaults


def _teacher(width: int) -> dict[str, int]:
    """Few weights look at few inputs, and the more weights, the harder.

    Of seeds 0 to 2 only the last has teachers of 4, 8 and 16 neurons in the order of a
    linear classifier's error.
    """
    return {"width": width, "nnz": 6 * width, "seed": 2}


# Of every perceptron's task: data, its options, inputs, classes, validation, steps,
# batch.
TASKS = {
    "digits": ("digits", {}, 64, 10, 287, 1000, 64),
    "mnist": ("mnist", {}, 784, 10, 3000, 3000, 128),
    "fashion_mnist": ("fashion_mnist", {}, 784, 10, 3000, 3000, 128),
    "cifar10": ("cifar10", {}, 3072, 10, 3000, 3000, 128),
    "teacher_easy": ("teacher", _teacher(4), 64, 4, 1000, 2000, 128),
    "teacher_medium": ("teacher", _teacher(8), 64, 4, 1000, 2000, 128),
    "teacher_hard": ("teacher", _teacher(16), 64, 4, 1000, 2000, 128),
}
IMAGES = ("mnist", "fashion_mnist", "cifar10")
OTHERS = ("cifar10_conv", "shakespeare_gru")


def get_config(arg: str = "digits"):
    """The map of a task; `:smoke` is a two-round miniature of that of the digits."""
    if arg not in (*TASKS, *OTHERS, "smoke"):
        names = ", ".join((*TASKS, *OTHERS))
        raise ValueError(f"there is no task {arg!r}, only {names}")
    config = defaults()
    space = config.space
    space.small_dense.tolerance = 0.05
    if arg == "cifar10_conv":
        _convolutions(config)
    elif arg == "shakespeare_gru":
        _recurrent(config)
    else:
        _perceptrons(config, *TASKS.get(arg, TASKS["digits"]))

    if arg == "smoke":
        config.steps = 20
        config.sparsity.rewire_every = 10
        space.budgets = space.budgets[3:5]
        space.widths = (32,)
        space.methods = ("static", "rigl")
        space.learning_rates = (0.1,)
        space.seeds = (0, 1)
        space.small_dense.depths = (2,)
        space.small_dense.learning_rates = (0.1,)
        space.small_dense.extra_budgets = ()
    return config


def _perceptrons(config, name, options, inputs, classes, validation, steps, batch):
    """Two hidden layers; small dense networks have one or two."""
    config.data.name = name
    config.data.options = options
    config.data.validation = validation
    config.steps = steps
    config.batch_size = batch
    config.optimizer.learning_rate = 0.1

    space = config.space
    # The kernels of dense networks with two layers of w, so that both depths of the
    # small dense family come near every budget; the narrowest are close to chance.
    small = [inputs * w + w * w + w * classes for w in (1, 2, 4, 8, 16, 32, 64, 128)]
    space.budgets = tuple(small[:6])
    space.widths = (32, 64, 128, 256, 512)
    space.methods = ("static", "set", "rigl", "snfs")
    space.learning_rates = (0.03, 0.1)
    space.seeds = (0, 1, 2, 3, 4)
    space.small_dense.depths = (1, 2)
    space.small_dense.learning_rates = (0.01, 0.03, 0.1)
    if name in IMAGES:
        config.data.center = True  # else networks of a few neurons die, or learn little
        space.learning_rates = (0.03, 0.1, 0.3)
        space.small_dense.learning_rates = (0.003, 0.01, 0.03, 0.1)
    space.small_dense.extra_budgets = tuple(small[6:])


def _convolutions(config):
    """LeNet-5 on CIFAR-10; its dense networks of 1 to 8 times a channel."""
    config.data.name = "cifar10"
    config.data.center = True
    config.data.validation = 3000
    config.model.name = "lenet5"
    config.model.depth = 4
    config.steps = 1500
    config.batch_size = 128
    config.optimizer.learning_rate = 0.03

    space = config.space
    space.budgets = (1625, 7150, 16575, 27300, 60450, 106600)  # widths 1 to 4, 6, 8
    space.widths = (8, 12, 20, 32)
    space.methods = ("static", "set", "rigl")
    space.learning_rates = (0.03, 0.1)
    space.seeds = (0, 1, 2)
    space.small_dense.depths = (4,)
    space.small_dense.learning_rates = (0.01, 0.03, 0.1)
    space.small_dense.extra_budgets = (237_900, 421_200)  # 12 and 16


def _recurrent(config):
    """One layer of GRU on characters; its dense networks of 2 to 64 units."""
    config.data.name = "tiny_shakespeare"
    config.data.options = {"context": 64}
    config.data.validation = 400
    config.model.name = "gru"
    config.model.depth = 1
    config.steps = 2000
    config.batch_size = 32
    config.optimizer.name = "adam"
    config.optimizer.options = {}
    config.optimizer.learning_rate = 0.004

    space = config.space
    space.budgets = (154, 356, 904, 2576, 8224, 28736)  # 2, 4, 8, 16, 32, 64 units
    space.widths = (64, 96, 128, 192)
    space.methods = ("static", "set", "rigl")
    space.learning_rates = (0.004, 0.012)
    space.seeds = (0, 1, 2)
    space.small_dense.depths = (1,)
    space.small_dense.learning_rates = (0.004, 0.012)
    space.small_dense.extra_budgets = (61_536, 106_624)  # 96 and 128
