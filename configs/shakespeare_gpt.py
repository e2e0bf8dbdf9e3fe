"""Tiny Shakespeare, a small GPT of characters at 50 % density, trained with RigL.

Question: how well does a sparse transformer predict the next character? (The network is
    that which nanoGPT trains on a CPU: 4 layers of 128, a context of 64.)
Command: sparse-search train --config=configs/shakespeare_gpt.py --workdir=runs/gpt
    --config.data_dir=DIR (with input.txt)
Cost: 2,000 steps; not run here to the end.
Expected: nanoGPT reports a loss of 1.88 for its dense network after 2,000
    steps of 12 windows.
"""

from sparse_search.config import defaults


def get_config(arg: str = ""):
    """The run; `:smoke` makes two short rounds on any text named input.txt."""
    if arg not in ("", "smoke"):
        raise ValueError(f"there is no variant {arg!r}, only ':smoke'")
    config = defaults()
    config.data.name = "tiny_shakespeare"
    config.data.options = {"context": 64}
    config.data.validation = 800
    config.model.name = "gpt"
    config.model.width = 128
    config.model.depth = 4
    config.sparsity.density = 0.5
    config.batch_size = 32
    config.steps = 2000
    config.optimizer.name = "adamw"
    config.optimizer.options = {"b2": 0.99}
    config.optimizer.weight_decay = 0.1
    config.optimizer.learning_rate = 1e-3
    if arg == "smoke":
        config.data.name = "text"
        config.data.options = {"file": "input.txt", "context": 8}
        config.data.validation = 20
        config.model.width = 16
        config.model.depth = 1
        config.steps = 6
        config.sparsity.rewire_every = 3
        config.batch_size = 8
    return config
