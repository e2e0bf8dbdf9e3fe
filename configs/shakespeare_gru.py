"""Tiny Shakespeare, a GRU of characters at 25 % density, trained with RigL.

Question: how well does a sparse recurrent network predict the next character? (After
    the character GRU of Evci et al. 2020, arXiv:1911.11134, section 4.2, on a text
    that trains in minutes; Karpathy 2015.)
Command: sparse-search train --config=configs/shakespeare_gru.py --workdir=runs/gru
    --config.data_dir=DIR (with input.txt)
Cost: a quarter of an hour on 2 cores; not run here to the end.
Expected: with --config.steps=300 (2 minutes), a loss of 1.99 nats a character (2.88
    bits) and 40.9 % right on the test set, with 102,464 weights.
"""

from sparse_search.config import defaults


def get_config(arg: str = ""):
    """The run; `:smoke` makes two short rounds on any text named input.txt."""
    if arg not in ("", "smoke"):
        raise ValueError(f"there is no variant {arg!r}, only ':smoke'")
    config = defaults()
    config.data.name = "tiny_shakespeare"
    config.data.options = {"context": 128}
    config.data.validation = 400
    config.model.name = "gru"
    config.model.width = 256
    config.model.depth = 1
    config.sparsity.density = 0.25
    config.batch_size = 32
    config.steps = 2000
    config.optimizer.name = "adam"
    config.optimizer.options = {}
    config.optimizer.learning_rate = 0.004
    if arg == "smoke":
        config.data.name = "text"
        config.data.options = {"file": "input.txt", "context": 8}
        config.data.validation = 20
        config.model.width = 16
        config.steps = 6
        config.sparsity.rewire_every = 3
        config.batch_size = 8
    return config
