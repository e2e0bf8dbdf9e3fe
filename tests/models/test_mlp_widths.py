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
