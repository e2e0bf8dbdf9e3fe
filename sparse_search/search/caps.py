"""What a trial of a space may cost at most, and what to say of one that costs more."""

from collections.abc import Callable, Hashable

from sparse_search.algorithms.base import SparseAlgorithm
from sparse_search.config import Config
from sparse_search.data.dataset import Dataset
from sparse_search.train import costs
from sparse_search.train.trials import Trial, algorithm_of


def caps(config: Config, dataset: Dataset) -> Callable[[Trial], str | None]:
    """A function of a trial that tells why it costs too much, or None.

    Trials that differ by seed or learning rate alone cost the same. What is not known
    before training counts as the most it can be: a user's method whose number of
    weights changes as dense, and as masked the layers of which a measurement decides
    whether they are compressed (`config.representation="auto"`).
    """
    algorithms: dict[tuple[str, str, str], SparseAlgorithm] = {}
    trained: dict[tuple[Hashable, ...], int] = {}
    stored: dict[str, int] = {}

    def train_flops(trial: Trial) -> int:
        kind = trial.method, trial.pattern, trial.scope
        if kind not in algorithms:
            algorithms[kind] = algorithm_of(config, trial)
        same = *kind, trial.counts, trial.sizes, trial.uses, trial.base_flops
        if same not in trained:
            most = costs.most_train_flops(config, trial, algorithms[kind])
            trained[same] = most
        return trained[same]

    def state_bytes(trial: Trial) -> int:
        # Of one compile key, all carry the same.
        if trial.group not in stored:
            stored[trial.group] = costs.state_bytes(config, dataset, trial)
        return stored[trial.group]

    known: dict[str, tuple[Callable[[Trial], int], str]] = {
        "max_train_flops": (train_flops, "FLOPs to train"),
        "max_inference_flops": (costs.inference_flops, "FLOPs an example"),
        "max_bytes": (state_bytes, "bytes of memory"),
    }
    asked = {name: cap for name in known if (cap := getattr(config.space, name))}

    def above(trial: Trial) -> str | None:
        for name, cap in asked.items():
            cost, unit = known[name]
            if (found := cost(trial)) > cap:
                return f"it takes {found:,} {unit}, and config.space.{name}={cap:,}"
        return None

    return above
