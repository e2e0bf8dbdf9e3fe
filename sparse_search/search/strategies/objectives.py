"""What a search can make small: the loss, and what a point costs on paper."""

import functools
from collections.abc import Callable
from typing import NamedTuple

from sparse_search.config import Config
from sparse_search.costs.storage import kernel_bytes
from sparse_search.errors import UserError, one_of
from sparse_search.train import costs
from sparse_search.train.trials import Trial


class Objective(NamedTuple):
    """One of them.

    Attributes:
        of: `(trial, loss) -> value`, with the mean validation loss of its point.
        check: raises a `UserError` for a trial that has no such value.
    """

    of: Callable[[Trial, float], float]
    check: Callable[[Trial], object] = lambda trial: None


VALID_LOSS = Objective(lambda trial, loss: loss)


def objectives(config: Config) -> tuple[Objective, ...]:
    """Those that a config names.

    Raises:
        UserError: a name is not known, or there is none.
    """

    @functools.cache
    def flops(trial: Trial) -> int:
        found = costs.train_flops(config, trial)
        if found is None:
            raise UserError(
                "config.strategy.objectives has 'train_flops', but how many weights "
                f"the layers of {trial.method!r} have on the way, and so what it "
                "costs, is not known before training; leave one of the two out."
            )
        return found

    known = {
        "valid_loss": VALID_LOSS,
        "nnz": Objective(lambda trial, loss: trial.nnz),
        "train_flops": Objective(lambda trial, loss: flops(trial), flops),
        "bytes": Objective(
            lambda trial, loss: kernel_bytes([n for _, n in trial.counts], trial.sizes)
        ),
    }
    names = config.strategy.objectives
    if not names:
        raise UserError(
            f"config.strategy.objectives is empty; it has some of {', '.join(known)}."
        )
    for name in names:
        if name not in known:
            raise one_of("config.strategy.objectives:", name, known)
    return tuple(known[name] for name in names)
