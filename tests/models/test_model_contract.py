"""The shipped contract of a model notices one that breaks it."""

import flax.linen as nn
import jax.numpy as jnp
import pytest

from sparse_search.testing import models


class Breaks(nn.Module):
    """A perceptron with something wrong."""

    width: int
    classes: int
    wrong: str

    @nn.compact
    def __call__(self, x, *, train=False):
        x = x.reshape(x.shape[0], -1)
        names = ("b", "a") if self.wrong == "order" else ("a", "b")
        width = 4 if self.wrong == "width" else self.width
        kind = jnp.float32 if self.wrong == "precision" else None
        start = (
            nn.initializers.ones
            if self.wrong == "seed"
            else nn.initializers.lecun_normal()
        )
        x = nn.relu(nn.Dense(width, name=names[0], kernel_init=start, dtype=kind)(x))
        if self.wrong == "train":
            x = nn.BatchNorm(use_running_average=True)(x)
        if self.wrong == "noise":
            seed = self.variable("memory", "calls", lambda: jnp.zeros(()))
            x = x + seed.value
        classes = self.classes + (self.wrong == "classes")
        return nn.Dense(classes, name=names[1])(x)


@pytest.mark.parametrize(
    ("wrong", "check", "words"),
    [
        ("classes", models.check_shapes, "3 classes"),
        ("order", models.check_names, "b/kernel is used first, but params/a/kernel"),
        ("seed", models.check_init, "a/kernel is the same for two seeds"),
        ("train", models.check_outputs, "statistics do not move"),
        ("noise", models.check_outputs, "statistics do not move"),
        ("precision", models.check_precision, "are in .*float32"),
        ("width", models.check_width, "must grow with the width"),
    ],
)
def test_what_is_wrong_is_named(wrong, check, words):
    def make(width, depth, classes):
        return Breaks(width, classes, wrong)

    subject = models.Subject(make, (5,), 3, width=6)
    with pytest.raises(AssertionError, match=words):
        check(subject)


def test_one_that_is_right_passes():
    subject = models.Subject(lambda w, d, c: Breaks(w, c, ""), (5,), 3, width=6)
    for check in (*models.CHECKS[:4], models.check_precision, models.check_width):
        check(subject)
