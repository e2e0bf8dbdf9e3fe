"""Layers compute the same whether their weights are stored alone or in dense arrays."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sparse_search import trees
from sparse_search.sparse import formats, native
from sparse_search.sparse.layers import TOPOLOGY, Dense


class Net(nn.Module):
    classes: int
    weights: str

    @nn.compact
    def __call__(self, x):
        for width in (200, 150):
            x = Dense(width, relu=True, param_dtype=self.weights)(x, wait=True)
        return Dense(self.classes, param_dtype=self.weights)(x)


@pytest.mark.parametrize("classes", [1, 10, 17])  # few are left to the kernel
@pytest.mark.parametrize("kind", ["float64", "bfloat16"])
@pytest.mark.parametrize("shape", [(20, 300), (2, 5, 300)])
def test_a_dense_layer_after_compressed_ones(classes, kind, shape):
    with jax.enable_x64(kind == "float64"):
        rng = np.random.default_rng(0)
        x = jnp.asarray(rng.standard_normal(shape), kind)
        weight = "float32" if kind == "bfloat16" else kind
        model = Net(classes, weight)
        made = model.init(jax.random.key(0), x)
        params = trees.named_leaves(made)
        last = "params/Dense_2/kernel"
        for name in (last, "params/Dense_2/bias"):
            params[name] = params[name].astype(kind)
        compressed, topology = dict(params), {}
        for number in (0, 1):
            name = f"params/Dense_{number}/kernel"
            mask = rng.random(params[name].shape) < 0.2
            params[name] *= mask
            topology[f"Dense_{number}"] = {"kernel": formats.from_mask(mask)}
            at = formats.host_positions(formats.from_mask(mask))
            compressed[name] = params[name][at]

        def loss(params, **more):
            tree = jax.tree.unflatten(jax.tree.structure(made), params.values())
            y = model.apply({**tree, **more}, x)
            return jnp.sum(jnp.sin(y.astype(weight))), y

        run = jax.jit(jax.value_and_grad(loss, has_aux=True))
        (_, y), grads = run(params)
        stored = jax.jit(
            lambda p: jax.value_and_grad(loss, has_aux=True)(p, **{TOPOLOGY: topology})
        )
        (_, other), others = stored(compressed)
        calls = stored.lower(compressed).as_text().count("SparseSearchForward")
        again = model.init(jax.random.key(0), x)["params"]
        fresh = model.apply(
            {TOPOLOGY: topology}, x, mutable=True, rngs=jax.random.key(0)
        )
    np.testing.assert_array_equal(
        fresh[1]["params"]["Dense_2"]["kernel"], again["Dense_2"]["kernel"]
    )
    tolerance = 1e-12 if kind == "float64" else 0.1
    assert other.dtype == x.dtype and other.shape == (*shape[:-1], classes)
    np.testing.assert_allclose(y, other, rtol=tolerance, atol=tolerance)
    ours, theirs = (np.asarray(g[last], np.float64) for g in (others, grads))
    np.testing.assert_allclose(ours, theirs, 0, tolerance * np.abs(theirs).max())
    if native.usable():
        assert calls == (3 if classes <= 16 else 2)
