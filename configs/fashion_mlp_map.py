from sparse_search.config import defaults


def get_config(arg: str = ""):
    config = defaults()
    config.data.name = "fashion_mnist"
    config.data.validation = 3000
    config.steps = 4000
    config.batch_size = 128
    config.optimizer.learning_rate = 0.1
    config.optimizer.weight_decay = 5e-4
    # The kernels of dense 784-w-w-10 with w = 2, 4, 8, 16, 32, so that both depths of
    # the small dense family come within 2 % of every budget; then w = 64 and 128.
    config.space.budgets = (1592, 3192, 6416, 12960, 26432)
    config.space.widths = (64, 128, 256, 512)
    config.space.methods = ("static", "set", "rigl")
    config.space.seeds = (0, 1, 2)
    config.space.small_dense.depths = (1, 2)
    config.space.small_dense.learning_rates = (0.03, 0.1, 0.3)
    config.space.small_dense.extra_budgets = (54912, 118016)
    return config
