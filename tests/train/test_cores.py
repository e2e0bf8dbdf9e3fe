import os

import numpy as np
import pytest
from commands import CONFIGS, ok, small_images


@pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity") or len(os.sched_getaffinity(0)) < 2,
    reason="needs two cores to take one away",
)
def test_the_cores_that_a_run_may_use_do_not_change_its_bits(tmp_path):
    data = small_images(tmp_path / "data", count=600)
    config = f"--config={CONFIGS / 'mnist_lenet.py'}:smoke"
    more = (
        f"--config.data_dir={data}",
        "--config.steps=100",
        "--config.batch_size=128",
    )
    cores = os.sched_getaffinity(0)
    found = []
    for name, may_use in (("all", cores), ("one", {min(cores)})):
        os.sched_setaffinity(0, may_use)  # inherited by the command
        try:
            ok("train", config, f"--workdir={tmp_path / name}", *more)
        finally:
            os.sched_setaffinity(0, cores)
        (file,) = (tmp_path / name / "results").iterdir()
        with np.load(file) as result:
            found.append({key: result[key].tobytes() for key in result.files})
    assert found[0] == found[1]
