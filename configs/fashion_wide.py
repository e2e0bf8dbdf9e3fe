"""Fashion-MNIST: 65,536 neurons wide, where the dense network does not fit in memory.

Question: can 600,000 weights be trained in two hidden layers of 65,536 neurons, of
    whose 4.3 billion entries (52 GB dense, with gradient and momentum) they are
    0.014 %, and are they better there than in a small dense network?
Command: sparse-search search --config=configs/fashion_wide.py
    --workdir=runs/fashion_wide --config.data_dir=DIR (with the four IDX files)
Cost: half an hour on 2 cores (27 trials, with other work beside them); 5 minutes a
    wide network on one core, 11 seconds a small dense one.
Expected: the wide networks end at 89.7 % on the test set and small dense ones of the
    same number of weights at 88.9 %; with seeds paired, 0.8 ± 0.6 points better (3
    seeds). Whether the topology changes (SET) or not makes no difference.
"""

from sparse_search.config import defaults


def get_config(arg: str = ""):
    """The network and its reference; `:smoke` is a narrow two-round miniature."""
    if arg not in ("", "smoke"):
        raise ValueError(f"there is no variant {arg!r}, only ':smoke'")
    config = defaults()
    config.data.name = "fashion_mnist"
    config.data.validation = 3000
    config.model.width = 65536
    config.sparsity.method = "set"
    config.sparsity.nnz = 600_000
    config.representation = "compressed"
    config.steps = 3000
    config.batch_size = 128
    config.lanes = 1

    space = config.space
    space.budgets = (600_000,)
    space.methods = ("static", "set")
    space.learning_rates = (0.2, 0.5)
    space.seeds = (0, 1, 2)
    space.small_dense.depths = (2,)
    space.small_dense.learning_rates = (0.01, 0.02, 0.05, 0.1, 0.2)

    if arg == "smoke":
        config.data.validation = 50
        config.steps = 20
        config.sparsity.rewire_every = 10
        config.batch_size = 16
        config.model.width = 2048
        config.sparsity.nnz = 20_000
        space.budgets = (20_000,)
    return config
