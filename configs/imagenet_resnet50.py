"""ImageNet, ResNet-50 at 20 % density, trained with RigL.

Question: what does ResNet-50 lose with a fifth of its weights? (Evci et al. 2020,
    arXiv:1911.11134, section 4.1.)
Command: sparse-search train --config=configs/imagenet_resnet50.py
    --workdir=runs/resnet50 --config.data_dir=DIR (with the folders train and val, each
    with a folder a class; pip install 'sparse_search[grain]')
    [--config.sparsity.density=0.1]
Cost: for one accelerator with 40 GB; 500,800 steps of 256 images. Not run here to the
    end; `:smoke` runs it in small on a CPU in a minute.
Expected: the paper reports 75.1 % at density 0.2 and 73.0 % at 0.1 with ERK, and 76.8 %
    dense. Departures: batches of 256 in place of 4096, with the learning rate and the
    rewire interval scaled to them; an image is shifted by up to an eighth and mirrored,
    not cut out at random sizes; no label smoothing; 5,000 training images are held
    out for validation.
"""

from sparse_search.config import defaults


def get_config(arg: str = ""):
    """The run; `:smoke` makes two short rounds of a small network, 32×32 pixels."""
    if arg not in ("", "smoke"):
        raise ValueError(f"there is no variant {arg!r}, only ':smoke'")
    config = defaults()
    config.data.name = "image_folder"
    config.data.options = {"size": 224}
    config.data.validation = 5000
    config.data.augment = ("crop", "flip")
    config.model.name = "resnet"
    config.model.width = 64
    config.model.depth = 50
    config.sparsity.density = 0.2
    config.sparsity.allocation = "erk"
    config.sparsity.rewire_every = 1600  # images between rewires as in the paper
    config.sparsity.rewire_until = 0.78  # 25,000 of 32,000 steps
    config.precision = "bfloat16"
    config.batch_size = 256
    config.steps = 500_800  # 100 epochs
    config.optimizer.learning_rate = 0.1
    config.optimizer.weight_decay = 1e-4
    config.optimizer.options = {"momentum": 0.9, "nesterov": True}
    config.optimizer.schedule = "step"
    config.optimizer.steps_at = (0.3, 0.7, 0.9)
    config.optimizer.warmup = 0.05
    if arg == "smoke":
        config.data.options = {"size": 32}
        config.data.validation = 8
        config.model.width = 4
        config.model.depth = 18
        config.sparsity.density = 0.5
        config.steps = 6
        config.sparsity.rewire_every = 3
        config.batch_size = 4
    return config
