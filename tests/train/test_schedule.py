import pytest

from sparse_search.config import Optimizer, freeze
from sparse_search.errors import UserError
from sparse_search.train import optimizer


def test_a_rate_that_falls_in_steps():
    spec = Optimizer(schedule="step", steps_at=(0.5, 0.8), step_factor=0.2, warmup=0.1)
    rate = optimizer.schedule(spec, 0.1, 100)
    by_hand = {0: 0.01, 4: 0.05, 9: 0.1, 49: 0.1, 50: 0.02, 79: 0.02, 80: 0.004}
    for count, expected in by_hand.items():
        assert float(rate(count)) == pytest.approx(expected, rel=1e-5), count


def test_warmup_and_the_way_down():
    for name, half in (("constant", 0.1), ("linear", 0.05), ("cosine", 0.05)):
        rate = optimizer.schedule(Optimizer(schedule=name, warmup=0.2), 0.1, 100)
        assert float(rate(0)) == pytest.approx(0.005)
        assert float(rate(60)) == pytest.approx(half, rel=1e-5)


def test_no_such_schedule():
    with pytest.raises(UserError, match="constant, linear, cosine, step"):
        optimizer.check(Optimizer(schedule="stairs"))
    with pytest.raises(UserError, match=r"steps_at is 1.5; it must be at most 1"):
        freeze({"optimizer": {"steps_at": (0.5, 1.5)}})
