import jax
import numpy as np
import pytest

from sparse_search.config import freeze
from sparse_search.data import augment, tabular, text
from sparse_search.data.augment import augmented
from sparse_search.errors import UserError
from sparse_search.train.step import loss_and_hits
from sparse_search.train.trials import check

IMAGES = np.random.default_rng(0).uniform(1, 2, (64, 8, 16, 3)).astype(np.float32)
LABELS = np.arange(64) % 5


jitted = jax.jit(augmented, static_argnums=0)


def changed(*names, key=0, images=IMAGES):
    inputs, targets = jitted(names, jax.random.key(key), images, LABELS)
    return np.asarray(inputs), targets


@pytest.mark.parametrize("channels", [True, False])
@pytest.mark.parametrize(
    ("name", "mode"), [("crop", "constant"), ("crop_reflect", "reflect")]
)
def test_crop(name, mode, channels):
    images = IMAGES if channels else IMAGES[..., 0]
    out, targets = changed(name, images=images)
    assert out.shape == images.shape and targets.mixed is None
    padding = [(0, 0), (1, 1), (2, 2), (0, 0)][: images.ndim]  # an eighth of each side
    padded = np.pad(images, padding, mode)
    seen = set()
    for before, after in zip(padded, out, strict=True):
        found = [
            (top, left)
            for top in range(3)
            for left in range(5)
            if (before[top : top + 8, left : left + 16] == after).all()
        ]
        assert len(found) == 1
        seen |= set(found)
    assert len(seen) > 10, "shifts are of all sizes"


def test_flip():
    out, _ = changed("flip")
    same = (out == IMAGES).all(axis=(1, 2, 3))
    mirrored = (out == IMAGES[:, :, ::-1]).all(axis=(1, 2, 3))
    assert (same ^ mirrored).all() and 20 < same.sum() < 44


def test_cutout():
    out, _ = changed("cutout")
    dark = (out == 0).all(axis=-1)
    assert (out[~dark] == IMAGES[~dark]).all()
    areas = dark.sum(axis=(1, 2))
    assert areas.max() == 4 * 8, "half of each side"
    assert areas.min() >= 2 * 4, "at least a quarter of it, in a corner"
    for one in dark:
        rows, columns = np.flatnonzero(one.any(1)), np.flatnonzero(one.any(0))
        assert one.sum() == len(rows) * len(columns), "a rectangle"
        assert np.ptp(rows) == len(rows) - 1 and np.ptp(columns) == len(columns) - 1


def test_mixup():
    out, targets = changed("mixup")
    share, others = targets.mixed
    share = float(share)
    assert 0 < share < 1 and (np.asarray(others) == np.roll(LABELS, 1)).all()
    by_hand = share * IMAGES + (1 - share) * np.roll(IMAGES, 1, axis=0)
    np.testing.assert_allclose(out, by_hand, rtol=1e-6)
    assert out.mean() == pytest.approx(IMAGES.mean(), rel=1e-5)
    logits = np.random.default_rng(1).normal(size=(64, 5)).astype(np.float32)
    loss, hits = targets.average(lambda labels: loss_and_hits(logits, labels))
    likely = np.log(np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True))
    own, other = (likely[np.arange(64), one] for one in (LABELS, np.roll(LABELS, 1)))
    np.testing.assert_allclose(loss, -share * own - (1 - share) * other, rtol=1e-5)
    best = logits.argmax(axis=1)
    right = share * (best == LABELS) + (1 - share) * (best == np.roll(LABELS, 1))
    np.testing.assert_allclose(hits, right, rtol=1e-6)


def test_a_function_of_the_key_and_of_the_order():
    names = ("crop", "flip", "cutout", "mixup")
    one, _ = changed(*names, key=1)
    again, _ = changed(*names, key=1)
    other, _ = changed(*names, key=2)
    assert (one == again).all() and (one != other).any()
    assert (changed(*names[::-1], key=1)[0] != one).any()
    plain, kept = changed()
    assert (plain == IMAGES).all() and kept.mixed is None


def test_what_has_no_images_is_not_augmented(tmp_path):
    (tmp_path / "t.txt").write_text("to be or not to be " * 200)
    (tmp_path / "t.csv").write_text("a,b\n" + "1,0\n2,1\n" * 20)
    for data in (
        text.load_file(tmp_path, file="t.txt", context=8),
        tabular.load(tmp_path, file="t.csv"),
    ):
        config = freeze({"data": {"augment": ("flip",), "validation": 2}})
        with pytest.raises(UserError, match=r"is for images, and t has none\.$"):
            check(config, data)


def test_an_augmentation_that_there_is_not():
    with pytest.raises(UserError, match="Did you mean 'cutout'"):
        augment.check(("crop", "cutot"))
