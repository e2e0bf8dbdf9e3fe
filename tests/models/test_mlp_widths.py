import jax
import numpy as np
import pytest

from sparse_search import build
from sparse_search.config import Model
from sparse_search.errors import UserError


def test_hidden_layers_of_several_widths():
    spec = Model("mlp", options={"widths": [4000, 1000, 4000]})
    assert build.model(spec, 4000, 3, 10).features == (4000, 1000, 4000)
    assert build.model(spec, 6, 3, 10).features == (6, 2, 6)
    assert build.model(spec, 1, 3, 10).features == (1, 1, 1)
    assert build.model(Model("mlp"), 7, 2, 10).features == (7, 7)
    with pytest.raises(UserError, match="set model.depth=3, not 2"):
        build.model(spec, 4000, 2, 10)


@pytest.mark.parametrize("name", ["mlp", "lenet_300_100"])
def test_how_weights_are_drawn(name):
    def weights(**options):
        model = build.model(Model(name, options=options), 30, 2, 10)
        drawn = model.init(jax.random.key(0), np.zeros((1, 784)))
        return drawn["params"]["Dense_0"]["kernel"]

    np.testing.assert_array_equal(weights(), weights(init="he_normal"))
    bound = np.sqrt(6 / (784 + 30))
    assert 0.999 * bound < np.abs(weights(init="glorot_uniform")).max() <= bound
    with pytest.raises(UserError, match="Did you mean 'glorot_uniform'"):
        weights(init="glorot_unifrom")
