"""Gives jobs to workers until all are done, whatever becomes of a worker.

A worker may be killed, run out of memory, hang or raise. What it trained is tried
again, from its last checkpoint, up to `config.retries` times; then its trials are
recorded as failed with the reason, and the others go on.
"""

import concurrent.futures
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, NamedTuple

from sparse_search.config import Config
from sparse_search.errors import UserError
from sparse_search.search.executors import Executor
from sparse_search.search.journals import Journals
from sparse_search.search.worker import Job, JobFailed, WorkerDied, record_failure
from sparse_search.train.stopped import Stopped

_POLL_SECONDS = 0.2
_SLOWER = 20  # than was expected: from then on a round is taken to hang


class Search(NamedTuple):
    """What all phases of a search share.

    Attributes:
        config: the experiment.
        workdir: where all is written.
        executor: performs jobs.
        journals: what is known.
        should_stop: asked often; when true, everything is saved and the search ends.
    """

    config: Config
    workdir: Path
    executor: Executor
    journals: Journals
    should_stop: Callable[[], bool]


class _Running:
    """A job that a worker performs, and when it was last seen to do something.

    Attributes:
        heard: whether rounds of it were seen since it was given.
        withdrawn: whether there was no worker for it, which is no failure of its own.
    """

    def __init__(self, worker: int, job: Job):
        self.worker, self.job = worker, job
        self.trials = {t.name for chunk in job.chunks for t in chunk.trials}
        self.heard = self.withdrawn = False
        self.beat()

    def beat(self) -> None:
        self.seen = time.monotonic()  # not `time`: the clock may be set

    def silence(self) -> float:
        return time.monotonic() - self.seen


def perform(
    search: Search,
    jobs: Sequence[Job],
    tick: Callable[[], None],
    keep: Callable[[Job, Any], None] = lambda job, result: None,
) -> dict[str, Any]:
    """Perform all jobs, in order where there is one worker.

    Args:
        search: what they are of.
        jobs: what to do.
        tick: called often, after the journals have been looked at.
        keep: is given every result as it comes.

    Returns:
        The results by job name.

    Raises:
        Stopped: it was asked to stop; all is saved.
        UserError: a job can go on only when the user has done something.
    """
    executor = search.executor
    waiting, idle = deque(jobs), list(reversed(range(executor.workers)))
    running: dict[Future, _Running] = {}
    lost: set[int] = set()  # workers that died, and were not heard of since
    results: dict[str, Any] = {}
    failures: Counter[str] = Counter()
    problem: BaseException | None = None
    while running or (waiting and problem is None):
        if problem is None and search.should_stop():
            problem = Stopped()
            executor.stop()
        free = executor.workers - len(running) if waiting else 0
        while waiting and idle and free > 0 and problem is None:
            free -= 1
            one = _Running(idle.pop(), waiting.popleft())
            running[executor.submit(one.worker, one.job)] = one
        done, _ = concurrent.futures.wait(
            running, _POLL_SECONDS, concurrent.futures.FIRST_COMPLETED
        )
        _listen(search, running, done)
        _withdraw(executor, running, done, lost, idle)
        tick()
        for future in done:
            one = running.pop(future)
            error = future.exception()
            # Those that live come first: a lost one may not be replaced yet.
            died = isinstance(error, WorkerDied)
            (lost.add if died else lost.discard)(one.worker)
            idle.insert(0 if died else len(idle), one.worker)
            if error is None:
                results[one.job.name] = future.result()
                keep(one.job, future.result())
            elif one.withdrawn:
                waiting.appendleft(one.job)
            elif isinstance(error, JobFailed):
                left = _after_failure(search, one.job, error, failures)
                if left is None:
                    results[one.job.name] = None
                else:
                    waiting.appendleft(left)
            elif problem is None:
                # The others save what they have and end too.
                problem = error
                executor.stop()
    if problem is not None:
        raise problem
    return results


def _listen(search: Search, running: dict[Future, _Running], done: set[Future]) -> None:
    """Look for new rounds; end the workers that have not been heard of for long."""
    heard = search.journals.look()
    for future, one in running.items():
        if heard & one.trials:
            one.heard = True
            one.beat()
        patience = max(search.config.patience, _SLOWER * one.job.round_seconds)
        if future not in done and one.silence() > patience:
            search.executor.kill(one.worker, f"it was silent for {patience:.0f} s")
            one.beat()


def _withdraw(
    executor: Executor,
    running: dict[Future, _Running],
    done: set[Future],
    lost: set[int],
    idle: Sequence[int],
) -> None:
    """Take back what was given to workers for which there is no room any more.

    A cluster may say late that it has lost a node, and what lives keeps its place.
    """
    lost -= {one.worker for one in running.values() if one.heard}
    open_ = [one for future, one in running.items() if future not in done]
    mute = [one for one in open_ if one.worker in lost and not one.withdrawn]
    surplus = len(open_) + len(set(idle) - lost) - executor.workers if mute else 0
    for one in mute[: max(surplus, 0)]:
        one.withdrawn = True
        executor.kill(one.worker, "there is no room for it any more")


def _after_failure(
    search: Search, job: Job, error: JobFailed, failures: Counter[str]
) -> Job | None:
    """What is left to do of a job that failed; None if nothing is."""
    if job.kind != "train":
        failures[job.name] += 1
        if failures[job.name] > search.config.retries:
            raise UserError(
                f"Measuring {job.name} failed {failures[job.name]} times: "
                f"{error.reason}. Where it is out of memory, set config.lanes=1 or "
                "train smaller networks."
            )
        return job
    search.journals.look()
    left = [c for c in job.chunks if not search.journals.finished(c, job.until)]
    if left:
        first = left[0]  # what comes before it was finished
        failures[first.name] += 1
        if failures[first.name] > search.config.retries:
            times = failures[first.name]
            reason = error.reason if times == 1 else f"{error.reason} ({times} times)"
            record_failure(
                search.workdir, search.config.data.name, first, reason, error.trace
            )
            del left[0]
    return job._replace(chunks=tuple(left)) if left else None
