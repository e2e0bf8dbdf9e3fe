"""Digits: where do weights decide, and where their structure?

Question: on scikit-learn's digits (1,437 training images of 8×8, 10 classes), does
    accuracy at a fixed number of weights depend on how many they are or on which?
Command: sparse-search search --config=configs/digits_map.py --workdir=runs/digits_map
Cost: a minute or two on 2 cores (660 trials).
Expected: over 10 seeds, weight-dominated at 656, 1,440 and 3,392 weights and
    structure-dominated at 312 (fragile), with the boundary near 360 (337 to 384);
    large-sparse and small-dense cannot be told apart at any of 3 budgets (4.5 ± 4.9
    points at 656 weights); at 312, where small dense networks end at chance level with
    some seed, there is no reference; the number of weights explains 44 % of the
    variance, structure 19 %, their interaction 33 %; 5 trials collapse.
"""

from sparse_search.config import defaults


def get_config(arg: str = ""):
    """The map; `:smoke` is a two-round miniature of it."""
    if arg not in ("", "smoke"):
        raise ValueError(f"there is no variant {arg!r}, only ':smoke'")
    config = defaults()
    config.data.name = "digits"
    config.data.validation = 287
    config.steps = 1000
    config.batch_size = 64
    config.optimizer.learning_rate = 0.1

    space = config.space
    # The kernels of dense 64-w-w-10 with w = 4, 8, 16, 32; then w = 48, 80.
    space.budgets = (312, 656, 1440, 3392)
    space.widths = (32, 64, 128)
    space.methods = ("static", "set", "rigl")
    space.seeds = tuple(range(10))
    space.small_dense.depths = (1, 2)
    space.small_dense.learning_rates = (0.01, 0.03, 0.1)
    space.small_dense.extra_budgets = (5856, 12320)

    if arg == "smoke":
        config.steps = 20
        config.sparsity.rewire_every = 10
        space.budgets = (656, 1440)
        space.widths = (32,)
        space.methods = ("static", "rigl")
        space.seeds = (0, 1)
        space.small_dense.depths = (2,)
        space.small_dense.learning_rates = (0.1,)
        space.small_dense.extra_budgets = ()
    return config
