"""x."""

from sparse_search.config import defaults


def get_config(arg=""):
    config = defaults()
    config.data.name = "mnist"
    config.data.validation = 5000
    config.model.name = "lenet_300_100"
    config.model.width = 300
    config.sparsity.density = 0.05
    config.steps = 12000
    config.optimizer.learning_rate = 0.2
    config.optimizer.weight_decay = 5e-4
    return config
