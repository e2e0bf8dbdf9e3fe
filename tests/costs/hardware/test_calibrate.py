import numpy as np
import pytest

from sparse_search.costs.hardware import calibrate, cpu, inference
from sparse_search.costs.layers import Layer


def test_a_fit_finds_what_the_times_were_made_of():
    amounts = np.array([[1e9, 5e5], [1e8, 5e5], [1e6, 5e5]])
    kernel = calibrate.fit(amounts, amounts @ [2e-11, 3e-10])
    assert kernel == pytest.approx((2e-11, 3e-10))
    # None is negative, though the best line has one that is.
    assert calibrate.fit(amounts, amounts[:, 0] * 1e-11 - 1e-5).number == 0


def test_this_machine_is_measured_and_read_back(tmp_path, monkeypatch):
    monkeypatch.setattr(calibrate, "_SIDE", 128)
    monkeypatch.setattr(calibrate, "_COPIED", 2**16)
    monkeypatch.setattr(calibrate, "_SHAPE", (256, 192))
    file = tmp_path / "here.json"
    found = calibrate.calibrate(file)
    assert cpu.read(file) == found
    assert found.flops > 1e6 and found.bandwidth > 1e6
    # How they compare is the machine's to say: a fit to so small a layer, on a machine
    # with other work, may leave all of the time to one of the two.
    for kernel in found.forward, found.backward:
        assert min(kernel) >= 0 and np.isfinite(kernel).all() and max(kernel) > 0
    layers = [Layer("a", (256, 192), 1, nnz, True, 256, 192) for nnz in (10, 9000)]
    few, many = (inference(cpu.cpu(found), [layer], 64)["a"] for layer in layers)
    assert 0 < few.seconds <= many.seconds
