import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sparse_search.sparse import formats, initializers, layers, rewiring


@pytest.mark.parametrize("kind", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(7, 5), (784, 300)])
def test_positions_get_the_weights_of_the_dense_layer(shape, kind):
    with jax.enable_x64(kind == "float64"):
        key = jax.random.key(5)
        dense = initializers.HeNormal()(key, shape, kind)
        theirs = nn.initializers.he_normal()(key, shape, kind)
        np.testing.assert_array_equal(dense, theirs)
        count = int(0.2 * np.prod(shape))
        topology = rewiring.random_topology(key, shape, count, count + 3)
        made = initializers.HeNormal().at(key, topology, jnp.dtype(kind))
        at = formats.host_positions(topology)
        np.testing.assert_allclose(made[:count], np.asarray(dense)[at], 1e-5, 1e-6)
        assert made.dtype == kind and not made[count:].any()


def test_other_initializers_draw_all_weights():
    topology = rewiring.random_topology(jax.random.key(0), (9, 6), 20, 20)
    key = jax.random.key(1)
    made = initializers.at(nn.initializers.orthogonal(), key, topology, jnp.float32)
    dense = nn.initializers.orthogonal()(key, (9, 6), jnp.float32)
    np.testing.assert_array_equal(made, dense[formats.host_positions(topology)])


def test_a_flat_index_beyond_32_bits():
    rows, columns = [262_143, 70_000, 5], [262_143, 3, 4]
    high, low = initializers._flat(jnp.uint32(rows), jnp.uint32(columns), 262_144)
    flat = [int(a) << 32 | int(b) for a, b in zip(high, low, strict=True)]
    assert flat == [r * 262_144 + c for r, c in zip(rows, columns, strict=True)]


def test_dense_is_that_of_flax_where_nothing_is_compressed():
    x = jnp.asarray(np.random.default_rng(0).standard_normal((4, 3, 6)), jnp.float32)
    ours = layers.Dense(5, relu=True)
    params = ours.init(jax.random.key(0), x)
    theirs = nn.Dense(5)
    assert jax.tree.structure(params) == jax.tree.structure(
        theirs.init(jax.random.key(0), x)
    )
    np.testing.assert_array_equal(
        ours.apply(params, x), nn.relu(theirs.apply(params, x))
    )


@pytest.mark.parametrize("use_bias", [True, False])
def test_dense_with_a_topology(use_bias):
    x = jnp.asarray(np.random.default_rng(0).standard_normal((4, 3, 6)), jnp.float32)
    layer = layers.Dense(5, relu=True, use_bias=use_bias)
    topology = rewiring.random_topology(jax.random.key(0), (6, 5), 11, 16)
    given = {layers.TOPOLOGY: {"kernel": topology}}
    rngs = {"params": jax.random.key(2)}
    y, made = layer.apply(given, x, rngs=rngs, mutable="params")
    params = made["params"]
    assert params["kernel"].shape == (16,) and ("bias" in params) == use_bias
    kernel = formats.to_dense(topology, params["kernel"])
    np.testing.assert_allclose(y, nn.relu(x @ kernel), atol=1e-6)
    with pytest.raises(ValueError, match="a layer of 6 inputs is given 7"):
        layer.apply({**given, **made}, jnp.ones((2, 7)))
