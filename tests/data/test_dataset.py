import math
from fractions import Fraction

import data_files
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sparse_search import build
from sparse_search.config import Data, freeze
from sparse_search.data.dataset import Dataset, centered, check, numbers, pixel_scale
from sparse_search.errors import UserError
from sparse_search.testing import datasets
from sparse_search.train import trials
from sparse_search.train.lanes import Loaded


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


def theirs(data_dir, *, shift=0, scale=1.0, kind=float):
    """A data set as a user makes one."""
    inputs = np.random.default_rng(0).normal(size=(72, 3)).astype(kind)
    labels = (inputs[:, 0] > 0).astype(np.int64) + shift
    return Dataset(
        "theirs", inputs[:60], labels[:60], inputs[60:], labels[60:], 2, scale
    )


def not_one(data_dir):
    return np.zeros(3)


def other_each_time(data_dir):
    made = theirs(data_dir)
    noise = np.random.default_rng().normal(size=made.train_inputs.shape)
    return made._replace(train_inputs=made.train_inputs + noise)


def faulty(data_dir, *, size):
    return np.zeros(size) + "one"


def test_a_fault_within_a_users_own_data_set_keeps_its_place():
    name = "data.test_dataset:faulty"
    with pytest.raises(UserError, match="options .*: .*missing 1 required .* 'size'"):
        build.dataset(Data(name), "")
    with pytest.raises(TypeError) as caught:
        build.dataset(Data(name, options={"size": 3}), "")
    assert caught.traceback[-1].name == "faulty"
    with pytest.raises(UserError, match="'teacher' cannot be made with the options"):
        build.dataset(Data("teacher", options={"width": "four"}), "")


def test_a_data_set_of_the_users_own():
    name = "data.test_dataset:theirs"
    made = build.dataset(Data(name, options={"scale": 2.0}), "")
    assert made.scale == 2.0 and made.example.shape == (3,)
    with pytest.raises(UserError, match="scal is not an option .* Did you mean 'sc"):
        build.dataset(Data(name, options={"scal": 2.0}), "")
    with pytest.raises(UserError, match="labels from 1 to 2, but 2 classes"):
        build.dataset(Data(name, options={"shift": 1}), "")
    with pytest.raises(UserError, match="made a ndarray, not a"):
        build.dataset(Data("data.test_dataset:not_one"), "")
    with pytest.raises(UserError, match="Did you mean 'cifar10'"):
        build.dataset(Data("cifar1"), "")


def test_a_divisor_takes_the_place_of_the_scale():
    made = build.dataset(Data("digits", divisor=16.0), "")
    assert made.scale == 16.0  # pixels from 0 to 1
    assert build.dataset(Data("digits"), "").scale == pytest.approx(7.8, rel=0.1)


def test_centered_inputs_have_the_means_subtracted():
    inputs = np.arange(24, dtype=np.uint8).reshape(2, 2, 2, 3) ** 2
    made = centered(small(inputs))
    flat = inputs.reshape(-1, 3).astype(float)
    np.testing.assert_allclose(made.mean, flat.mean(axis=0), rtol=1e-12)
    assert made.scale == pytest.approx((flat - flat.mean(axis=0)).std(), rel=1e-12)
    seen = numbers(jnp.asarray(inputs), made.mean, made.scale)
    np.testing.assert_allclose(
        seen, (flat - flat.mean(axis=0)).reshape(2, 2, 2, 3) / made.scale, rtol=1e-5
    )
    # Of pixels without channels one mean, of features one each.
    assert centered(small(inputs[..., 0])).mean == pytest.approx(
        [inputs[..., 0].mean()]
    )
    features = np.array([[1.0, 2.0], [3.0, 2.5]])
    assert centered(small(features)).mean == (2.0, 2.25)
    with pytest.raises(UserError, match="nothing varies in 'small'"):
        centered(small(np.ones((2, 3))))


def test_a_config_centers_and_divides():
    plain = build.dataset(Data("digits", center=True), "")
    assert len(plain.mean) == 1 and plain.scale == pytest.approx(6.0, rel=0.05)
    both = build.dataset(Data("digits", center=True, divisor=16.0), "")
    assert both.mean == plain.mean and both.scale == 16.0


def test_tokens_have_no_mean(tmp_path):
    file = data_files.text(tmp_path / "input.txt")
    options = {"file": str(file), "context": 8}
    with pytest.raises(UserError, match="center is True, but 'input' has tokens"):
        build.dataset(Data("text", center=True, options=options), "")


def small(inputs):
    labels = np.array([0, 1])
    return Dataset("small", inputs, labels, inputs, labels, 2, 1.0)


def test_tokens_have_no_divisor(tmp_path):
    file = data_files.text(tmp_path / "input.txt")
    options = {"file": str(file), "context": 8}
    with pytest.raises(UserError, match="'text' has tokens, which"):
        build.dataset(Data("text", divisor=2.0, options=options), "")


@pytest.mark.parametrize(
    ("factory", "options", "words"),
    [
        (theirs, {"shift": -1}, "labels from -1"),
        (theirs, {"scale": 100.0}, "mean square of 9.35e-05"),
        (theirs, {"scale": None}, "its inputs are tokens"),
        (not_one, {}, "it makes a ndarray"),
        (other_each_time, {}, "not the same when it is made again"),
    ],
)
def test_the_contract_finds_what_is_wrong(factory, options, words):
    with pytest.raises(AssertionError, match=words):
        datasets.check(factory, **options)


def test_the_contract_of_a_data_set_of_the_users_own():
    assert datasets.check(theirs).name == "theirs"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"train_labels": np.zeros(59, int)}, "60 training examples and 59 labels"),
        ({"test_inputs": np.zeros((12, 4))}, "test examples of shape"),
        ({"train_inputs": np.full((60, 3), np.inf)}, "no finite numbers"),
        ({"train_labels": np.zeros(60)}, "labels of float64"),
        ({"scale": 0.0}, "has the scale 0.0"),
        ({"validation": 60}, "nothing to train on"),
        ({"name": ""}, "has no name"),
    ],
)
def test_what_cannot_be_trained_on(change, words):
    with pytest.raises(UserError, match=words):
        check(theirs(None)._replace(**change))


def test_an_official_validation_part():
    made = theirs(None)._replace(validation=20)
    for held_out, words in ((21, "which has 20 examples"), (60, "which has 20")):
        with pytest.raises(UserError, match=words):
            trials.check(freeze({"data": {"validation": held_out}}), made)
    with pytest.raises(UserError, match="more than the 40 examples"):
        trials.check(freeze({"data": {"validation": 5}, "batch_size": 41}), made)
    config = freeze(
        {
            "data": {"validation": 5},
            "batch_size": 4,
            "sparsity": {"rewire_every": 20},
            "steps": 20,
        }
    )
    loaded = Loaded(config, made)
    assert (np.asarray(loaded.validation([1]))[0] == np.arange(40, 45)).all()
    rows = np.asarray(loaded.rows([1], 0))
    assert rows.max() < 40 and len(np.unique(rows[0, :10])) == 40
    part = np.asarray(loaded.part([1]))[0]
    assert (part == np.repeat([0, 1, 3, 2], [40, 5, 15, 12])).all()
