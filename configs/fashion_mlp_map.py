"""Fashion-MNIST: where do weights decide, and where their structure?

Question: for MLPs with 1,592 to 26,432 weights, does it pay to spread them over a
    large and sparse network, and do methods that rewire remove the structure effect?
Command: sparse-search search --config=configs/fashion_mlp_map.py
    --workdir=runs/fashion_map --config.data_dir=DIR (with the four IDX files)
Cost: 20 minutes on 2 cores with other work beside it (1,020 trials).
Expected: over 10 seeds, weight-dominated at 3,192, 6,416, 12,960 and 26,432 weights
    (fragile at the last two) and structure-dominated at 1,592 (fragile), with the
    boundary near 1,810 (1,698 to 1,925); large-sparse beats small-dense at 4 of 4
    budgets, most at 3,192 weights, by 18.6 ± 7.0 points, a gain of 2.1 doublings of the
    weights (2.0 to 2.3), and at equal parameters, effective parameters, training FLOPs
    and stored bytes at all 5; the number of weights explains 56 % of the variance,
    structure 14 %, their interaction 26 %. 47 trials collapse, all of them small dense,
    so that there is no reference at 1,592.
"""

from sparse_search.config import defaults


def get_config(arg: str = ""):
    """The map; `:smoke` is a two-round miniature of it."""
    if arg not in ("", "smoke"):
        raise ValueError(f"there is no variant {arg!r}, only ':smoke'")
    config = defaults()
    config.data.name = "fashion_mnist"
    config.data.validation = 3000
    config.steps = 3000
    config.batch_size = 128
    config.optimizer.learning_rate = 0.1
    config.optimizer.weight_decay = 5e-4

    space = config.space
    # The kernels of dense 784-w-w-10 with w = 2, 4, 8, 16, 32, so that both depths of
    # the small dense family come within 2 % of every budget; then w = 64 and 128.
    space.budgets = (1592, 3192, 6416, 12960, 26432)
    space.widths = (64, 128, 256, 512)
    space.methods = ("static", "set", "rigl")
    space.seeds = tuple(range(10))
    space.small_dense.depths = (1, 2)
    space.small_dense.learning_rates = (0.01, 0.03, 0.1)
    space.small_dense.extra_budgets = (54912, 118016)

    if arg == "smoke":
        config.data.validation = 50
        config.steps = 20
        config.sparsity.rewire_every = 10
        config.batch_size = 16
        space.budgets = (3192, 6416)
        space.widths = (32,)
        space.methods = ("static", "rigl")
        space.seeds = (0, 1)
        space.small_dense.depths = (2,)
        space.small_dense.learning_rates = (0.1,)
        space.small_dense.extra_budgets = ()
    return config
