"""A workdir in a notebook: trials and rounds as tables, any trial's network."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from sparse_search import records, results
from sparse_search.errors import UserError, nearest

if TYPE_CHECKING:
    import pandas


class Run(NamedTuple):
    """What a train or search command has written so far.

    Attributes:
        workdir: its folder.
        config: the resolved config.
        trials: a row a finished trial, with the columns of `curves.csv` and more.
        rounds: a row a round of every trial, finished or not.
    """

    workdir: Path
    config: dict[str, Any]
    trials: "pandas.DataFrame"
    rounds: "pandas.DataFrame"

    def result(self, trial: str) -> results.Result:
        """The final parameters and masks of a trial, as NumPy arrays by layer.

        Raises:
            UserError: there is no such trial, or its network was not kept.
        """
        names = list(self.trials["trial"]) if len(self.trials) else []
        if trial not in names:
            raise UserError(
                f"{self.workdir} has no finished trial {trial!r} among its "
                f"{len(names)}.{nearest(trial, names)}"
            )
        return results.load(results.file(self.workdir, trial))


def load(workdir: str | Path) -> Run:
    """Read a workdir; JAX is not needed.

    Raises:
        UserError: the folder is no workdir.
    """
    import pandas

    workdir = Path(workdir)
    config = records.read_config(workdir)["config"]
    trials = pandas.DataFrame(records.read_trials(workdir).values())
    rounds = pandas.DataFrame(records.read_rounds(workdir).values())
    return Run(workdir, config, trials, rounds)
