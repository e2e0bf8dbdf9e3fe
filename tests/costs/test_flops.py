import numpy as np
import pytest

from sparse_search.costs.flops import inference_flops, train_flops
from sparse_search.errors import UserError

SIZES = [784 * 300, 300 * 100, 100 * 10]
NNZ = [20_000, 5_000, 1_000]


def test_inference_counts_a_multiply_add_as_two():
    assert inference_flops(NNZ) == 52_000
    assert inference_flops(SIZES) == 2 * 266_200


@pytest.mark.parametrize("growth", ["none", "random"])
def test_a_step_costs_three_forward_passes(growth):
    flops = train_flops(growth, NNZ, SIZES, steps=10, rewires=2, batch_size=128)
    assert flops == 3 * 52_000 * 10 * 128


def test_rigl_is_the_formula_of_the_paper():
    # Appendix H: a period with ΔT updates and one rewire averages
    # (3 · f_S · ΔT + 2 · f_S + f_D) / (ΔT + 1) per step and example.
    sparse, dense, interval = inference_flops(NNZ), inference_flops(SIZES), 100
    flops = train_flops(
        "gradient", NNZ, SIZES, steps=interval + 1, rewires=1, batch_size=1
    )
    assert flops == 3 * sparse * interval + 2 * sparse + dense


def test_a_dense_network_pays_nothing_for_a_dense_gradient():
    arguments = {"steps": 100, "rewires": 10, "batch_size": 32}
    dense = train_flops("none", SIZES, SIZES, **arguments)
    assert train_flops("gradient", SIZES, SIZES, **arguments) == dense


def test_large_numbers_are_exact():
    nnz, sizes = np.array([2**30 + 1], np.int32), np.array([2**31 - 1], np.int32)
    flops = train_flops(
        "gradient",
        nnz,
        sizes,
        steps=np.int32(10**6),
        rewires=np.int32(10**4),
        batch_size=np.int32(4096),
    )
    n, s = 2**30 + 1, 2**31 - 1
    assert flops == (6 * n * 10**6 + 2 * (s - n) * 10**4) * 4096
    assert type(flops) is int


def test_wrong_arguments_are_errors():
    valid = {"steps": 10, "rewires": 1, "batch_size": 1}
    with pytest.raises(UserError, match="'gradients' is not known.*'gradient'"):
        train_flops("gradients", NNZ, SIZES, **valid)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="cannot hold 11 rewires"):
        train_flops("random", NNZ, SIZES, **(valid | {"rewires": 11}))
    with pytest.raises(ValueError, match="cannot hold"):
        train_flops("random", SIZES, NNZ, **valid)
    with pytest.raises(TypeError):
        train_flops("random", NNZ, SIZES, **(valid | {"steps": 10.0}))
