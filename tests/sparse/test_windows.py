"""Convolutions with stored weights against XLA's, in the kernel and without it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sparse_search.sparse import formats, native
from sparse_search.sparse.layers import TAPS, TOPOLOGY, Conv, window_of, with_taps

TOLERANCE = {"float64": 1e-12, "float32": 1e-5, "bfloat16": 2e-2}

# Channels, neurons, density, images, and options.
CASES = {
    "3×3": (5, 7, 0.3, (4, 8, 9), {"kernel_size": (3, 3)}),
    "strides": (5, 7, 0.3, (4, 8, 9), {"kernel_size": (3, 3), "strides": 2}),
    "no padding": (3, 20, 0.2, (3, 11, 9), {"kernel_size": (5, 5), "padding": 0}),
    "odd": (
        *(6, 4, 0.5, (2, 10, 9)),
        {
            "kernel_size": (3, 2),
            "strides": (1, 3),
            "kernel_dilation": (2, 1),
            "padding": ((2, 0), (0, 1)),
        },
    ),
    "1×1, strides": (
        *(9, 30, 0.2, (2, 5, 5)),
        {"kernel_size": (1, 1), "strides": 2, "use_bias": False},
    ),
    "1×1, padded": (6, 60, 0.5, (1, 5, 5), {"kernel_size": (1, 1), "padding": 1}),
    "several tiles": (40, 300, 0.1, (9, 6, 6), {"kernel_size": (3, 3)}),
    "more axes": (3, 4, 0.3, (2, 2, 5, 6), {"kernel_size": (3, 3)}),
    # More images than are taken at a time, the last ones fewer; gradients in parts.
    "groups": (2, 5, 0.5, (37, 5, 4), {"kernel_size": (3, 3)}),
    "groups, strides": (2, 5, 0.5, (37, 6, 7), {"kernel_size": (3, 3), "strides": 2}),
    "halved": (3, 20, 0.2, (3, 11, 9), {"kernel_size": (5, 5), "halved": True}),
    "halved, no padding": (
        *(4, 18, 0.3, (37, 9, 8)),
        {"kernel_size": (3, 2), "padding": 0, "halved": True},
    ),
    "halved, 1×1": (9, 5, 0.4, (2, 5, 4), {"kernel_size": (1, 1), "halved": True}),
    "halved, one image": (3, 8, 0.4, (8, 6), {"kernel_size": (3, 3), "halved": True}),
    "halved, more axes": (
        *(3, 8, 0.4, (2, 2, 8, 6)),
        {"kernel_size": (3, 3), "halved": True},
    ),
    "no outputs": (2, 3, 0.5, (2, 2, 2), {"kernel_size": (3, 3), "padding": 0}),
    "halved to nothing": (
        *(2, 3, 0.5, (4, 3, 5)),
        {"kernel_size": (3, 3), "padding": 0, "halved": True},
    ),
}


def made(case, kind):
    """A layer, its dense and its compressed variables, and inputs."""
    channels, neurons, density, images, options = CASES[case]
    weight = "float64" if kind == "float64" else "float32"
    rng = np.random.default_rng(0)
    layer = Conv(neurons, param_dtype=weight, **options)
    x = jnp.asarray(rng.standard_normal((*images, channels)), kind)
    params = layer.init(jax.random.key(0), x)["params"]
    if "bias" in params:
        params["bias"] = jnp.asarray(rng.standard_normal(neurons), weight)
    mask = rng.random(params["kernel"].shape) < density
    topology = formats.from_mask(mask, int(mask.sum()) + 3)
    params["kernel"] = jnp.where(mask, params["kernel"], 0)
    at = formats.host_positions(topology)
    values = params["kernel"].reshape(topology.shape)[at]
    stored = {**params, "kernel": jnp.pad(values, (0, 3))}
    return layer, params, stored, topology, x


@pytest.mark.parametrize(
    "case, kind, kernel",
    [(case, "float64", True) for case in CASES]
    + [("strides", "float64", False), ("1×1, strides", "bfloat16", False)]
    + [("3×3", "float32", True), ("several tiles", "bfloat16", True)]
    + [("halved", "float32", True), ("halved", "float64", False)],
)
def test_outputs_and_gradients(case, kind, kernel, monkeypatch):
    if kernel and not native.usable():
        pytest.skip("the kernel was not built here")
    if not kernel:
        monkeypatch.setattr(native, "usable", lambda: False)
    with jax.enable_x64(kind == "float64"):
        layer, params, stored, topology, x = made(case, kind)
        weight = params["kernel"].dtype
        expected, theirs = jax.vjp(
            lambda params, x: layer.apply({"params": params}, x),
            params,
            x.astype(weight),
        )
        variables = {"params": stored, TOPOLOGY: {"kernel": topology}}
        variables = with_taps(variables, lambda given: layer.apply(given, x))
        taps = variables.pop(TAPS)
        y, ours = jax.vjp(
            lambda params, x, taps: layer.apply(
                {**variables, "params": params, TAPS: taps}, x
            ),
            stored,
            x,
            taps,
        )
        assert y.dtype == x.dtype and y.shape == expected.shape
        dy = jnp.asarray(np.random.default_rng(1).standard_normal(y.shape), kind)
        (of_stored, dx, tapped), (of_dense, of_x) = ours(dy), theirs(dy.astype(weight))

    def close(one, other):
        one, other = np.asarray(one, np.float64), np.asarray(other, np.float64)
        scale = np.abs(other).max(initial=0) or 1
        np.testing.assert_allclose(one / scale, other / scale, 0, TOLERANCE[kind])

    close(y, expected)
    close(dx, of_x)
    everywhere = np.asarray(of_dense["kernel"]).reshape(topology.shape)
    close(of_stored["kernel"][:-3], everywhere[formats.host_positions(topology)])
    assert not of_stored["kernel"][-3:].any()
    if "bias" in of_dense:
        close(of_stored["bias"], of_dense["bias"])
    tapped = [np.asarray(one, np.float64) for one in tapped["kernel"]]
    close(tapped[0] if len(tapped) == 1 else tapped[0] @ tapped[1].T, everywhere)


@pytest.mark.parametrize("kind", ["float32", "bfloat16"])
def test_of_several_that_are_largest_the_first_is_taken(kind):
    """Whole numbers, so that sums are exact in any order: many outputs are equal."""
    rng = np.random.default_rng(0)
    layer = Conv(20, (3, 3), halved=True)
    x = jnp.asarray(rng.integers(-1, 2, (5, 7, 8, 3)), kind)
    params = layer.init(jax.random.key(0), x)["params"]
    mask = rng.random(params["kernel"].shape) < 0.2
    topology = formats.from_mask(mask)
    dense = np.where(mask, rng.integers(-1, 2, mask.shape), 0).astype("float32")
    values = dense.reshape(topology.shape)[formats.host_positions(topology)]
    bias = jnp.asarray(rng.integers(-1, 2, 20), "float32")

    def made(kernel, given, kind):
        def apply(bias, x):
            return layer.apply({"params": {"kernel": kernel, "bias": bias}, **given}, x)

        y, pull = jax.vjp(apply, bias, x.astype(kind))
        dy = np.random.default_rng(1).integers(-2, 3, y.shape)
        return y, *pull(jnp.asarray(dy, kind))

    found = made(jnp.asarray(values), {TOPOLOGY: {"kernel": topology}}, kind)
    for ours, theirs in zip(
        found, made(jnp.asarray(dense), {}, "float32"), strict=True
    ):
        np.testing.assert_array_equal(np.asarray(ours, "float32"), theirs)


def test_what_is_not_a_number_stays():
    """And has no gradient."""
    layer = Conv(3, (3, 3), halved=True)
    x = jnp.zeros((2, 6, 6, 1)).at[0, 3, 3].set(jnp.nan)
    params = layer.init(jax.random.key(0), x)["params"]
    params["bias"] = jnp.ones(3)
    topology = formats.from_mask(np.ones((3, 3, 1, 3), bool))
    values = {**params, "kernel": params["kernel"].reshape(-1)}

    def both(params, **given):
        y = layer.apply({"params": params, **given}, x)
        pull = jax.vjp(lambda p: layer.apply({"params": p, **given}, x), params)[1]
        return np.isnan(y), pull(jnp.ones_like(y))[0]["bias"]

    found = both(values, **{TOPOLOGY: {"kernel": topology}})
    for ours, theirs in zip(found, both(params), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("x, weights", [("float64", "float32"), ("float32", "float64")])
def test_types_that_do_not_fit(x, weights):
    with jax.enable_x64(True):
        _, _, stored, topology, images = made("3×3", weights)
        layer = Conv(7, (3, 3), param_dtype=weights, dtype=x)
        given = {"params": stored, TOPOLOGY: {"kernel": topology}}
        with pytest.raises(ValueError, match="all be float32 or all float64"):
            layer.apply(given, images)


def test_what_is_not_halved_needs_no_outputs_for_its_gradient():
    if not native.usable():
        pytest.skip("the kernel was not built here")
    layer, _, stored, topology, x = made("3×3", "float32")

    def loss(params):
        given = {"params": params, TOPOLOGY: {"kernel": topology}}
        return layer.apply(given, x).sum()

    compiled = jax.jit(jax.grad(loss)).lower(stored).compile().as_text()
    assert "SparseSearchWindowBackward" in compiled
    assert "SparseSearchWindowForward" not in compiled


def test_long_batches_are_summed_up_in_parts():
    """Of fully connected layers too: more rows than a part has."""
    if not native.usable():
        pytest.skip("the kernel was not built here")
    with jax.enable_x64(True):
        rng = np.random.default_rng(0)
        layer = Conv(7, (1, 1), param_dtype="float64", use_bias=False)
        mask = rng.random((1, 1, 300, 7)) < 0.2
        topology = formats.from_mask(mask)
        values = jnp.asarray(rng.standard_normal(topology.capacity))
        x = jnp.asarray(rng.standard_normal((2, 50, 51, 300)))

        def loss(values, x):
            params = {"kernel": values}
            given = {"params": params, TOPOLOGY: {"kernel": topology}}
            return jnp.sum(layer.apply(given, x) ** 2)

        dv, dx = jax.jit(jax.grad(loss, (0, 1)))(values, x)
        dense = np.asarray(formats.to_dense(topology, values))
        rows = np.asarray(x).reshape(-1, 300)
        g = 2 * rows @ dense
        expected = (rows.T @ g)[formats.host_positions(topology)]
        np.testing.assert_allclose(dv, expected, 1e-9)
        np.testing.assert_allclose(dx.reshape(-1, 300), g @ dense.T, 1e-9, 1e-9)


def test_an_empty_batch_has_no_gradient():
    layer, _, stored, topology, x = made("1×1, padded", "float32")

    def loss(params):
        given = {"params": params, TOPOLOGY: {"kernel": topology}}
        return layer.apply(given, x[:0]).sum()

    gradient = jax.jit(jax.grad(loss))
    for _ in range(20):  # what memory holds that nobody writes is seldom zeros
        assert not np.asarray(gradient(stored)["kernel"]).any()


@pytest.mark.parametrize(
    "options",
    [
        {"feature_group_count": 2},
        {"padding": "CIRCULAR"},
        {"input_dilation": 2},
        {"padding": ((1, 1), (-1, 1))},
        {"mask": np.ones((3, 3, 4, 4))},
    ],
)
def test_what_has_no_compressed_form(options):
    layer = Conv(4, (3, 3), **options)
    assert window_of(layer, (8, 8)) is None
    topology = formats.from_mask(np.ones((3, 3, 4, 4), bool))
    given = {"params": {"kernel": jnp.zeros(144)}, TOPOLOGY: {"kernel": topology}}
    with pytest.raises(ValueError, match="no compressed form"):
        layer.apply(given, jnp.zeros((1, 8, 8, 4)))


def test_the_kernel_s_shape_is_known():
    mask = np.random.default_rng(0).random((3, 2, 5, 7)) < 0.3
    topology = formats.from_mask(mask)
    assert topology.kernel == mask.shape and topology.shape == (30, 7)
    np.testing.assert_array_equal(formats.to_mask(topology), mask.reshape(30, 7))
    assert formats.from_mask(mask[0, 0]).kernel == (5, 7)
