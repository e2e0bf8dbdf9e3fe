import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sparse_search.data.dataset import pixel_scale
from sparse_search.errors import UserError


@given(hnp.arrays(np.uint8, st.tuples(st.integers(1, 5), st.integers(2, 5))))
def test_statistics_are_the_correctly_rounded_ones(images):
    values = [Fraction(value) for value in images.ravel().tolist()]
    if len(set(values)) == 1:
        with pytest.raises(UserError, match="are equal"):
            pixel_scale(images)
    else:
        assert pixel_scale(images) == math.sqrt(sum(v**2 for v in values) / len(values))


def test_statistics_of_more_images_than_are_counted_at_once():
    images = np.random.default_rng(0).integers(0, 256, (10_000, 3, 2), np.uint8)
    scale = pixel_scale(images)
    assert scale == pytest.approx(np.sqrt(np.mean(images.astype(float) ** 2)))
