"""A round on eight devices: what it communicates, and where its state lies.

Run by itself, on eight forced host devices; prints a line of JSON for every case.
"""

import json
import re
import sys

import jax
import numpy as np

from sparse_search.config import freeze
from sparse_search.data.dataset import Dataset
from sparse_search.train import sharding
from sparse_search.train.lanes import Group, Loaded
from sparse_search.train.trials import single_trial

WIDTH = 256  # activations, 32 × 256, are smaller than a device's part of a kernel
KERNEL = WIDTH * WIDTH
COLLECTIVES = "all-gather|all-reduce|all-to-all|collective-permute|reduce-scatter"


def largest(program):
    """The entries of the largest array that a compiled program communicates."""
    found = [0]
    for line in program.compile().as_text().splitlines():
        made = re.match(rf"\s*(?:ROOT )?\S+ = (.*?) ({COLLECTIVES})(-start)?\(", line)
        for shape in re.findall(r"\w+\[([\d,]*)\]", made.group(1)) if made else ():
            found.append(int(np.prod([int(size) for size in shape.split(",") if size])))
    return max(found)


def parts(tree, number):
    """Whether every leaf as large as a kernel lies in that many parts."""
    large = [x for x in jax.tree.leaves(tree) if x.size >= KERNEL]
    sizes = {(x.addressable_shards[0].data.size, x.size // number) for x in large}
    return len(large) > 0 and all(part == whole for part, whole in sizes)


def case(dataset, method, pattern):
    config = freeze(
        {
            "data": {"validation": 32},
            "model": {"width": WIDTH},
            "sparsity": {
                "method": method,
                "pattern": pattern,
                "density": 0.5,
                "allocation": "uniform",
                "rewire_every": 2,
            },
            "steps": 20,
            "batch_size": 32,
        }
    )
    trial = single_trial(config, dataset)
    group = Group(config, trial, Loaded(config, dataset))
    placed, loaded = sharding.placement(1, 8), group.loaded
    programs, examples = group.programs(placed), loaded.on(placed)
    hyper, valid = group.hyper([trial]), placed.put(loaded.validation([0]))
    rows = placed.put(loaded.rows([0], 0))
    state = before = group.init([trial], placed)
    found = {
        "case": f"{method} {pattern}",
        "parts_at_first": parts(state, 8),
        "rows": rows.addressable_shards[0].data.shape,
    }
    found["largest"] = max(
        largest(programs.weights.lower(0, examples)),
        largest(programs.round.lower(hyper, state, rows, valid, examples)),
    )
    masks = jax.device_get(before.train.sparse.masks)
    for _ in range(2):
        state, metrics = programs.round(hyper, state, rows, valid, examples)
    found["parts_at_last"] = parts(state, 8)
    found["compiled"] = programs.round._cache_size()
    found["grown"] = int(metrics.topology.grown[0])
    after = jax.device_get(state.train.sparse.masks)
    pairs = zip(jax.tree.leaves(masks), jax.tree.leaves(after), strict=True)
    found["changed"] = int(sum((a != b).sum() for a, b in pairs))
    return found


def main():
    assert jax.device_count() == 8
    jax.config.update("jax_disable_most_optimizations", True)  # compiles sooner
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (200, 8, 8), np.uint8)
    labels = np.arange(200) % 10
    dataset = Dataset("random", images, labels, images[:50], labels[:50], 10, 255.0)
    for name in sys.argv[1:]:
        print(json.dumps(case(dataset, *name.split())), flush=True)
    # A program that does gather, to see that it would be found.
    kernel = sharding.placement(1, 8).put(np.ones((1, WIDTH, WIDTH), np.float32))
    gathers = jax.jit(lambda x: jax.numpy.sort(x.ravel()))
    print(json.dumps({"case": "sort", "largest": largest(gathers.lower(kernel))}))


if __name__ == "__main__":
    main()
