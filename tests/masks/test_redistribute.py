import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparse_search.masks.redistribute import divide

jitted = jax.jit(divide)


@pytest.mark.parametrize(
    "total, weights, room, expected",
    [
        (10, [1, 1], [100, 100], [5, 5]),
        (10, [3, 1], [2, 100], [2, 8]),  # 7.5 do not fit into 2
        (7, [1, 1, 1], [9, 9, 9], [3, 2, 2]),  # equal remainders go in layer order
        (4, [4.5, 0.75], [50, 50], [3, 1]),  # 3.43 + 0.57
        (5, [0, 0], [1, 9], [1, 4]),  # by room: 0.5 + 4.5
        (5, [np.nan, 1], [9, 9], [0, 5]),
        (5, [np.inf, -1], [3, 9], [1, 4]),  # by room: 1.25 + 3.75
        (50, [1, 2], [3, 4], [3, 4]),
        (0, [1, 2], [3, 4], [0, 0]),
        (3, [0, 1], [9, 2], [1, 2]),  # what does not fit goes where there is room
        (2_000_000_001, [1, 1], [2_000_000_001, 9], [1_999_999_992, 9]),
    ],
)
def test_by_hand(total, weights, room, expected):
    found = jitted(np.int32(total), np.array(weights, "float32"), np.array(room, "i4"))
    assert found.tolist() == expected


layers = st.lists(
    st.tuples(st.floats(0, 1e6, width=32), st.integers(0, 10**8)),
    min_size=4,
    max_size=4,
)


@settings(deadline=None)  # the first example compiles
@given(layers, st.floats(0, 1))
def test_the_sum_is_exact_and_nothing_overflows(layers, part):
    weights, room = (np.array(x) for x in zip(*layers, strict=True))
    total = int(part * room.sum())
    found = np.asarray(
        jitted(np.int32(total), weights.astype("float32"), room.astype("int32"))
    )
    assert found.sum() == total
    assert (found >= 0).all() and (found <= room).all()
    if weights.sum() > 0 and (total * weights / weights.sum() < room - 1).all():
        expected = total * weights / weights.sum()
        assert (abs(found - expected) <= 1 + 4e-6 * total).all()
