from sparse_search.config import defaults


def get_config(arg: str = ""):
    config = defaults()
    config.data.name = "digits"
    config.steps = 1000
    config.batch_size = 64
    config.optimizer.learning_rate = 0.1
    config.space.budgets = (312, 656, 1440, 3392)
    config.space.widths = (32, 64, 128)
    config.space.methods = ("static", "set", "rigl")
    config.space.seeds = (0, 1, 2)
    config.space.small_dense.depths = (1, 2)
    config.space.small_dense.learning_rates = (0.03, 0.1)
    config.space.small_dense.extra_budgets = (5888, 12672)
    if arg == "smoke":
        config.steps = 20
        config.sparsity.rewire_every = 10
        config.space.budgets = (312, 656)
        config.space.widths = (32, 64)
        config.space.seeds = (0, 1)
        config.space.methods = ("static", "rigl")
    return config
