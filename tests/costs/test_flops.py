import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparse_search.costs import flops, trajectories
from sparse_search.costs.architectures import by_name
from sparse_search.costs.flops import Phase, Work, train_flops
from sparse_search.costs.layers import Layer, with_counts
from sparse_search.costs.tally import allocated

LAYERS = [
    Layer("params/Conv_0/kernel", (3, 3, 2, 4), 25, 30, True, 50, 100),
    Layer("params/Dense_0/kernel", (100, 10), 1, 1000, False, 100, 10),
]


def test_a_layer_counts_multiplications_additions_and_its_outputs():
    conv, dense = LAYERS
    assert (conv.size, conv.density) == (72, 30 / 72)
    assert conv.flops == 2 * 30 * 25 + 100 and conv.dense_flops == 2 * 72 * 25 + 100
    assert flops.inference_flops(LAYERS) == 1600 + 2010
    assert flops.inference_flops(LAYERS, products=7) == 1600 + 2010 + 14
    assert flops.dense_inference_flops(LAYERS) == 3700 + 2010


def test_layers_with_other_counts():
    conv, dense = with_counts(LAYERS, {"params/Conv_0/kernel": 5})
    assert conv.nnz == 5 and dense == LAYERS[1]
    with pytest.raises(ValueError, match="cannot hold 73"):
        with_counts(LAYERS, {"params/Conv_0/kernel": 73})
    with pytest.raises(ValueError, match="no layers"):
        with_counts(LAYERS, {"params/Conv_1/kernel": 1})


def test_what_depends_on_the_nnz_and_what_does_not():
    made = by_name("lenet5").network()
    work, counts = flops.work_of(made), flops.counts_of(made)
    assert counts == work.sizes
    for density in (0.01, 0.3, 1):
        sparse = allocated(made, density, "erk")
        expected = flops.inference_flops(sparse.layers)
        assert work.forward(flops.counts_of(sparse)) == expected
    with pytest.raises(ValueError, match="cannot hold"):
        work.forward([size + 1 for size in work.sizes])


def test_a_step_costs_three_forward_passes():
    work = Work((784 * 300, 300 * 10), (1, 1), 310)
    phases = [Phase(10, (20_000, 1_000), (20_000, 1_000))]
    assert train_flops(work, phases, 128) == 3 * 42_310 * 10 * 128


def test_rigl_is_the_formula_of_the_paper():
    # Appendix H: a period with ΔT updates and one rewire averages
    # (3 · f_S · ΔT + 2 · f_S + f_D) / (ΔT + 1) per step and example.
    work, interval = Work((1000, 400), (49, 1), 77), 100
    nnz = (123, 45)
    sparse, dense = work.forward(nnz), work.forward(work.sizes)
    when = trajectories.Schedule(interval + 1, 10**6, (True,))
    made = trajectories.phases("rigl", "gradient", work.sizes, nnz, when, {})
    assert train_flops(work, made) == 3 * sparse * interval + 2 * sparse + dense
    made = trajectories.phases("snfs", "momentum", work.sizes, nnz, when, {})
    assert train_flops(work, made) == (interval + 1) * (2 * sparse + dense)


def test_large_numbers_are_exact():
    nnz = np.array([2**30 + 1], np.int32)
    work = Work((2**31 - 1,), (10**9,), 1)
    made = [Phase(10**6, tuple(nnz), work.sizes)]
    n, s = 2**30 + 1, 2**31 - 1
    forward = 2 * n * 10**9 + 1
    exact = (2 * forward + 2 * s * 10**9 + 1) * 10**6 * 4096
    assert train_flops(work, made, 4096) == exact
    assert type(train_flops(work, made, 4096)) is int
    with pytest.raises(TypeError):
        train_flops(work, [Phase(10.0, (1,), (1,))])  # type: ignore[arg-type]


@given(
    st.sampled_from(["resnet20", "vgg11", "mobilenet_v1_0.25", "vit_tiny", "gru"]),
    st.floats(0.02, 1),
    st.floats(0.02, 1),
    st.sampled_from(["uniform", "er", "erk"]),
)
def test_the_denser_network_costs_more(name, one, other, allocation):
    made = by_name(name).network()
    few, many = (allocated(made, d, allocation) for d in sorted((one, other)))
    costs = [flops.inference_flops(n.layers, made.products) for n in (few, many)]
    assert costs == sorted(costs)
    assert costs[1] <= flops.dense_inference_flops(made.layers, made.products)
    whole = allocated(made, 1, allocation)
    assert whole == made
