"""Products and gradients against NumPy in float64, in the kernel and without it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from layers_by_hand import by_numpy, random_layer

from sparse_search.sparse import formats, native, products

TOLERANCE = {"float64": 1e-12, "float32": 2e-5, "bfloat16": 3e-2}


@pytest.fixture(params=["kernel", "dense"])
def form(request, monkeypatch):
    """Where products run."""
    if request.param == "dense":
        monkeypatch.setattr(native, "usable", lambda: False)
    elif not native.usable():
        pytest.skip("the kernel was not built here")


def check(sizes, density, batch, kind, relu, seed, tapped=True):
    """A chain of layers: outputs, gradients and factors."""
    rng = np.random.default_rng(seed)
    weight = "float64" if kind == "float64" else "float32"
    made = [
        random_layer(rng, shape, density, weight)
        for shape in zip(sizes, sizes[1:], strict=False)
    ]
    x = jnp.asarray(rng.standard_normal((sizes[0], batch)), kind)
    dy = jnp.asarray(rng.standard_normal((sizes[-1], batch)), kind)
    taps = [
        products.zero_taps(layer.topology, batch, kind, weight) if tapped else None
        for layer, _ in made
    ]

    def run(values, biases, x, taps):
        layers = [
            products.Layer(layer.topology, v, b, t)
            for (layer, _), v, b, t in zip(made, values, biases, taps, strict=True)
        ]
        return products.chain(layers, x, relu=relu)

    layers = [layer for layer, _ in made]
    values, biases = [m.values for m in layers], [m.bias for m in layers]
    y, pull = jax.vjp(run, values, biases, x, taps)
    dv, db, dx, factors = pull(dy)
    expected = by_numpy([dense for _, dense in made], biases, x, dy, relu)

    def close(ours, theirs, kind=kind):
        ours = np.asarray(ours, np.float64)
        scale = max(np.abs(theirs).max(initial=0), 1e-3)
        np.testing.assert_allclose(ours / scale, theirs / scale, 0, TOLERANCE[kind])

    assert y.dtype == x.dtype == dx.dtype
    close(y, expected[0])
    if kind == "bfloat16" and len(sizes) > 2:
        return  # a ReLU that rounding turned on or off
    close(dx, expected[3])
    for number, layer in enumerate(layers):
        nnz = int(layer.topology.nnz)
        at = formats.host_positions(layer.topology)
        # Of bfloat16, products are exact in float32, which their sums are in.
        close(dv[number][:nnz], expected[1][number][at], kind if relu else weight)
        assert not np.asarray(dv[number][nnz:]).any()
        close(db[number], expected[2][number])
        if tapped:
            theirs = expected[4][number]
            if batch > layer.topology.shape[1]:
                theirs = (theirs[0] @ theirs[1].T,)
            for one, other in zip(factors[number], theirs, strict=True):
                close(one, other)


@settings(max_examples=10, deadline=None, derandomize=True)
@given(
    st.tuples(st.integers(1, 600), st.integers(1, 600)),
    st.sampled_from([0.0001, 0.003, 0.05, 0.2, 1.0]),
    st.sampled_from([1, 7, 16, 128, 1000]),
    st.booleans(),
    st.integers(0, 99),
)
def test_the_kernel_in_float64(shape, density, batch, relu, seed):
    if not native.usable():
        pytest.skip("the kernel was not built here")
    with jax.enable_x64(True):
        check(shape, density, batch, "float64", relu, seed)


CASES = [
    ((40, 30), 0.3, 7, True),
    ((784, 300), 0.01, 100, False),
    ((300, 500), 0.2, 33, True),
    ((33, 10), 1.0, 128, False),
    ((600, 500), 0.2, 128, False),
    ((90, 70, 50), 0.2, 20, False),
    # Rows are read so often that a unit of work copies them; with and without a tail.
    ((700, 900, 800), 0.4, 128, True),
    ((700, 900), 0.4, 328, False),
    ((300, 40, 600, 10), 0.05, 130, True),
    # The last tile has fewer neurons than others have parts.
    ((300, 257), 0.2, 128, False),
]


@pytest.mark.parametrize("kind", ["float32", "bfloat16", "float64"])
@pytest.mark.parametrize("sizes, density, batch, relu", CASES)
def test_types_and_chains(sizes, density, batch, relu, kind):
    if not native.usable():
        pytest.skip("the kernel was not built here")
    with jax.enable_x64(kind == "float64"):
        check(sizes, density, batch, kind, relu, seed=0, tapped=len(sizes) != 3)


@pytest.mark.parametrize(
    "case, kind",
    [
        (CASES[-2], "float32"),
        (CASES[-5], "float64"),
        (((200, 300, 90), 0.004, 20, True), "float64"),  # a gather for every weight
        (((200, 300), 0.004, 20, True), "bfloat16"),
    ],
)
def test_chains_without_the_kernel(case, kind, monkeypatch):
    monkeypatch.setattr(native, "usable", lambda: False)
    sizes, density, batch, relu = case
    with jax.enable_x64(kind == "float64"):
        check(sizes, density, batch, kind, relu, seed=0, tapped=len(sizes) != 3)


def test_the_same_bits_every_time(form):
    layer, _ = random_layer(np.random.default_rng(0), (500, 700), 0.05, "float32")
    x = jnp.asarray(np.random.default_rng(1).standard_normal((500, 128)), jnp.float32)

    @jax.jit
    def run(values, x):
        def loss(values, x):
            y = products.product(layer.topology, values, layer.bias, x, relu=True)
            return jnp.sum(y**2)

        return jax.value_and_grad(loss, (0, 1))(values, x)

    first = jax.tree.leaves(run(layer.values, x))
    for _ in range(5):
        for one, other in zip(
            first, jax.tree.leaves(run(layer.values, x)), strict=True
        ):
            assert np.asarray(one).tobytes() == np.asarray(other).tobytes()


def test_vmap_is_one_after_the_other(form):
    layer, dense = random_layer(np.random.default_rng(0), (60, 50), 0.2, "float32")
    x = jnp.asarray(np.random.default_rng(1).standard_normal((3, 60, 9)), jnp.float32)
    values = jnp.stack([layer.values, 2 * layer.values, -layer.values])

    def loss(values, x):
        made = products.product(layer.topology, values, layer.bias, x)
        return jnp.sum(made**2), made

    (_, y), grads = jax.vmap(jax.value_and_grad(loss, has_aux=True))(values, x)
    for lane in range(3):
        (_, one), grad = jax.value_and_grad(loss, has_aux=True)(values[lane], x[lane])
        np.testing.assert_array_equal(y[lane], one)
        np.testing.assert_array_equal(grads[lane], grad)


def test_transposed_product(form):
    layer, dense = random_layer(np.random.default_rng(0), (60, 50), 0.2, "float32")
    g = np.random.default_rng(1).standard_normal((50, 3)).astype("float32")
    made = products.transposed(layer.topology, layer.values, jnp.asarray(g))
    np.testing.assert_allclose(made, dense @ g, atol=1e-4)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"values": jnp.zeros(3)}, "takes as many values and biases"),
        ({"bias": jnp.zeros(3)}, "takes as many values and biases"),
        ({"bias": jnp.zeros(50, jnp.bfloat16)}, "must all be float32"),
        ({"x": jnp.zeros((59, 2))}, "a layer of 60 inputs is given 59"),
        ({"x": jnp.zeros((60, 2), jnp.float16)}, "may be bfloat16"),
    ],
)
def test_what_does_not_fit_is_refused_before_the_kernel(change, message):
    layer, _ = random_layer(np.random.default_rng(0), (60, 50), 0.2, "float32")
    x = change.pop("x", jnp.zeros((60, 2)))
    layer = layer._replace(**change)
    with pytest.raises(ValueError, match=message):
        products.chain([layer], x, relu=False)


@pytest.mark.parametrize("kind", ["float32", "float64", "bfloat16"])
@pytest.mark.parametrize("shape", [(1, 1), (16, 16), (128, 784), (7, 33), (100, 3)])
def test_features_first_is_the_transpose(form, shape, kind):
    with jax.enable_x64(kind == "float64"):
        x = jnp.asarray(np.random.default_rng(0).standard_normal(shape), kind)
        y, pull = jax.vjp(products.features_first, x)
        np.testing.assert_array_equal(y, x.T)
        np.testing.assert_array_equal(pull(2 * y)[0], 2 * x)
        lanes = jnp.stack([x, -x])
        np.testing.assert_array_equal(
            jax.vmap(products.features_first)(lanes), lanes.transpose(0, 2, 1)
        )
