"""Simulated tables of trials whose truth is known."""

import numpy as np

from sparse_search.records import SMALL_DENSE

NNZ = (1000, 2000, 4000, 8000, 16000)


def row(structure, nnz, seed, test, valid=None, **more):
    """One trial."""
    return {
        "point": f"{structure} {nnz}",
        "structure": structure,
        "method": structure.split()[0],
        "learning_rate": 0.1,
        "density": 0.1,
        "seed": seed,
        "nnz": nnz,
        "valid_accuracy": test if valid is None else valid,
        "test_accuracy": test,
        "status": "done",
        **more,
    }


def table(
    rng,
    slope=0.04,
    sd=0.02,
    noise=0.01,
    block=0.01,
    shift=0.0,
    structures=12,
    seeds=3,
    nnz=NNZ,
    methods=("static", "set", "rigl"),
    base=0.5,
    dense=None,
    heavy=False,
):
    """Structures `sd` apart at every budget, on a line of `slope` a doubling.

    `block` is what a seed adds everywhere, `shift` what it adds at one budget. `dense`
    is how far the small dense line lies above the sparse one; it goes on for two more
    doublings, has a worse depth beside it, and nnz 1 % off.
    """
    slope, sd, noise = (np.broadcast_to(v, len(nnz)) for v in (slope, sd, noise))
    apart = rng.normal(size=(structures, len(nnz)))
    apart -= apart.mean(axis=0)
    if structures > 1:
        apart *= sd / apart.std(axis=0, ddof=1)
    rise = base + np.concatenate([[0], np.cumsum(slope[:-1])])
    each = rng.normal(size=seeds) * block
    together = rng.normal(size=(len(nnz) + 2, seeds)) * shift
    rows = []

    def draw():
        return rng.standard_t(3) / 3**0.5 if heavy else rng.normal()

    def add(name, size, b, k, mean, noise, **more):
        # Validation sees the same network, so most of its noise is the test's.
        test = mean + each[k] + together[b, k] + noise * draw()
        valid = test + 0.3 * noise * rng.normal()
        rows.append(row(name, size, k, float(test), float(valid), **more))

    for b, size in enumerate(nnz):
        for k in range(seeds):
            for s in range(structures):
                name = f"{methods[s % len(methods)]} w{s // len(methods)}"
                add(name, size, b, k, rise[b] + apart[s, b], noise[b])
    if dense is None:
        return rows
    sizes = [*nnz, nnz[-1] * 2, nnz[-1] * 4]
    means = [*rise, rise[-1] + slope[-1], rise[-1] + 2 * slope[-1]]
    for b, size in enumerate(sizes):
        for k in range(seeds):
            for depth, worse in ((1, 0.0), (2, 0.01)):
                mean = means[b] + dense - worse
                extra = {"point": f"dense d{depth} {size}", "depth": depth}
                size_ = int(size * 1.01)
                level = noise[min(b, len(nnz) - 1)]
                add(SMALL_DENSE, size_, b, k, mean, level, **extra)
    return rows
